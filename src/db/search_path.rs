//! Where names in statements are looked up: in our schema and among PostgreSQL's own, and nowhere else. A function that somebody puts into another
//! schema of the role's search path would otherwise run with the rights of whoever runs the job.
//!
//! A role whose own search path is as it should be costs nothing. For any other one each transaction sets it for itself (SET LOCAL), so that it
//! holds behind a pooler and is nobody else's; a statement by itself gets a transaction for that, sent in the same round trip.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error, Row, RowStream, Transaction};

use super::Connection;

/// An expression: our schema as an identifier where the search path has others besides, NULL where it has none. All names in it are qualified,
/// because it is read with the search path that is in question.
pub(super) const MIXED: &str =
    "CASE WHEN pg_catalog.cardinality(pg_catalog.array_remove(pg_catalog.current_schemas(false), 'pg_catalog')) OPERATOR(pg_catalog.>) 1
       THEN pg_catalog.quote_ident((pg_catalog.array_remove(pg_catalog.current_schemas(false), 'pg_catalog'))[1]) END";

/// A statement that leaves only our schema in the search path until the transaction ends.
pub(super) const OURS: &str = "SELECT pg_catalog.set_config('search_path',
    pg_catalog.quote_ident(pg_catalog.current_schema()) OPERATOR(pg_catalog.||) ', pg_temp', true)";

/// What a transaction has to set first; `None`: nothing. By what `MIXED` answers.
pub(super) fn setting(mixed: Option<&str>) -> Option<String> {
    // PostgreSQL's own schema is looked into first unless it is named; the temporary one unless it comes last.
    mixed.map(|ours| format!("SET LOCAL search_path = {ours}, pg_temp"))
}

/// Asks which it is.
pub(super) async fn read(client: &Client) -> anyhow::Result<Option<String>> {
    let row = client.query_typed_one(&format!("SELECT {MIXED}"), &[]).await.context("reading the search path")?;
    Ok(setting(row.try_get(0)?))
}

/// Runs one statement in a transaction that begins with `setting`. All three go out before the first answer is waited for. `statement` must send
/// when it is polled for the first time, as those of tokio-postgres do.
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
    // Nothing was waited for yet: even if the run gives this up now, no transaction is left open.
    let ended = poll_fn(|context| Poll::Ready(commit.as_mut().poll(context))).await;
    let done = match sent {
        Poll::Ready(done) => done,
        Poll::Pending => statement.await,
    };
    // A statement that failed is rolled back by this.
    let ended = match ended {
        Poll::Ready(ended) => ended,
        Poll::Pending => commit.await,
    };
    let done = done?;
    ended.map(|()| done)
}

/// The same of a statement that only reads and whose rows are taken as they come: how its transaction ends says nothing.
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

/// Sent and not waited for: if it fails, so does the statement behind it.
fn begin(client: &Client, setting: &str) -> Result<(), Error> {
    client.batch_execute(&format!("BEGIN; {setting}")).now_or_never().unwrap_or(Ok(()))
}

/// What reads: a connection, each statement by itself, or a transaction.
pub trait Reads: Sync {
    /// Rows of a statement.
    fn query_typed(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> impl Future<Output = Result<Vec<Row>, Error>> + Send;

    /// Its one row.
    fn query_typed_one(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> impl Future<Output = Result<Row, Error>> + Send;
}

impl Reads for Connection {
    async fn query_typed(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Error> {
        self.query_typed(statement, parameters).await
    }

    async fn query_typed_one(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Row, Error> {
        self.query_typed_one(statement, parameters).await
    }
}

impl Reads for Transaction<'_> {
    async fn query_typed(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Error> {
        self.query_typed(statement, parameters).await
    }

    async fn query_typed_one(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Row, Error> {
        self.query_typed_one(statement, parameters).await
    }
}
