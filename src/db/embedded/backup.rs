//! Backups of the private cluster with `pg_dump` and `pg_restore`. A restore keeps the replaced database under another name.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, bail};
use postgres::error::SqlState;
use postgres::{Client, NoTls};

use super::{Cluster, NAME};
use crate::db::search_path::DEFAULT;
use crate::error::Fault;

/// The database into which a backup is read.
const FRESH: &str = "syncctl_restoring";
/// The database that the last restore replaced.
pub const BEFORE: &str = "syncctl_before";

impl Cluster {
    /// Writes the database to a new file that only its owner may read. The cluster must be running.
    ///
    /// # Errors
    /// Returns `Fault::usage` if the file exists, or the error of `pg_dump`. Leaves no partial file.
    pub fn dump(&self, file: &Path) -> anyhow::Result<()> {
        let mut pg_dump = self.client_of_owner("pg_dump", &["--format=custom", "--no-owner"])?;
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        let made =
            made.map_err(|error| Fault::usage(format!("{}: {error}; name a file that does not exist yet", file.display())))?;
        // Pass the open file: the server's user may have no access to this folder, and pg_dump would choose another mode.
        let dumped = succeeds(pg_dump.stdout(made));
        if dumped.is_err() {
            fs::remove_file(file).with_context(|| format!("removing the broken {}", file.display()))?;
        }
        dumped
    }

    /// Replaces the database with a backup and keeps the old one as [`BEFORE`]. The cluster must be running.
    ///
    /// # Errors
    /// Returns `Fault::usage` if the database has users and `replace` is `false`, or the error of `pg_restore`. The database is then unchanged.
    pub fn restore(&self, file: &Path, replace: bool) -> anyhow::Result<()> {
        let backup = fs::File::open(file).map_err(|error| Fault::usage(format!("{}: {error}", file.display())))?;
        if !replace && self.has_users()? {
            return Err(Fault::usage("the database has users: use --replace to replace it with the backup").into());
        }
        let mut pg_restore = self.client_of_owner("pg_restore", &["--exit-on-error", "--no-owner", "--dbname", FRESH])?;
        let mut server = self.open("postgres")?;
        server
            .batch_execute(&format!("DROP DATABASE IF EXISTS {FRESH}"))
            .context("removing the remains of an earlier restore")?;
        server.batch_execute(&format!("CREATE DATABASE {FRESH}")).context("creating a database for the backup")?;
        let read = succeeds(pg_restore.stdin(backup));
        let placed = read.and_then(|()| set_search_path(self.open(FRESH)?)).and_then(|()| put_in_place(&mut server));
        if placed.is_err() {
            server.batch_execute(&format!("DROP DATABASE {FRESH}")).context("removing the unused restored database")?;
        }
        placed.with_context(|| format!("{} was not restored", file.display()))
    }

    /// A client that runs as the cluster's owner and gets only its streams from this process, so that a malicious server harms only its own user.
    fn client_of_owner(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut client = self.client(name, arguments)?;
        self.owner()?.lend(&mut client);
        Ok(client)
    }

    /// Sets the schema in which people who query the database find its tables without qualifying their names.
    pub fn search(&self, schema: &str) -> anyhow::Result<()> {
        let mut client = self.open(NAME)?;
        let set =
            client.query_one("SELECT format('ALTER DATABASE %I SET search_path = %I', current_database(), $1::text)", &[&schema]);
        client.batch_execute(set.context("quoting the schema")?.try_get(0)?).context("setting the search path")
    }

    /// Whether any schema has users: `db.schema` may name another one than that of the search path.
    fn has_users(&self) -> anyhow::Result<bool> {
        const TABLES: &str = "SELECT format('SELECT EXISTS (SELECT FROM %s.users)', u.relnamespace::regnamespace) FROM pg_class u
          WHERE u.relname = 'users' AND u.relkind = 'r'
            AND EXISTS (SELECT FROM pg_class m WHERE m.relname = 'schema_migrations' AND m.relnamespace = u.relnamespace)";
        let mut client = self.open(NAME)?;
        for table in client.query(TABLES, &[]).context("looking for tables of users")? {
            if client.query_one(table.try_get::<_, &str>(0)?, &[]).context("looking for users")?.try_get(0)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open(&self, database: &str) -> anyhow::Result<Client> {
        let mut config: postgres::Config = self.url().parse().context("the cluster's address")?;
        config.dbname(database).connect(NoTls).with_context(|| format!("connecting to the database {database}"))
    }
}

/// Sets the search path to the schema of the tables, unless that is `public`, as in a backup that is older than the schema. A backup contains no settings
/// of its database.
fn set_search_path(mut restored: Client) -> anyhow::Result<()> {
    const SET: &str = "SELECT format('ALTER DATABASE %I SET search_path = %I', current_database(), n.nspname)
      FROM pg_class m JOIN pg_namespace n ON n.oid = m.relnamespace JOIN pg_attribute a ON a.attrelid = m.oid AND a.attname = 'checksum'
      WHERE m.relname = 'schema_migrations' AND n.nspname <> 'public' ORDER BY n.nspname = $1::text DESC, n.nspname LIMIT 1";
    if let Some(set) = restored.query_opt(SET, &[&DEFAULT]).context("looking for the schema")? {
        restored.batch_execute(set.try_get(0)?).context("setting the search path")?;
    }
    Ok(())
}

/// Swaps the databases in one transaction.
fn put_in_place(server: &mut Client) -> anyhow::Result<()> {
    server.batch_execute(&format!("DROP DATABASE IF EXISTS {BEFORE}")).context("removing the database of an earlier restore")?;
    let swap = format!("BEGIN; ALTER DATABASE {NAME} RENAME TO {BEFORE}; ALTER DATABASE {FRESH} RENAME TO {NAME}; COMMIT");
    let swapped = server.batch_execute(&swap);
    if swapped.is_err() {
        server.batch_execute("ROLLBACK").context("rolling back the exchange of the databases")?;
    }
    swapped.map_err(|error| match error.code() {
        Some(&SqlState::OBJECT_IN_USE) => {
            Fault::unavailable("other clients are connected to the database: stop the jobs, then restore again").into()
        }
        _ => anyhow::Error::from(error).context("putting the restored database in place"),
    })
}

/// Runs a PostgreSQL client. An error contains its output, and the remedy for mismatched versions.
fn succeeds(client: &mut Command) -> anyhow::Result<()> {
    let name = client.get_program().to_string_lossy().into_owned();
    // Its messages are matched below, so they must not be translated.
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
