//! A private PostgreSQL cluster from the machine's own binaries, for when no database is configured. Knows no schema.
//!
//! ```text
//! DATA_DIR/             0700; the user that runs the server owns it, and whatever is done inside is done with that user's rights
//!   start.lock          held while the cluster is made, started or stopped
//!   data/               PostgreSQL's own folder, renamed into place once it is whole
//!   run/                the socket; a folder in /tmp where this path is too long for one
//!   server.log[.1]
//! ```
//!
//! The server is left running for the next run. Everything here blocks: it runs before there is a runtime.

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

/// Superuser and database of the cluster.
const NAME: &str = "syncctl";

/// PostgreSQL's own folder and the server's log, in the cluster's.
const DATA: &str = "data";
const LOG: &str = "server.log";

/// A private cluster in a folder. Nothing is made or started before [`Cluster::ensure_running`].
#[derive(Debug, Clone)]
pub struct Cluster {
    /// As it was named, links and all.
    named: PathBuf,
    data_dir: PathBuf,
    socket_dir: PathBuf,
    config: Vec<String>,
    port: u16,
    tcp: bool,
}

/// How a cluster came to its stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// What was open is rolled back, and everything is in its files. Or it did not run.
    Cleanly,
    /// It hung for so many seconds and was stopped as if by a power cut: the next start brings back what was committed.
    AtOnce { after: u64 },
}

/// What a cluster is doing.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Status {
    /// Whether it answers on its socket.
    pub running: bool,
    /// The server's process, where it runs.
    pub pid: Option<i32>,
    /// Major version that made the data; none: the cluster is not made yet.
    pub version: Option<String>,
    /// The cluster's folder.
    pub data_dir: PathBuf,
    /// The folder of its socket.
    pub socket_dir: PathBuf,
    /// Size on disk.
    pub bytes: u64,
}

/// Where the cluster is unless the settings say otherwise: `$XDG_DATA_HOME/syncctl/postgres`, as root `/var/lib/syncctl/postgres`.
///
/// # Errors
/// A `Fault` (exit 78) where there is no home folder.
pub fn default_data_dir() -> anyhow::Result<PathBuf> {
    // Another user runs the server for root, and could not look into root's home.
    if rustix::process::geteuid().is_root() {
        return Ok("/var/lib/syncctl/postgres".into());
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    let data = data.ok_or_else(|| {
        Fault::settings("neither XDG_DATA_HOME nor HOME is set: say in db.data_dir where the database may be kept")
    })?;
    Ok(data.join("syncctl/postgres"))
}

impl Cluster {
    /// The cluster in this folder, which need not exist.
    pub fn at(data_dir: &Path) -> Self {
        let named = data_dir.to_owned();
        let data_dir = files::resolve(data_dir);
        let port = 5432;
        let socket_dir = files::socket_dir(&data_dir);
        Self { named, data_dir, socket_dir, config: Vec::new(), port, tcp: false }
    }

    /// Further lines of `postgresql.conf`, after ours. They count from the next start on.
    pub fn with_config(mut self, lines: Vec<String>) -> Self {
        self.config = lines;
        self
    }

    /// Listens on 127.0.0.1 too, where a password is asked for. From the next start on.
    pub fn with_tcp(mut self, port: u16) -> Self {
        (self.port, self.tcp) = (port, true);
        self
    }

    /// Makes the cluster if there is none and starts it unless it runs. Two callers at once are safe.
    ///
    /// Costs a fraction of a millisecond when it runs already, and leaves it running. True: it was made just now.
    ///
    /// # Errors
    /// A `Fault`: no PostgreSQL on this machine (exit 69), a folder that cannot be used (exit 78), a server that does not start (exit 69).
    pub fn ensure_running(&self) -> anyhow::Result<bool> {
        // What is wrong with the folder is told by the start.
        if self.inside(|_| Ok(self.answers())).unwrap_or(false) {
            return Ok(false);
        }
        self.start().with_context(|| format!("starting the private cluster in {}", self.data_dir.display()))
    }

    /// Stops it, rolling back what is open, and waits until it is down. Not running is fine. One that hangs is told to drop everything.
    ///
    /// # Errors
    /// A `Fault` (exit 69): it does not end even so.
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

    /// Whether this machine has a PostgreSQL that can serve it.
    ///
    /// # Errors
    /// A `Fault` (exit 69) with the line that installs one.
    pub fn installed(&self) -> Result<(), Fault> {
        // A version that cannot be read is told when the cluster is started.
        binaries::Binaries::find(self.inside(|_| self.made_by()).ok().flatten()).map(drop)
    }

    /// What it is doing now.
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

    /// What to say where one was made: a misspelt name of another database must not pass for this one.
    pub fn notice(&self) -> String {
        format!(
            "no database is set in db.url or DATABASE_URL, so a private one was made in {0}. If another was meant, stop this one with `syncctl db stop`, \
             set db.url, and delete {0}",
            self.data_dir.display()
        )
    }

    /// libpq keywords that reach it by its socket. They hold no secret: the folder's mode is what keeps others out.
    pub fn url(&self) -> String {
        let host = self.socket_dir.to_string_lossy().replace('\\', r"\\").replace('\'', r"\'");
        format!("host='{host}' port={} user={NAME} dbname={NAME}", self.port)
    }

    /// A client of PostgreSQL (`psql`, `pg_dump`, `pg_restore`) on this cluster, with these arguments. The cluster is made.
    ///
    /// # Errors
    /// A cluster whose version cannot be read.
    pub fn client<A: AsRef<OsStr>>(&self, name: &str, args: impl IntoIterator<Item = A>) -> anyhow::Result<Command> {
        let major = self.inside(|_| self.made_by())?.context("the private cluster is not made yet")?;
        let mut client = Command::new(binaries::client(name, major));
        client
            .args(args)
            .env("PGHOST", &self.socket_dir)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", NAME)
            .env("PGDATABASE", NAME);
        Ok(client)
    }

    /// Does something in the cluster's folder with the rights of its owner, which are less than root's.
    fn inside<T: Send>(&self, work: impl FnOnce(&Owner) -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let owner = self.owner()?;
        owner.act(|| work(&owner))
    }

    /// # Errors
    /// A `Fault` (exit 78) for a folder that is somebody else's, or could be.
    fn owner(&self) -> anyhow::Result<Owner> {
        match User::me().folder_of(&self.named) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(files::unusable(&self.named, &error).into()),
            // What is not there yet is made, or what is wrong with it is told.
            _ => Owner::of(&self.data_dir),
        }
    }

    /// Whether it is ready and takes connections: two small reads and one connect.
    fn answers(&self) -> bool {
        // In /tmp anybody could have made the socket's folder, and listen there in our server's place.
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
            (None, None) => write!(f, "cluster   not made yet")?,
        }
        if self.version.is_some() {
            write!(f, ", {} MB on disk", self.bytes.div_ceil(1_000_000))?;
        }
        write!(f, "\nfolder    {}\nsocket    {}", self.data_dir.display(), self.socket_dir.display())
    }
}
