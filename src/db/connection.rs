//! Connections in use, and the bounds of what they wait for: no transaction outlives its host for long, and no statement its run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::{Object, Transaction};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio_postgres::types::{BorrowToSql, ToSql, Type};
use tokio_postgres::{CancelToken, Client, Error, IsolationLevel, Row, RowStream};

use super::conninfo::Target;
use super::search_path;

/// How long a statement in a transaction waits for what another transaction holds.
const LOCKS: Duration = Duration::from_secs(5);
/// How long a transaction stands idle between two of its statements before the server ends it, and its locks with it: by then its host has died,
/// hangs or is suspended. With the time for which a page waits aside it is well below a minute.
const IDLE: Duration = Duration::from_secs(30);
/// How long it may take to ask the server to cancel a statement.
const CANCEL: Duration = Duration::from_secs(5);

/// How long the server lets a transaction wait and last.
pub struct Bounds {
    /// A statement, for what another transaction holds.
    pub locks: Duration,
    /// The transaction, between two statements.
    pub idle: Duration,
    /// A statement in all. `None`: as the server has it, because one that reads much through or sweeps takes its time.
    pub statement: Option<Duration>,
}

/// Of most transactions.
const BOUNDS: Bounds = Bounds { locks: LOCKS, idle: IDLE, statement: None };

impl Bounds {
    /// Sets them for this transaction alone (LOCAL), so that they hold behind a pooler too, and are nobody else's; and its search path.
    fn set(&self, tx: &Transaction<'_>, path: Option<&str>) -> Result<(), Error> {
        let mut set = format!(
            "SET LOCAL lock_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = {}",
            self.locks.as_millis(),
            self.idle.as_millis()
        );
        if let Some(statement) = self.statement {
            set.push_str(&format!("; SET LOCAL statement_timeout = {}", statement.as_millis()));
        }
        if let Some(path) = path {
            set.push_str(&format!("; {path}"));
        }
        // Sent and not waited for: the next statement goes out behind it, and a round trip is saved. If it fails, so does that one.
        tx.batch_execute(&set).now_or_never().unwrap_or(Ok(()))
    }
}

/// The statements that may be under way, as far as they can be cancelled.
#[derive(Clone, Default)]
pub(super) struct InUse(Arc<Mutex<HashMap<u64, CancelToken>>>);

impl InUse {
    fn tokens(&self) -> MutexGuard<'_, HashMap<u64, CancelToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that the pool gave out.
    pub(super) fn lend(&self, object: Object, path: Option<Arc<str>>) -> Connection {
        let mut tokens = self.tokens();
        let number = tokens.keys().max().map_or(0, |most| most + 1);
        tokens.insert(number, object.cancel_token());
        Connection { object, path, _lent: Lent { number, in_use: self.clone() } }
    }

    /// Asks the server to cancel what every connection in use is doing.
    pub(super) async fn cancel(&self, target: &Target) -> anyhow::Result<()> {
        let tls = target.tls()?;
        let tokens: Vec<CancelToken> = self.tokens().values().cloned().collect();
        log::info!(connections = tokens.len(); "cancelling the statements that are still under way");
        let asked = tokens.iter().map(|token| tokio::time::timeout(CANCEL, token.cancel_query(tls.clone())));
        for asked in join_all(asked).await {
            match asked {
                Ok(Ok(())) => {}
                Ok(Err(error)) => log::debug!("a statement could not be cancelled: {error}"),
                Err(_) => log::debug!("a statement could not be cancelled in {} s", CANCEL.as_secs()),
            }
        }
        Ok(())
    }
}

/// Its entry among those in use, gone with the value.
struct Lent {
    number: u64,
    in_use: InUse,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.in_use.tokens().remove(&self.number);
    }
}

/// A connection. It goes back to the pool with the value.
pub struct Connection {
    object: Object,
    /// What each transaction has to set first, so that names mean what they should.
    path: Option<Arc<str>>,
    _lent: Lent,
}

impl Connection {
    /// Begins a transaction that waits for others for some seconds at most, and that the server ends when its host falls silent.
    ///
    /// # Errors
    /// `what`, and that the connection is gone.
    pub async fn begin(&mut self, what: &'static str) -> anyhow::Result<Transaction<'_>> {
        self.begin_within(&BOUNDS, what).await
    }

    /// The same with other bounds.
    ///
    /// # Errors
    /// `what`, and that the connection is gone.
    pub async fn begin_within(&mut self, bounds: &Bounds, what: &'static str) -> anyhow::Result<Transaction<'_>> {
        let tx = self.object.transaction().await.context(what)?;
        bounds.set(&tx, self.path.as_deref()).context(what)?;
        Ok(tx)
    }

    /// Begins one that reads everything as of one moment, and writes nothing.
    ///
    /// # Errors
    /// `what`, and that the connection is gone.
    pub async fn snapshot(&mut self, what: &'static str) -> anyhow::Result<Transaction<'_>> {
        let snapshot = self.object.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let tx = snapshot.start().await.context(what)?;
        BOUNDS.set(&tx, self.path.as_deref()).context(what)?;
        Ok(tx)
    }

    /// Closes it in place of giving it back: its statement may still be at work, and nobody else is to wait for that.
    pub fn discard(self) {
        drop(Object::take(self.object));
    }
}

/// Statements by themselves, as tokio-postgres has them.
impl Connection {
    fn client(&self) -> &Client {
        &self.object
    }

    pub async fn query_typed(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, Error> {
        search_path::alone(self.client(), self.path.as_deref(), self.client().query_typed(statement, parameters)).await
    }

    pub async fn query_typed_one(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Row, Error> {
        search_path::alone(self.client(), self.path.as_deref(), self.client().query_typed_one(statement, parameters)).await
    }

    pub async fn query_typed_opt(
        &self,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<Row>, Error> {
        search_path::alone(self.client(), self.path.as_deref(), self.client().query_typed_opt(statement, parameters)).await
    }

    pub async fn execute_typed(&self, statement: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<u64, Error> {
        search_path::alone(self.client(), self.path.as_deref(), self.client().execute_typed(statement, parameters)).await
    }

    /// Rows as they come.
    pub async fn query_typed_raw<P, I>(&self, statement: &str, parameters: I) -> Result<RowStream, Error>
    where
        P: BorrowToSql,
        I: IntoIterator<Item = (P, Type)>,
    {
        search_path::streamed(self.client(), self.path.as_deref(), self.client().query_typed_raw(statement, parameters)).await
    }
}
