//! A private PostgreSQL cluster run with the installed binaries, for when no database is configured. Independent of the schema.
//!
//! ```text
//! DATA_DIR/             0700; owned by the user that runs the server, and only accessed with that user's rights
//!   start.lock          held while the cluster is created, started or stopped
//!   data/               PostgreSQL's data directory, renamed into place once complete
//!   run/                the socket; a folder in /tmp if this path is too long
//!   server.log[.1]
//! ```
//!
//! The server keeps running for the next run. All functions block: they are called before the async runtime starts.

pub mod backup;
mod binaries;
mod files;
mod init;
mod owner;
mod process;
mod server;

use std::ffi::OsStr;
use std::fmt;
use std::io::ErrorKind;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

use crate::error::Fault;
use crate::trusted::User;
use owner::Owner;
use process::PidFile;

/// Name of the cluster's superuser and database.
const NAME: &str = "syncctl";

/// PostgreSQL's data directory and the server's log in the cluster's folder.
const DATA: &str = "data";
const LOG: &str = "server.log";

/// A private cluster in a folder. Nothing is created or started before [`Cluster::ensure_running`].
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The configured path, with links unresolved.
    named: PathBuf,
    data_dir: PathBuf,
    socket_dir: PathBuf,
    config: Vec<String>,
    port: u16,
    tcp: bool,
    logical: bool,
}

/// How a cluster was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Open transactions were rolled back and everything was written, or it was not running.
    Cleanly,
    /// It hung for `after` seconds and was stopped as if by a power failure: the next start recovers committed data.
    AtOnce { after: u64 },
}

/// The state of a cluster.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Status {
    /// Whether it answers on its socket.
    pub running: bool,
    /// The server's process, if it is running.
    pub pid: Option<i32>,
    /// Major version of the data; `None` if the cluster does not exist yet.
    pub version: Option<String>,
    /// The cluster's folder.
    pub data_dir: PathBuf,
    /// The folder of its socket.
    pub socket_dir: PathBuf,
    /// Size on disk.
    pub bytes: u64,
}

/// The default folder of the cluster: `$XDG_DATA_HOME/syncctl/postgres`, for root `/var/lib/syncctl/postgres`.
///
/// # Errors
/// Returns `Fault::settings` if there is no home folder.
pub fn default_data_dir() -> anyhow::Result<PathBuf> {
    // For root, another user runs the server and cannot access root's home.
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/syncctl/postgres".into());
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    let data = data.ok_or_else(|| {
        Fault::settings("neither XDG_DATA_HOME nor HOME is set: set db.data_dir to the folder for the database")
    })?;
    Ok(data.join("syncctl/postgres"))
}

impl Cluster {
    /// The cluster in this folder. The folder need not exist.
    pub fn at(data_dir: &Path) -> Self {
        let named = data_dir.to_owned();
        let data_dir = files::resolve(data_dir);
        let port = 5432;
        let socket_dir = files::socket_dir(&data_dir);
        Self { named, data_dir, socket_dir, config: Vec::new(), port, tcp: false, logical: false }
    }

    /// Adds lines of `postgresql.conf` after the defaults. They take effect at the next start.
    pub fn with_config(mut self, lines: Vec<String>) -> Self {
        self.config = lines;
        self
    }

    /// Also listens on 127.0.0.1, with password authentication. Takes effect at the next start.
    pub fn with_tcp(mut self, port: u16) -> Self {
        (self.port, self.tcp) = (port, true);
        self
    }

    /// Lets logical replication read it. Takes effect at the next start.
    pub fn with_logical_replication(mut self, logical: bool) -> Self {
        self.logical = logical;
        self
    }

    /// Creates the cluster if it does not exist and starts it unless it is running. Concurrent calls are safe.
    ///
    /// Takes a fraction of a millisecond if the cluster is running. The server keeps running. Returns `true` if the cluster was created.
    ///
    /// # Errors
    /// Returns `Fault::unavailable` if PostgreSQL is not installed or the server does not start, `Fault::settings` if the folder cannot be used.
    pub fn ensure_running(&self) -> anyhow::Result<bool> {
        // `start` reports problems with the folder.
        if self.inside(|_| Ok(self.answers())).unwrap_or(false) {
            return Ok(false);
        }
        self.start().with_context(|| format!("starting the private cluster in {}", self.data_dir.display()))
    }

    /// Stops the server, rolling back open transactions, and waits until it is down. Falls back to an immediate shutdown if it hangs. Succeeds if it is
    /// not running.
    ///
    /// # Errors
    /// Returns `Fault::unavailable` if it does not stop even then.
    pub fn stop(&self) -> anyhow::Result<Stopped> {
        let stopped = self.inside(|_| {
            if !self.data().try_exists().unwrap_or(true) {
                return Ok(Stopped::Cleanly);
            }
            let _lock = files::lock(&self.lock_file())?;
            self.stop_locked()
        });
        stopped.with_context(|| format!("stopping the private cluster in {}", self.data_dir.display()))
    }

    /// Checks that a PostgreSQL version that can run this cluster is installed.
    ///
    /// # Errors
    /// Returns `Fault::unavailable` with the command that installs one.
    pub fn installed(&self) -> Result<(), Fault> {
        // An unreadable version is reported when the cluster is started.
        binaries::Binaries::find(self.inside(|_| self.made_by()).ok().flatten()).map(drop)
    }

    /// Returns its current state.
    pub fn status(&self) -> anyhow::Result<Status> {
        self.inside(|_| {
            let version = std::fs::read_to_string(self.data().join("PG_VERSION")).ok();
            let running = self.answers();
            Ok(Status {
                running,
                pid: PidFile::read(&self.data()).filter(|_| running).map(|file| file.pid),
                version: version.map(|version| version.trim().to_owned()),
                data_dir: self.data_dir.clone(),
                socket_dir: self.socket_dir.clone(),
                bytes: files::size(&self.data_dir),
            })
        })
    }

    /// The message after creating a cluster, so that a misspelt `DATABASE_URL` does not go unnoticed.
    pub fn notice(&self) -> String {
        format!(
            "no database is set in db.url or DATABASE_URL, so a private one was created in {0}. If you meant another one, stop this one with \
             `syncctl db stop`, set db.url, and delete {0}",
            self.data_dir.display()
        )
    }

    /// libpq keywords to connect by its socket. They contain no secret: the mode of the folder restricts access.
    pub fn url(&self) -> String {
        let host = self.socket_dir.to_string_lossy().replace('\\', r"\\").replace('\'', r"\'");
        format!("host='{host}' port={} user={NAME} dbname={NAME}", self.port)
    }

    /// A command that runs a PostgreSQL client (`psql`, `pg_dump`, `pg_restore`) on this cluster, which must exist.
    ///
    /// # Errors
    /// Returns an error if the version of the cluster cannot be read.
    pub fn client<A: AsRef<OsStr>>(&self, name: &str, args: impl IntoIterator<Item = A>) -> anyhow::Result<Command> {
        let major = self.inside(|_| self.made_by())?.context("the private cluster does not exist yet")?;
        let mut client = Command::new(binaries::client(name, major));
        client
            .args(args)
            .env("PGHOST", &self.socket_dir)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", NAME)
            .env("PGDATABASE", NAME);
        Ok(client)
    }

    /// Runs `work` in the cluster's folder with the rights of its owner instead of root's.
    fn inside<T: Send>(&self, work: impl FnOnce(&Owner) -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let owner = self.owner()?;
        owner.act(|| work(&owner))
    }

    /// # Errors
    /// Returns `Fault::settings` if the folder belongs, or could belong, to another user.
    fn owner(&self) -> anyhow::Result<Owner> {
        match User::me().folder_of(&self.named) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(files::unusable(&self.named, &error).into()),
            // A missing folder is created later; other problems are reported by `Owner::of`.
            _ => Owner::of(&self.data_dir),
        }
    }

    /// Whether it is ready and accepts connections. Costs two small reads and one connect.
    fn answers(&self) -> bool {
        // In /tmp any user could have created the socket's folder and listen there instead of this server.
        let ready = PidFile::read(&self.data()).is_some_and(|file| file.ready);
        ready && files::same_owner_only(&self.socket_dir, &self.data_dir) && UnixStream::connect(self.socket()).is_ok()
    }

    fn data(&self) -> PathBuf {
        self.data_dir.join(DATA)
    }

    fn lock_file(&self) -> PathBuf {
        self.data_dir.join("start.lock")
    }

    fn log_file(&self) -> PathBuf {
        self.data_dir.join(LOG)
    }

    fn socket(&self) -> PathBuf {
        self.socket_dir.join(format!(".s.PGSQL.{}", self.port))
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.as_deref().map_or_else(String::new, |version| format!(", PostgreSQL {version}"));
        match (self.pid, &self.version) {
            (Some(pid), _) => write!(f, "cluster   running, pid {pid}{version}")?,
            (None, Some(_)) => write!(f, "cluster   stopped{version}")?,
            (None, None) => write!(f, "cluster   not created yet")?,
        }
        if self.version.is_some() {
            write!(f, ", {} MB on disk", self.bytes.div_ceil(1_000_000))?;
        }
        write!(f, "\nfolder    {}\nsocket    {}", self.data_dir.display(), self.socket_dir.display())
    }
}
