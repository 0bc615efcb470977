//! The schema of the tables, and the search path of statements: only this schema and PostgreSQL's own. Otherwise a function that another role puts into another schema of the search
//! path could run with the rights of the job.
//!
//! If the role's search path is already safe, this costs nothing. Otherwise each transaction sets its own (SET LOCAL), which works behind a pooler and
//! does not affect other clients. A single statement is wrapped in a transaction, sent in the same round trip.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use anyhow::Context as _;
use futures_util::FutureExt as _;
use postgres::Transaction;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, Row, RowStream};

/// The schema of a new installation, unless the search path or `db.schema` names another one.
pub const DEFAULT: &str = "syncctl";

/// Locates the schema of the tables. `$1` is `db.schema`, which may be empty. Then the tables are looked for in the search path. If that begins with
/// `public`, as by default, they are looked for in `syncctl` first, because other roles may create tables in `public`. A new installation uses the first
/// schema of the search path, and `syncctl` instead of `public`.
///
/// All its names are qualified, because it is evaluated with the untrusted search path. A table of another program that is called `schema_migrations` too
/// has no checksums.
const LOCATE: &str = "WITH path AS (
    SELECT pg_catalog.array_remove(pg_catalog.current_schemas(false), 'pg_catalog') AS names
  ), found AS (
    SELECT n.nspname AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace CROSS JOIN path p
    WHERE c.relname OPERATOR(pg_catalog.=) 'schema_migrations'::pg_catalog.name
      AND EXISTS (SELECT FROM pg_catalog.pg_attribute a
        WHERE a.attrelid OPERATOR(pg_catalog.=) c.oid AND a.attname OPERATOR(pg_catalog.=) 'checksum'::pg_catalog.name)
      AND CASE WHEN $1 OPERATOR(pg_catalog.<>) '' THEN n.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name
        ELSE n.nspname OPERATOR(pg_catalog.=) ANY (p.names) OR n.nspname OPERATOR(pg_catalog.=) 'syncctl'::pg_catalog.name
          AND coalesce(p.names[1] OPERATOR(pg_catalog.=) 'public'::pg_catalog.name, true) END
    ORDER BY n.nspname OPERATOR(pg_catalog.=) 'public'::pg_catalog.name, pg_catalog.array_position(p.names, n.nspname)
    LIMIT 1
  ), ours AS (
    SELECT coalesce((SELECT name FROM found), CASE WHEN $1 OPERATOR(pg_catalog.<>) '' THEN $1::pg_catalog.name END,
      CASE WHEN p.names[1] OPERATOR(pg_catalog.<>) 'public'::pg_catalog.name THEN p.names[1] END, 'syncctl'::pg_catalog.name) AS name, p.names
    FROM path p
  ), located AS (
    SELECT o.name::pg_catalog.text, pg_catalog.quote_ident(o.name::pg_catalog.text), EXISTS (SELECT FROM found),
      EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname OPERATOR(pg_catalog.=) o.name),
      o.names OPERATOR(pg_catalog.=) ARRAY[o.name]
    FROM ours o
  )
  SELECT l.*";
const FROM: &str = "FROM located l";

/// The schema of the tables.
#[derive(Debug, Clone)]
pub struct Located {
    pub name: String,
    /// The name as a quoted identifier.
    pub quoted: String,
    /// It has our tables.
    pub is_installed: bool,
    pub exists: bool,
    /// The search path contains no other schema.
    pub is_searched_alone: bool,
}

impl Located {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            name: row.try_get(0)?,
            quoted: row.try_get(1)?,
            is_installed: row.try_get(2)?,
            exists: row.try_get(3)?,
            is_searched_alone: row.try_get(4)?,
        })
    }

    /// The statement that a transaction must begin with. `None`: none is needed.
    pub(super) fn setting(&self) -> Option<String> {
        (!self.is_searched_alone).then(|| self.local())
    }

    /// Reduces the search path to our schema until the transaction ends. `pg_catalog` is searched first unless it is named; `pg_temp` is named, so it is
    /// searched last.
    pub(super) fn local(&self) -> String {
        format!("SET LOCAL search_path = {}, pg_temp", self.quoted)
    }
}

/// Locates the schema. `schema` is the setting `db.schema`.
pub(super) async fn locate(client: &Client, schema: &str) -> anyhow::Result<Located> {
    let statement = format!("{LOCATE} {FROM}");
    let row =
        client.query_typed_one(&statement, &[(&schema, Type::TEXT)]).await.context("looking for the schema of the tables")?;
    Ok(Located::of(&row)?)
}

/// Locates the schema, and reads the version of its tables in the same statement if it is the likely one. `None`: there are no tables.
pub(super) async fn version(client: &Client, schema: &str) -> anyhow::Result<(Located, Option<i32>)> {
    let likely = if schema.is_empty() { DEFAULT } else { schema };
    let version = |quoted: &str| format!("(SELECT pg_catalog.max(version) FROM {quoted}.schema_migrations)");
    let statement = format!("{LOCATE}, {} {FROM}", version(&format!("\"{}\"", likely.replace('"', "\"\""))));
    let located = match client.query_typed_one(&statement, &[(&schema, Type::TEXT)]).await {
        Ok(row) => {
            let located = Located::of(&row)?;
            if located.name == likely {
                return Ok((located, row.try_get(5)?));
            }
            located
        }
        // There is no such table, or it is another program's.
        Err(_) => locate(client, schema).await?,
    };
    if !located.is_installed {
        return Ok((located, None));
    }
    let statement = format!("SELECT {}", version(&located.quoted));
    let row = client.query_typed_one(&statement, &[]).await.context("reading the schema version")?;
    Ok((located, row.try_get(0)?))
}

/// The same for synchronous transactions.
pub fn locate_in(tx: &mut Transaction<'_>, schema: &str) -> anyhow::Result<Located> {
    let statement = format!("{LOCATE} {FROM}");
    let row = tx.query_typed_one(&statement, &[(&schema, Type::TEXT)]).context("looking for the schema of the tables")?;
    Ok(Located::of(&row)?)
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
