//! The search path of statements: only our schema and PostgreSQL's own. Otherwise a function that another role puts into another schema of the search
//! path could run with the rights of the job.
//!
//! If the role's search path is already safe, this costs nothing. Otherwise each transaction sets its own (SET LOCAL), which works behind a pooler and
//! does not affect other clients. A single statement is wrapped in a transaction, sent in the same round trip.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use tokio_postgres::{Client, Error, RowStream};

/// An expression: our schema as a quoted identifier if the search path contains other schemas too, else NULL. All its names are qualified, because it is
/// evaluated with the untrusted search path.
pub(super) const MIXED: &str =
    "CASE WHEN pg_catalog.cardinality(pg_catalog.array_remove(pg_catalog.current_schemas(false), 'pg_catalog')) OPERATOR(pg_catalog.>) 1
       THEN pg_catalog.quote_ident((pg_catalog.array_remove(pg_catalog.current_schemas(false), 'pg_catalog'))[1]) END";

/// A statement that reduces the search path to our schema until the transaction ends.
pub(super) const OURS: &str = "SELECT pg_catalog.set_config('search_path',
    pg_catalog.quote_ident(pg_catalog.current_schema()) OPERATOR(pg_catalog.||) ', pg_temp', true)";

/// The statement that a transaction must begin with, from the value of `MIXED`. `None`: none is needed.
pub(super) fn setting(mixed: Option<&str>) -> Option<String> {
    // `pg_catalog` is searched first unless it is named; `pg_temp` is named, so it is searched last.
    mixed.map(|ours| format!("SET LOCAL search_path = {ours}, pg_temp"))
}

/// Reads the setting that this role needs.
pub(super) async fn read(client: &Client) -> anyhow::Result<Option<String>> {
    let row = client.query_typed_one(&format!("SELECT {MIXED}"), &[]).await.context("reading the search path")?;
    Ok(setting(row.try_get(0)?))
}

/// Runs one statement in a transaction that begins with `setting`. BEGIN, statement and COMMIT are sent before the first answer is awaited. `statement`
/// must send on its first poll, as futures of tokio-postgres do.
pub(super) async fn alone<T>(
    client: &Client,
    setting: Option<&str>,
    statement: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let Some(setting) = setting else { return statement.await };
    begin(client, setting)?;
    let mut statement = pin!(statement);
    let mut commit = pin!(client.batch_execute("COMMIT"));
    let sent = poll_fn(|context| Poll::Ready(statement.as_mut().poll(context))).await;
    // Everything is sent without awaiting an answer: even if this future is dropped now, no transaction stays open.
    let ended = poll_fn(|context| Poll::Ready(commit.as_mut().poll(context))).await;
    let done = match sent {
        Poll::Ready(done) => done,
        Poll::Pending => statement.await,
    };
    // After a failed statement, COMMIT rolls back.
    let ended = match ended {
        Poll::Ready(ended) => ended,
        Poll::Pending => commit.await,
    };
    let done = done?;
    ended.map(|()| done)
}

/// The same for a read-only statement whose rows are streamed. The result of its COMMIT is irrelevant.
pub(super) async fn streamed(
    client: &Client,
    setting: Option<&str>,
    statement: impl Future<Output = Result<RowStream, Error>>,
) -> Result<RowStream, Error> {
    let Some(setting) = setting else { return statement.await };
    begin(client, setting)?;
    let mut statement = pin!(statement);
    let sent = poll_fn(|context| Poll::Ready(statement.as_mut().poll(context))).await;
    client.batch_execute("COMMIT").now_or_never().unwrap_or(Ok(()))?;
    match sent {
        Poll::Ready(rows) => rows,
        Poll::Pending => statement.await,
    }
}

/// Sent without awaiting the answer: if it fails, so does the statement after it.
fn begin(client: &Client, setting: &str) -> Result<(), Error> {
    client.batch_execute(&format!("BEGIN; {setting}")).now_or_never().unwrap_or(Ok(()))
}
