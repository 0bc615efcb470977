//! Backups of the private cluster, by PostgreSQL's own `pg_dump` and `pg_restore`. What a restore replaces stays beside it.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use postgres::error::SqlState;
use postgres::{Client, NoTls};

use super::{Cluster, NAME};
use crate::error::Fault;

/// Where a backup is read into, and what a restore put aside.
const FRESH: &str = "syncctl_restoring";
/// The database that was there before the last restore.
pub const BEFORE: &str = "syncctl_before";

impl Cluster {
    /// Writes the whole database to a new file that only its owner may read. The cluster runs.
    ///
    /// # Errors
    /// A `Fault` (exit 2) where there is such a file; what `pg_dump` says. Nothing half-written stays.
    pub fn dump(&self, file: &Path) -> anyhow::Result<()> {
        let mut pg_dump = self.client_of_owner("pg_dump", &["--format=custom", "--no-owner"])?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        let made =
            made.map_err(|error| Fault::usage(format!("{}: {error}; name a file that is not there yet", file.display())))?;
        // The file is open already: a server's user may not look into this folder, and pg_dump would choose another mode.
        let dumped = succeeds(pg_dump.stdout(made));
        if dumped.is_err() {
            fs::remove_file(file).with_context(|| format!("removing the broken {}", file.display()))?;
        }
        dumped
    }

    /// Reads a backup and puts it in the place of the database, which is kept as [`BEFORE`]. The cluster runs.
    ///
    /// # Errors
    /// A `Fault` (exit 2) where `replace` is not said and there are users; what `pg_restore` says. The database is as it was then.
    pub fn restore(&self, file: &Path, replace: bool) -> anyhow::Result<()> {
        let backup = fs::File::open(file).map_err(|error| Fault::usage(format!("{}: {error}", file.display())))?;
        if !replace && self.has_users()? {
            return Err(Fault::usage("there are users in the database: --replace puts the backup in its place").into());
        }
        let mut pg_restore = self.client_of_owner("pg_restore", &["--exit-on-error", "--no-owner", "--dbname", FRESH])?;
        let mut server = self.open("postgres")?;
        server.batch_execute(&format!("DROP DATABASE IF EXISTS {FRESH}")).context("removing what an earlier restore left")?;
        server.batch_execute(&format!("CREATE DATABASE {FRESH}")).context("making a database for the backup")?;
        let read = succeeds(pg_restore.stdin(backup));
        let placed = read.and_then(|()| put_in_place(&mut server));
        if placed.is_err() {
            server
                .batch_execute(&format!("DROP DATABASE {FRESH}"))
                .context("removing a database that was restored for nothing")?;
        }
        placed.with_context(|| format!("{} was not restored", file.display()))
    }

    /// A client that needs nothing of ours but its streams: what a server does to it, it does to the server's own user.
    fn client_of_owner(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut client = self.client(name, arguments)?;
        self.owner()?.lend(&mut client);
        Ok(client)
    }

    fn has_users(&self) -> anyhow::Result<bool> {
        let mut client = self.open(NAME)?;
        let table: bool =
            client.query_one("SELECT to_regclass('users') IS NOT NULL", &[]).context("looking for users")?.try_get(0)?;
        Ok(table && client.query_one("SELECT EXISTS (SELECT 1 FROM users)", &[]).context("looking for users")?.try_get(0)?)
    }

    fn open(&self, database: &str) -> anyhow::Result<Client> {
        let mut config: postgres::Config = self.url().parse().context("the cluster's address")?;
        config.dbname(database).connect(NoTls).with_context(|| format!("connecting to the database {database}"))
    }
}

/// Swaps the databases in one transaction.
fn put_in_place(server: &mut Client) -> anyhow::Result<()> {
    server.batch_execute(&format!("DROP DATABASE IF EXISTS {BEFORE}")).context("removing what was replaced before")?;
    let swap = format!("BEGIN; ALTER DATABASE {NAME} RENAME TO {BEFORE}; ALTER DATABASE {FRESH} RENAME TO {NAME}; COMMIT");
    let swapped = server.batch_execute(&swap);
    if swapped.is_err() {
        server.batch_execute("ROLLBACK").context("leaving the databases as they are")?;
    }
    swapped.map_err(|error| match error.code() {
        Some(&SqlState::OBJECT_IN_USE) => {
            Fault::unavailable("somebody is connected to the database: stop the jobs, then restore again").into()
        }
        _ => anyhow::Error::from(error).context("putting the restored database in place"),
    })
}

/// Runs a client of PostgreSQL; an error holds what it said, and what to do about versions that do not fit.
fn succeeds(client: &mut Command) -> anyhow::Result<()> {
    let name = client.get_program().to_string_lossy().into_owned();
    // Its messages are read, so they must not be translated.
    let started = client.env("LC_ALL", "C").env_remove("LANGUAGE").stderr(Stdio::piped()).spawn();
    let done = started.and_then(Child::wait_with_output).with_context(|| format!("starting {name}"))?;
    if done.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&done.stderr);
    let remedy = if words.contains("server version mismatch") {
        "; install the client programs of the server's version"
    } else if words.contains("unsupported version") {
        "; a newer PostgreSQL wrote it: restore it into a cluster of that version"
    } else {
        ""
    };
    bail!("{name}: {}: {}{remedy}", done.status, words.trim())
}
