//! Connections in use, and their timeouts: transactions end soon after their host dies, and statements end with their run.

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

/// How long a statement in a transaction waits for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a transaction may be idle between two statements before the server ends it and releases its locks: by then its host has died, hangs
/// or is suspended. Well below the minute for which a page retries to get its locks (`engine::poll::transition`).
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of a request to the server to cancel a statement.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// Timeouts that the server enforces on a transaction.
pub struct Bounds {
    /// Of a statement that waits for a lock.
    pub locks: Duration,
    /// Of the transaction between two statements.
    pub idle: Duration,
    /// Of a statement in total. `None`: the server's setting, because scans and sweeps take long.
    pub statement: Option<Duration>,
}

/// The default of transactions.
const BOUNDS: Bounds = Bounds { locks: LOCK_TIMEOUT, idle: IDLE_TIMEOUT, statement: None };

impl Bounds {
    /// Sets the timeouts and the search path for this transaction only (LOCAL), so that they work behind a pooler and do not leak to other clients.
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
        // Sent without waiting, which saves a round trip: the next statement is pipelined behind it, and fails if this one fails.
        tx.batch_execute(&set).now_or_never().unwrap_or(Ok(()))
    }
}

/// Cancel tokens of the connections in use.
#[derive(Clone, Default)]
pub(super) struct InUse(Arc<Mutex<HashMap<u64, CancelToken>>>);

impl InUse {
    fn tokens(&self) -> MutexGuard<'_, HashMap<u64, CancelToken>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a connection taken from the pool.
    pub(super) fn lend(&self, object: Object, path: Option<Arc<str>>) -> Connection {
        let mut tokens = self.tokens();
        let number = tokens.keys().max().map_or(0, |highest| highest + 1);
        tokens.insert(number, object.cancel_token());
        Connection { object, path, _lent: Lent { number, in_use: self.clone() } }
    }

    /// Asks the server to cancel the statement of every connection in use.
    pub(super) async fn cancel(&self, target: &Target) -> anyhow::Result<()> {
        let tls = target.tls()?;
        let tokens: Vec<CancelToken> = self.tokens().values().cloned().collect();
        log::info!(connections = tokens.len(); "cancelling running statements");
        let requests = tokens.iter().map(|token| tokio::time::timeout(CANCEL_TIMEOUT, token.cancel_query(tls.clone())));
        for result in join_all(requests).await {
            match result {
                Ok(Ok(())) => {}
                Ok(Err(error)) => log::debug!("a statement could not be cancelled: {error}"),
                Err(_) => log::debug!("a statement could not be cancelled within {} s", CANCEL_TIMEOUT.as_secs()),
            }
        }
        Ok(())
    }
}

/// The entry of a connection in [`InUse`]; removed on drop.
struct Lent {
    number: u64,
    in_use: InUse,
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.in_use.tokens().remove(&self.number);
    }
}

/// A connection. Returns to the pool on drop.
pub struct Connection {
    object: Object,
    /// The search path that each transaction must set first (see `search_path`).
    path: Option<Arc<str>>,
    _lent: Lent,
}

impl Connection {
    /// Begins a transaction with the default timeouts.
    ///
    /// # Errors
    /// Returns an error with the context `what` if the connection is gone.
    pub async fn begin(&mut self, what: &'static str) -> anyhow::Result<Transaction<'_>> {
        self.begin_within(&BOUNDS, what).await
    }

    /// Begins a transaction with these timeouts.
    ///
    /// # Errors
    /// Returns an error with the context `what` if the connection is gone.
    pub async fn begin_within(&mut self, bounds: &Bounds, what: &'static str) -> anyhow::Result<Transaction<'_>> {
        let tx = self.object.transaction().await.context(what)?;
        bounds.set(&tx, self.path.as_deref()).context(what)?;
        Ok(tx)
    }

    /// Begins a read-only transaction that sees one snapshot.
    ///
    /// # Errors
    /// Returns an error with the context `what` if the connection is gone.
    pub async fn snapshot(&mut self, what: &'static str) -> anyhow::Result<Transaction<'_>> {
        let snapshot = self.object.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let tx = snapshot.start().await.context(what)?;
        BOUNDS.set(&tx, self.path.as_deref()).context(what)?;
        Ok(tx)
    }

    /// Closes the connection instead of returning it: its statement may still be running, and the next user must not wait for it.
    pub fn discard(self) {
        drop(Object::take(self.object));
    }
}

/// Single statements, with the signatures of tokio-postgres.
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

    /// Streams the rows.
    pub async fn query_typed_raw<P, I>(&self, statement: &str, parameters: I) -> Result<RowStream, Error>
    where
        P: BorrowToSql,
        I: IntoIterator<Item = (P, Type)>,
    {
        search_path::streamed(self.client(), self.path.as_deref(), self.client().query_typed_raw(statement, parameters)).await
    }
}
