//! Starts and stops the server of a cluster, whatever state the previous server left behind. Called with the lock held.

use std::fmt::Write;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;

use super::binaries::Binaries;
use super::owner::{self, Owner};
use super::process::{self, PidFile};
use super::{Cluster, DATA, LOG, Stopped, files};
use crate::error::Fault;

/// How long a server may take to start or stop, including recovery after a crash.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a fast shutdown may take, which rolls back open transactions and writes a checkpoint, before an immediate shutdown follows; the next start
/// then recovers from the log. And how long the immediate shutdown may take: after five seconds the server kills its processes that hang.
const FAST_TIMEOUT: Duration = Duration::from_secs(20);
const IMMEDIATE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a server that reports it is ready may have an unreachable socket, and how long a pid file may be without a process id.
const GRACE: Duration = Duration::from_secs(2);

/// Interval between checks of a server that starts or stops.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Size in bytes at which the server's log is rotated.
const LOG_MAX: u64 = 8 << 20;

/// Settings for logical replication. A reader that stays away must not fill the disk: its slot is given up once it holds back this much.
const LOGICAL: &str = "wal_level = logical\nmax_wal_senders = 10\nmax_replication_slots = 10\nmax_slot_wal_keep_size = '4GB'";

impl Cluster {
    /// Starts the server. Returns `true` if the cluster was created first.
    pub(super) fn start(&self) -> anyhow::Result<bool> {
        self.owner()?.prepare()?;
        self.inside(|owner| self.start_inside(owner))
    }

    fn start_inside(&self, owner: &Owner) -> anyhow::Result<bool> {
        let _lock = files::lock(&self.lock_file())?;
        // The previous holder of the lock may have started it.
        if self.wait_until_stable()? {
            return Ok(false);
        }
        let made_by = self.made_by()?;
        let binaries = Binaries::find(made_by)?;
        if made_by.is_none() {
            self.initialize(owner, &binaries)?;
        }
        files::private_dir(&self.socket_dir, &self.data_dir)?;
        let settings = self.data().join("syncctl.conf");
        files::write_whole(&settings, &self.settings_text()).context("writing the server's settings")?;
        self.launch(owner, &binaries)?;
        Ok(made_by.is_none())
    }

    /// The major version of the data; `None` if the cluster does not exist yet.
    pub(super) fn made_by(&self) -> anyhow::Result<Option<u32>> {
        let data = self.data();
        match fs::read_to_string(data.join("PG_VERSION")) {
            Ok(version) => {
                Ok(Some(version.trim().parse().with_context(|| format!("reading the version of {}", data.display()))?))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("reading the cluster's version"),
        }
    }

    /// Waits for a server that is starting or stopping, and cleans up after a dead one. Returns `true` if the server is running.
    fn wait_until_stable(&self) -> anyhow::Result<bool> {
        let data = self.data();
        let pid_file = data.join("postmaster.pid");
        let began = Instant::now();
        while pid_file.try_exists().context("looking for the server's pid file")? {
            if self.answers() {
                return Ok(true);
            }
            let waited = began.elapsed();
            match PidFile::read(&data) {
                Some(file) if process::is_server(file.pid, &data) => {
                    // Its socket was removed, for example by a cleanup of /tmp: only a restart creates another.
                    if file.ready && waited > GRACE {
                        _ = self.stop_locked()?;
                    } else if waited > START_TIMEOUT {
                        return Err(self.late("start or stop").into());
                    }
                }
                // PostgreSQL cleans up after a dead process, but takes any live process for a server.
                Some(file) if process::is_alive(file.pid) => {
                    log::info!("{}: process {} is another program now", pid_file.display(), file.pid);
                    fs::remove_file(&pid_file).context("removing a stale pid file")?;
                }
                Some(_) => return Ok(false),
                None if waited > GRACE => fs::remove_file(&pid_file).context("removing an empty pid file")?,
                None => {}
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        Ok(false)
    }

    /// Starts the server and waits until it is ready.
    fn launch(&self, owner: &Owner, binaries: &Binaries) -> anyhow::Result<()> {
        self.rotate_log();
        self.remove_socket().context("removing a dead server's socket")?;
        process::keep_descriptors();
        let began = Instant::now();
        loop {
            let log_end = fs::metadata(self.log_file()).map_or(0, |log| log.len());
            let mut pg_ctl = owner.command(binaries.program("pg_ctl"));
            pg_ctl.args(["start", "--wait", "--silent", "--timeout", &START_TIMEOUT.as_secs().to_string()]);
            // Relative names: pg_ctl passes them to a shell, and not every path survives that.
            pg_ctl.args(["--pgdata", DATA, "--log", LOG]);
            // Its streams are discarded: the server would keep a pipe open for as long as it runs.
            let status = pg_ctl.status().context("running pg_ctl")?;
            if status.success() {
                return Ok(());
            }
            let output = read_from(&self.log_file(), log_end).unwrap_or_default();
            // Children of a killed server outlive it for a moment.
            if !output.contains("pre-existing shared memory block") || began.elapsed() > START_TIMEOUT {
                let message = format!("the server did not start ({}): {}", self.log_file().display(), owner::last_lines(&output));
                return Err(Fault::unavailable(message).into());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Stops a running server and waits until it is gone.
    pub(super) fn stop_locked(&self) -> anyhow::Result<Stopped> {
        let data = self.data();
        let server = || PidFile::read(&data).map(|file| file.pid).filter(|pid| process::is_server(*pid, &data));
        let Some(pid) = server() else { return Ok(Stopped::Cleanly) };
        for (how, patience, stopped) in [
            (Signal::INT, FAST_TIMEOUT, Stopped::Cleanly),
            (Signal::QUIT, IMMEDIATE_TIMEOUT, Stopped::AtOnce { after: FAST_TIMEOUT.as_secs() }),
        ] {
            process::signal(pid, how).context("signalling the server")?;
            let began = Instant::now();
            while process::is_server(pid, &data) && began.elapsed() < patience {
                std::thread::sleep(POLL_INTERVAL);
            }
            if !process::is_server(pid, &data) {
                return Ok(stopped);
            }
            log::warn!(pid; "the server did not stop within {} s", patience.as_secs());
        }
        let log = self.log_file();
        Err(Fault::unavailable(format!(
            "the server (process {pid}) did not stop within {} s, not even by an immediate shutdown: see {}, and what the process waits for",
            (FAST_TIMEOUT + IMMEDIATE_TIMEOUT).as_secs(),
            log.display()
        ))
        .into())
    }

    /// Removes the socket and the lock of a killed server: a zombie or another program may now have the process id in the lock. Safe because the folder
    /// belongs to this cluster only, and no server of it is running.
    fn remove_socket(&self) -> io::Result<()> {
        let socket = self.socket();
        for path in [socket.with_file_name(format!(".s.PGSQL.{}.lock", self.port)), socket] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn late(&self, act: &str) -> Fault {
        let (log, waited) = (self.log_file(), START_TIMEOUT.as_secs());
        Fault::unavailable(format!("the server did not {act} in {waited} s: see {}", log.display()))
    }

    /// Rotates the log, so that a server that is started repeatedly does not fill the disk.
    fn rotate_log(&self) {
        let log = self.log_file();
        if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > LOG_MAX)
            && let Err(error) = fs::rename(&log, log.with_extension("log.1"))
        {
            log::warn!("{} cannot be rotated: {error}", log.display());
        }
    }

    /// The server's settings: small enough to idle on any machine, with PostgreSQL's default durability.
    fn settings_text(&self) -> String {
        let folder = self.socket_dir.to_string_lossy().replace('"', "\"\"");
        let folder = folder.replace('\\', r"\\").replace('\'', "''");
        let addresses = if self.tcp { "127.0.0.1" } else { "" };
        let replication = if self.logical { LOGICAL } else { "wal_level = minimal\nmax_wal_senders = 0" };
        let mut text = format!(
            "# Rewritten at each start. Settings of ALTER SYSTEM take precedence.
listen_addresses = '{addresses}'
port = {}
unix_socket_directories = '\"{folder}\"'
unix_socket_permissions = 0700
cluster_name = 'syncctl'
max_connections = 100
shared_buffers = '32MB'
max_wal_size = '1GB'
min_wal_size = '32MB'
{replication}
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
",
            self.port
        );
        for line in &self.config {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}

fn read_from(path: &Path, start: u64) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(64 << 10).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
