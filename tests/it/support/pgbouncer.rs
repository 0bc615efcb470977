//! PgBouncer in transaction mode in front of a test cluster: many clients, few server connections.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::postgres::watchdog::Watchdog;
use super::postgres::{self, Postgres};

/// Server connections per database.
pub const SERVER_CONNECTIONS: usize = 4;

/// A running pooler. Stopped when dropped, or with the test process.
pub struct PgBouncer {
    process: Child,
    port: u16,
    _watchdog: Watchdog,
}

/// The pooler in front of the cluster shared by the tests of this process.
pub fn shared() -> &'static PgBouncer {
    static SHARED: OnceLock<PgBouncer> = OnceLock::new();
    SHARED.get_or_init(|| start(postgres::shared()))
}

/// Starts a pooler on a free port of 127.0.0.1.
pub fn start(server: &Postgres) -> PgBouncer {
    // Another process may take a free port before it is used here.
    (0..5).find_map(|_| try_start(server)).expect("PgBouncer starts on one of five free ports")
}

/// A currently free port of 127.0.0.1.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn try_start(server: &Postgres) -> Option<PgBouncer> {
    let folder = tempfile::Builder::new().prefix("syncctl-test-").tempdir().expect("a temporary folder").keep();
    let watchdog = Watchdog::over(&folder, &folder);
    let port = free_port();
    let settings = folder.join("pgbouncer.ini");
    fs::write(&settings, settings_text(server, &folder, port)).expect("settings");

    let mut command = Command::new(program());
    let owner = fs::metadata(server.socket_dir()).expect("the cluster's socket folder");
    if fs::metadata(&folder).expect("the folder").uid() == 0 {
        // It refuses to run as root, and must reach the cluster's private socket.
        for path in [&folder, &settings] {
            chown(path, Some(owner.uid()), Some(owner.gid())).expect("giving the pooler its folder");
        }
        command.uid(owner.uid()).gid(owner.gid());
    }
    fs::set_permissions(&settings, fs::Permissions::from_mode(0o600)).expect("a mode");
    command.arg(&settings).current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut process = command.spawn().expect("pgbouncer starts (scripts/ensure-pgbouncer installs it)");

    let mut log = BufReader::new(process.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let up = log.by_ref().any(|line| line.contains("process up"));
    // A full pipe would block it eventually.
    std::thread::spawn(move || log.for_each(drop));
    let mut bouncer = PgBouncer { process, port, _watchdog: watchdog };
    if !up {
        bouncer.process.wait().expect("it ends");
    }
    up.then_some(bouncer)
}

fn settings_text(server: &Postgres, folder: &Path, port: u16) -> String {
    let (socket, server_port, folder) = (server.socket_dir(), server.port(), folder.display());
    format!(
        "[databases]
* = host={} port={server_port} user=syncctl
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {SERVER_CONNECTIONS}
max_client_conn = 200
pidfile = {folder}/pgbouncer.pid
",
        socket.display()
    )
}

fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"].map(PathBuf::from);
    let mut programs = std::env::split_paths(&path).chain(more).map(|folder| folder.join("pgbouncer"));
    programs.find(|program| program.is_file()).expect("pgbouncer (scripts/ensure-pgbouncer installs it)")
}

impl PgBouncer {
    /// The URL of a database of the cluster, through the pooler.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://syncctl@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
