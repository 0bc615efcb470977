//! A PostgreSQL cluster for the whole test process, and databases in it for single tests. Created by syncctl's own private cluster.

pub mod watchdog;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use postgres::{Client, NoTls};
use syncctl::db::embedded::Cluster;
use watchdog::Watchdog;

/// A running cluster. Stopped when dropped, or with the test process.
pub struct Postgres {
    pub cluster: Cluster,
    pub folder: PathBuf,
    port: u16,
    databases: AtomicU32,
    _watchdog: Watchdog,
}

/// The cluster shared by the tests of this process.
pub fn shared() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    SHARED.get_or_init(|| {
        let server = Postgres::new(None, &[]);
        server.cluster.ensure_running().unwrap_or_else(|error| panic!("{error:#}"));
        server
    })
}

impl Postgres {
    /// A cluster that does not exist yet, with additional lines of `postgresql.conf`; also on a port of 127.0.0.1 if given.
    pub fn new(port: Option<u16>, config: &[&str]) -> Self {
        // If the tests run as root, the server runs as another user, which needs access to this folder.
        let new =
            tempfile::Builder::new().prefix("syncctl-test-").permissions(Permissions::from_mode(0o711)).tempdir_in(parent());
        let folder = new.expect("a temporary folder").keep();
        let cluster = Cluster::at(&folder.join("postgres")).with_config(lines(config));
        let cluster = port.map_or(cluster.clone(), |port| cluster.with_tcp(port));
        let watchdog = Watchdog::over(&folder, &cluster.status().expect("a status").socket_dir);
        Self { cluster, folder, port: port.unwrap_or(5432), databases: AtomicU32::new(0), _watchdog: watchdog }
    }

    /// Restarts it with these lines of `postgresql.conf`.
    pub fn restart_with(&mut self, config: &[&str]) {
        self.cluster.stop().unwrap_or_else(|error| panic!("{error:#}"));
        self.cluster = self.cluster.clone().with_config(lines(config));
        self.cluster.ensure_running().unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// A fresh, empty database.
    pub fn database(&'static self) -> Database {
        self.copy_of("template1")
    }

    /// A copy of a database that has no connections.
    pub fn copy_of(&'static self, template: &str) -> Database {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let database = Database { server: self, name: format!("test_{number}") };
        let mut client = self.connect("postgres");
        client.batch_execute(&format!("CREATE DATABASE {} TEMPLATE {template}", database.name)).expect("a new database");
        database
    }

    /// libpq keywords for a database, through the socket, as the superuser.
    pub fn url(&self, database: &str) -> String {
        let host = self.socket_dir().display().to_string().replace('\\', r"\\").replace('\'', r"\'");
        format!("host='{host}' port={} user=syncctl dbname={database}", self.port)
    }

    pub fn connect(&self, database: &str) -> Client {
        Client::connect(&self.url(database), NoTls).unwrap_or_else(|error| panic!("{database}: {error}"))
    }

    pub fn socket_dir(&self) -> PathBuf {
        self.cluster.status().expect("a status").socket_dir
    }

    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Memory where there is plenty, since each test creates and removes a thousand files. `TMPDIR` names another folder.
fn parent() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let has_room = std::env::var_os("TMPDIR").is_none()
        && rustix::fs::statvfs(&memory).is_ok_and(|room| room.f_bavail * room.f_frsize >= 4 << 30);
    if has_room { memory } else { std::env::temp_dir() }
}

/// Added to the cluster's settings: more connections, statement statistics, and no fsync for data that does not matter.
fn lines(config: &[&str]) -> Vec<String> {
    let common = [
        "fsync = off",
        "synchronous_commit = off",
        "full_page_writes = off",
        "max_wal_size = 256MB",
        "max_connections = 200",
        "shared_preload_libraries = 'pg_stat_statements'",
        "pg_stat_statements.max = 20000",
    ];
    common.iter().chain(config).map(|line| (*line).to_owned()).collect()
}

/// One test's database. Dropped with the value, even if it has connections.
pub struct Database {
    server: &'static Postgres,
    name: String,
}

impl Database {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    pub fn connect(&self) -> Client {
        self.server.connect(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A failed test must not abort because of this; the cluster is removed in any case.
        if let Ok(mut client) = Client::connect(&self.server.url("postgres"), NoTls) {
            let _ = client.batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}
