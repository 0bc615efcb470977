//! Opens the database: locates it (private cluster or configured), checks the schema, and pools connections.

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

/// How long to wait for a connection while all are in use. Writing a page takes at most a second, so a longer wait is a fault.
const WAIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The location of the database, before connecting.
pub struct DatabaseLocation {
    /// How to connect.
    pub target: Target,
    /// The private cluster, if no database is configured.
    pub cluster: Option<Cluster>,
}

/// Locates the configured database. Starts nothing.
///
/// # Errors
/// Returns `Fault::settings` if the settings do not name a usable database.
pub fn locate(settings: &Db) -> anyhow::Result<DatabaseLocation> {
    let password = Some(settings.password.expose_secret()).filter(|password| !password.is_empty());
    let url = settings.url.expose_secret();
    if !url.is_empty() || conninfo::names_a_service() {
        let target = Target::with_environment(url, password, settings.connect_timeout)?.with_schema(&settings.schema);
        log::info!("database: {}", target.display());
        return Ok(DatabaseLocation { target, cluster: None });
    }
    let cluster = Cluster::at(&data_dir(settings)?).with_logical_replication(settings.logical_replication);
    let target = Target::parse(&cluster.url(), None, settings.connect_timeout)?.with_schema(&settings.schema);
    log::info!("database: the private cluster, {}", target.display());
    Ok(DatabaseLocation { target, cluster: Some(cluster) })
}

/// The folder of the private cluster.
pub fn data_dir(settings: &Db) -> anyhow::Result<PathBuf> {
    if settings.data_dir.as_os_str().is_empty() { embedded::default_data_dir() } else { Ok(settings.data_dir.clone()) }
}

impl DatabaseLocation {
    /// Starts the private cluster if it is used and not running. Reports the creation of a cluster on standard error.
    pub fn ensure_running(&self) -> anyhow::Result<()> {
        if let Some(cluster) = &self.cluster
            && cluster.ensure_running()?
        {
            progress::notice(&cluster.notice());
        }
        Ok(())
    }

    /// Whether commands apply migrations automatically.
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
    /// The search path that transactions must set first (see `search_path`), once it is known.
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
            .wait_timeout(Some(WAIT_TIMEOUT))
            .runtime(Runtime::Tokio1)
            .build()
            .context("building the connection pool")?;
        Ok(Self { inner, target, in_use: InUse::default(), path: Arc::default() })
    }

    /// Returns a connection.
    ///
    /// # Errors
    /// Returns a `Fault` that explains why the database cannot be reached.
    pub async fn get(&self) -> anyhow::Result<Connection> {
        let object = self.object().await?;
        let read = async || anyhow::Ok(search_path::locate(&object, self.target.schema()).await?.setting().map(Arc::from));
        let path = self.path.get_or_try_init(read).await?.clone();
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
                    duration::text(WAIT_TIMEOUT)
                );
                Err(Fault::unavailable(message).into())
            }
            Err(PoolError::Timeout(_)) => {
                let message = format!("connecting to {} timed out", self.target.display());
                Err(Fault::unavailable(message).into())
            }
            Err(error) => Err(anyhow::Error::new(error).context("getting a connection")),
        }
    }

    /// A handle to the same pool whose connections can be cancelled separately.
    pub fn of_one_run(&self) -> Self {
        Self { in_use: InUse::default(), ..self.clone() }
    }

    /// Cancels every running statement on connections taken from this handle: each fails, and its transaction is rolled back.
    pub async fn cancel(&self) {
        if let Err(error) = self.in_use.cancel(&self.target).await {
            log::warn!("running statements cannot be cancelled: {error:#}");
        }
    }

    /// Compares the schema with the one that this binary knows.
    ///
    /// # Errors
    /// Returns an error if the database cannot be reached or read.
    pub async fn check_schema(&self) -> anyhow::Result<migrate::Schema> {
        let client = self.object().await?;
        let (located, version) = search_path::version(&client, self.target.schema()).await?;
        if located.is_installed {
            // Fails if it is already set, which is harmless.
            self.path.set(located.setting().map(Arc::from)).ok();
        }
        Ok(migrate::compare(version.unwrap_or(0)))
    }
}

/// Gives an error that ends a command the matching exit code if the database became unavailable or the role lacks privileges.
pub fn explained(error: anyhow::Error) -> anyhow::Error {
    let state = sql_state(&error).unwrap_or_default();
    if error.is::<Fault>() {
        return error;
    }
    if state == SqlState::INSUFFICIENT_PRIVILEGE.code() {
        let remedy = "the role in db.url lacks a privilege: sql/roles.sql creates a role for jobs, and one that owns the tables for `db migrate`";
        return Fault::settings(format!("{error:#}; {remedy}")).into();
    }
    let what = if is_gone(&error) {
        "the database went away"
    } else if is_held_up(&error) {
        "the database held it up (`syncctl doctor` names what it waited for)"
    } else if state.starts_with("53") {
        // Class 53, such as disk full or out of memory: the server is running but temporarily cannot write.
        "the database cannot accept writes (disk full or out of memory)"
    } else {
        return error;
    };
    Fault::unavailable(format!("{what}: {error:#}; the next run writes what is missing")).into()
}

/// Whether a statement failed because it waited too long for a lock or was cancelled.
pub fn is_held_up(error: &anyhow::Error) -> bool {
    sql_state(error).is_some_and(|state| state == LOCKED || state == CANCELLED)
}

/// Whether PostgreSQL aborted the transaction so that others could proceed (deadlock, serialization failure): it can be repeated as it is.
pub fn was_aborted(error: &anyhow::Error) -> bool {
    matches!(sql_state(error), Some("40P01" | "40001"))
}

/// Maximum number of times that such a transaction is repeated.
pub const ABORT_RETRIES: u32 = 5;

/// SQLSTATE of a lock timeout.
pub const LOCKED: &str = "55P03";
/// SQLSTATE of a cancelled statement.
pub const CANCELLED: &str = "57014";

/// Whether an error means that the connection or the server went away, rather than that a statement failed. After a failover, an existing connection
/// can lead to a server that is now read-only.
pub fn is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let Some(error) = cause.downcast_ref::<tokio_postgres::Error>() else { return false };
        // Class 08: connection exceptions; 57P: shutdown or terminated session; 25006: read-only; 25P03: idle-in-transaction timeout.
        let is_disconnect =
            |state: &str| state.starts_with("08") || state.starts_with("57P") || state == "25006" || state == "25P03";
        let broken = std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>());
        error.is_closed() || broken || error.code().is_some_and(|state| is_disconnect(state.code()))
    })
}
