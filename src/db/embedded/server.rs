//! Starts and stops the server of a cluster, whatever state the last one left behind. Called with the lock held.

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

/// How long a server may take to start or to stop; recovery after a crash is part of it.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a server may take to roll back what is open and to write what it holds, before it is told to drop it; then its log brings that back at
/// the next start. And how long for that: after five seconds it kills whichever of its processes hangs.
const FAST: Duration = Duration::from_secs(20);
const IMMEDIATE: Duration = Duration::from_secs(20);

/// How long a server that says it is ready may leave its socket dead, and a pid file may be without a number.
const DOUBT: Duration = Duration::from_secs(2);

/// How often a server that starts or stops is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Size at which the server's log moves aside.
const LOG_MAX: u64 = 8 << 20;

impl Cluster {
    /// True: the cluster was made first.
    pub(super) fn start(&self) -> anyhow::Result<bool> {
        self.owner()?.prepare()?;
        self.inside(|owner| self.start_inside(owner))
    }

    fn start_inside(&self, owner: &Owner) -> anyhow::Result<bool> {
        let _lock = files::lock(&self.lock_file())?;
        // Whoever held the lock before us may have started it.
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

    /// The major version that made the data; none: the cluster is not made yet.
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

    /// Waits out a server on its way up or down and clears what a dead one left. True: it runs.
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
                    // Its socket was removed, say by a cleaner of /tmp: only a new start makes another.
                    if file.ready && waited > DOUBT {
                        _ = self.stop_locked()?;
                    } else if waited > PATIENCE {
                        return Err(self.late("start or stop").into());
                    }
                }
                // PostgreSQL itself clears up after a dead process, but believes any living one.
                Some(file) if process::is_alive(file.pid) => {
                    log::info!("{}: process {} is another program now", pid_file.display(), file.pid);
                    fs::remove_file(&pid_file).context("removing a stale pid file")?;
                }
                Some(_) => return Ok(false),
                None if waited > DOUBT => fs::remove_file(&pid_file).context("removing an empty pid file")?,
                None => {}
            }
            std::thread::sleep(LOOK);
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
            pg_ctl.args(["start", "--wait", "--silent", "--timeout", &PATIENCE.as_secs().to_string()]);
            // Names from where it runs: pg_ctl hands them to a shell, and not every path survives that.
            pg_ctl.args(["--pgdata", DATA, "--log", LOG]);
            // Its streams go nowhere: the server would hold a pipe open for as long as it runs.
            let status = pg_ctl.status().context("running pg_ctl")?;
            if status.success() {
                return Ok(());
            }
            let words = read_from(&self.log_file(), log_end).unwrap_or_default();
            // Children of a killed server live for a moment after it.
            if !words.contains("pre-existing shared memory block") || began.elapsed() > PATIENCE {
                let message = format!("the server did not start ({}): {}", self.log_file().display(), owner::last_lines(&words));
                return Err(Fault::unavailable(message).into());
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Stops a server that runs and waits until it is gone.
    pub(super) fn stop_locked(&self) -> anyhow::Result<Stopped> {
        let data = self.data();
        let server = || PidFile::read(&data).map(|file| file.pid).filter(|pid| process::is_server(*pid, &data));
        let Some(pid) = server() else { return Ok(Stopped::Cleanly) };
        for (how, patience, stopped) in
            [(Signal::INT, FAST, Stopped::Cleanly), (Signal::QUIT, IMMEDIATE, Stopped::AtOnce { after: FAST.as_secs() })]
        {
            process::signal(pid, how).context("signalling the server")?;
            let began = Instant::now();
            while process::is_server(pid, &data) && began.elapsed() < patience {
                std::thread::sleep(LOOK);
            }
            if !process::is_server(pid, &data) {
                return Ok(stopped);
            }
            log::warn!(pid; "the server did not stop within {} s", patience.as_secs());
        }
        let log = self.log_file();
        Err(Fault::unavailable(format!(
            "the server (process {pid}) did not stop in {} s, though it was told to drop everything: see {}, and what the process waits for",
            (FAST + IMMEDIATE).as_secs(),
            log.display()
        ))
        .into())
    }

    /// What a killed server left: its lock names a process, whose number a zombie or another program may have now. The folder
    /// is this cluster's alone, and no server of it runs.
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
        let (log, waited) = (self.log_file(), PATIENCE.as_secs());
        Fault::unavailable(format!("the server did not {act} in {waited} s: see {}", log.display()))
    }

    /// A server that is started again and again must not fill the disk with its log.
    fn rotate_log(&self) {
        let log = self.log_file();
        if fs::metadata(&log).is_ok_and(|found| found.len() > LOG_MAX)
            && let Err(error) = fs::rename(&log, log.with_extension("log.1"))
        {
            log::warn!("{} cannot be moved aside: {error}", log.display());
        }
    }

    /// Small enough to stand by on any machine; durable as PostgreSQL is by default.
    fn settings_text(&self) -> String {
        let folder = self.socket_dir.to_string_lossy().replace('"', "\"\"");
        let folder = folder.replace('\\', r"\\").replace('\'', "''");
        let addresses = if self.tcp { "127.0.0.1" } else { "" };
        let mut text = format!(
            "# Written anew at each start. What ALTER SYSTEM sets counts more.
listen_addresses = '{addresses}'
port = {}
unix_socket_directories = '\"{folder}\"'
unix_socket_permissions = 0700
cluster_name = 'syncctl'
max_connections = 100
shared_buffers = '32MB'
max_wal_size = '1GB'
min_wal_size = '32MB'
wal_level = minimal
max_wal_senders = 0
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
