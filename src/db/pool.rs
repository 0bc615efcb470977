//! Which database, opened: the private cluster or the one named, its schema checked, and a pool of connections.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::{Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime, TimeoutType};
use secrecy::ExposeSecret;
use tokio::sync::OnceCell;
use tokio_postgres::error::SqlState;

use super::connection::{Connection, InUse};
use super::conninfo::{self, Target};
use super::embedded::{self, Cluster};
use super::migrate;
use super::search_path;
use crate::config::{AutoMigrate, Db, duration};
use crate::error::{Fault, sql_state};
use crate::progress;

/// How long a connection is waited for while others use them all. A page takes a second at the most, so this much is a fault.
const WAIT: Duration = Duration::from_secs(60);

/// Where the database is, before anything is connected.
pub struct DatabaseLocation {
    /// How to connect.
    pub target: Target,
    /// The private cluster, where no database is configured.
    pub cluster: Option<Cluster>,
}

/// Finds the database that the settings name. Starts nothing.
///
/// # Errors
/// Settings that name no usable database (exit 78).
pub fn locate(settings: &Db) -> anyhow::Result<DatabaseLocation> {
    let password = Some(settings.password.expose_secret()).filter(|password| !password.is_empty());
    let url = settings.url.expose_secret();
    if !url.is_empty() {
        let target = Target::parse(url, password, settings.connect_timeout)?;
        log::info!("database: {}", target.display());
        return Ok(DatabaseLocation { target, cluster: None });
    }
    let cluster = Cluster::at(&data_dir(settings)?);
    let target = Target::parse(&cluster.url(), None, settings.connect_timeout)?;
    log::info!("database: the private cluster, {}", target.display());
    Ok(DatabaseLocation { target, cluster: Some(cluster) })
}

/// The folder of the private cluster.
pub fn data_dir(settings: &Db) -> anyhow::Result<PathBuf> {
    match settings.data_dir.as_os_str().is_empty() {
        true => embedded::default_data_dir(),
        false => Ok(settings.data_dir.clone()),
    }
}

impl DatabaseLocation {
    /// Starts the private cluster if that is what we have and it does not run. That one was made is said on standard error, once.
    pub fn ensure_running(&self) -> anyhow::Result<()> {
        if let Some(cluster) = &self.cluster
            && cluster.ensure_running()?
        {
            progress::above_bars(&format!("syncctl: {}\n", cluster.notice()));
        }
        Ok(())
    }

    /// Whether a command may apply migrations by itself.
    pub fn migrates_itself(&self, settings: &Db) -> bool {
        match settings.auto_migrate {
            AutoMigrate::Auto => self.cluster.is_some(),
            AutoMigrate::On => true,
            AutoMigrate::Off => false,
        }
    }
}

/// Connections of one run. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    inner: deadpool_postgres::Pool,
    target: Target,
    in_use: InUse,
    /// What transactions have to set first (see `path`), once it is known.
    path: Arc<OnceCell<Option<Arc<str>>>>,
}

impl Pool {
    /// A pool that has not connected yet.
    pub fn new(target: Target, settings: &Db) -> anyhow::Result<Self> {
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(target.config(), target.tls()?, recycling);
        let inner = deadpool_postgres::Pool::builder(manager)
            .max_size(settings.pool_size as usize)
            .create_timeout(Some(settings.connect_timeout))
            .wait_timeout(Some(WAIT))
            .runtime(Runtime::Tokio1)
            .build()
            .context("building the connection pool")?;
        Ok(Self { inner, target, in_use: InUse::default(), path: Arc::default() })
    }

    /// A connection.
    ///
    /// # Errors
    /// A `Fault` that says why the database cannot be reached.
    pub async fn get(&self) -> anyhow::Result<Connection> {
        let object = self.object().await?;
        let path = self.path.get_or_try_init(async || anyhow::Ok(search_path::read(&object).await?.map(Arc::from))).await?;
        let path = path.clone();
        Ok(self.in_use.lend(object, path))
    }

    async fn object(&self) -> anyhow::Result<Object> {
        match self.inner.get().await {
            Ok(object) => Ok(object),
            Err(PoolError::Backend(error)) => Err(conninfo::explain(&error, &self.target).into()),
            Err(PoolError::Timeout(TimeoutType::Wait)) => {
                let busy = self.inner.status().max_size;
                let message = format!(
                    "all {busy} connections to {} were busy for {}: raise db.pool_size, or lower engine.concurrency",
                    self.target.display(),
                    duration::text(WAIT)
                );
                Err(Fault::unavailable(message).into())
            }
            Err(PoolError::Timeout(_)) => {
                let message = format!("no connection to {} in time", self.target.display());
                Err(Fault::unavailable(message).into())
            }
            Err(error) => Err(anyhow::Error::new(error).context("getting a connection")),
        }
    }

    /// The same connections, of which those that this value gives out can be cancelled by themselves.
    pub fn of_one_run(&self) -> Self {
        Self { in_use: InUse::default(), ..self.clone() }
    }

    /// Cancels every statement that is under way on a connection that this value has given out: each fails, and its transaction is rolled back.
    pub async fn cancel(&self) {
        if let Err(error) = self.in_use.cancel(&self.target).await {
            log::warn!("statements that are under way cannot be cancelled: {error:#}");
        }
    }

    /// Checks that the schema is the one this binary knows.
    ///
    /// # Errors
    /// A `Fault` (exit 78) when it is missing, older or newer, with what to do.
    pub async fn check_schema(&self) -> anyhow::Result<migrate::Schema> {
        let client = self.object().await?;
        // Every command begins with this: the search path comes in the same round trip.
        let statement = format!("SELECT (SELECT pg_catalog.max(version) FROM schema_migrations), {}", search_path::MIXED);
        match client.query_typed_one(&statement, &[]).await {
            Ok(row) => {
                // It may be known already.
                self.path.set(search_path::setting(row.try_get(1)?).map(Arc::from)).ok();
                Ok(migrate::compare(row.try_get::<_, Option<i32>>(0)?.unwrap_or(0)))
            }
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(migrate::Schema::Behind { version: 0 }),
            Err(error) => Err(error).context("reading the schema version"),
        }
    }
}

/// An error that ends a command, with the exit code that fits where the database went away, or lets the role do too little.
pub fn explained(error: anyhow::Error) -> anyhow::Error {
    let state = sql_state(&error).unwrap_or_default();
    let what = match () {
        () if error.is::<Fault>() => return error,
        () if state == SqlState::INSUFFICIENT_PRIVILEGE.code() => {
            let remedy = "the role in db.url has no right to that: sql/roles.sql makes one for jobs and one that owns the tables, for `db migrate`";
            return Fault::settings(format!("{error:#}; {remedy}")).into();
        }
        () if is_gone(&error) => "the database went away",
        () if is_held_up(&error) => "the database held it up (`syncctl doctor` names what it waited for)",
        // Class 53: a full disk, no memory. The server lives and cannot write at the moment.
        () if state.starts_with("53") => "the database takes nothing",
        () => return error,
    };
    Fault::unavailable(format!("{what}: {error:#}; what was not written is done by the next run")).into()
}

/// Whether a statement was given up because it waited for too long for what another transaction holds, or was cancelled.
pub fn is_held_up(error: &anyhow::Error) -> bool {
    sql_state(error).is_some_and(|state| state == LOCKED || state == CANCELLED)
}

/// SQLSTATE of a lock that was not to be had in time, and of a statement that was cancelled.
pub const LOCKED: &str = "55P03";
/// The server ended one of several transactions that waited for each other.
pub const DEADLOCK: &str = "40P01";
pub const CANCELLED: &str = "57014";

/// Whether an error says that the connection or the server went away, and not that a statement was wrong. After a failover what is connected can
/// be to a server that only reads now.
pub fn is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let Some(error) = cause.downcast_ref::<tokio_postgres::Error>() else { return false };
        // Class 08: connection exceptions; 57P: the server is stopping, or was told to end the session; 25006: it only reads; 25P03: it stood idle.
        let says_so = |state: &str| state.starts_with("08") || state.starts_with("57P") || state == "25006" || state == "25P03";
        let broken = std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
        error.is_closed() || broken || error.code().is_some_and(|state| says_so(state.code()))
    })
}
