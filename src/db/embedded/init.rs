//! Creates the cluster under a temporary name, then renames it, so that a killed first run leaves no incomplete cluster in place.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::binaries::Binaries;
use super::owner::{self, Owner};
use super::{Cluster, NAME};
use crate::db::search_path::DEFAULT;
use crate::error::Fault;

/// Prefix of the temporary name. The process id follows, to avoid a clash with an `initdb` that outlived its caller.
const UNFINISHED: &str = "initializing.";

impl Cluster {
    /// Creates the cluster. The caller holds the lock.
    pub(super) fn initialize(&self, owner: &Owner, binaries: &Binaries) -> anyhow::Result<()> {
        self.remove_unfinished()?;
        let fresh = self.data_dir.join(format!("{UNFINISHED}{}", std::process::id()));
        let mut initdb = owner.command(binaries.program("initdb"));
        initdb.arg("--pgdata").arg(&fresh).args(["--username", NAME, "--encoding=UTF8", "--locale=C"]);
        // Sort by bytes, but use Unicode character classes and case mapping: a search for MÜLLER finds Müller.
        initdb.arg(format!("--lc-ctype={}", if cfg!(target_os = "macos") { "UTF-8" } else { "C.UTF-8" }));
        // Access to the socket's folder suffices; TCP, which only tests turn on, requires a password.
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
        Owner::run(initdb, "").context("creating the cluster")?;

        let mut config = OpenOptions::new().append(true).open(fresh.join("postgresql.conf"))?;
        config.write_all(b"\ninclude_if_exists = 'syncctl.conf'\n").context("writing postgresql.conf")?;

        create_database(owner, binaries, &fresh).with_context(|| format!("creating the database {NAME}"))?;
        fs::rename(&fresh, self.data()).context("moving the new cluster into place")?;
        File::open(&self.data_dir).and_then(|folder| folder.sync_all()).context("syncing the cluster's folder")
    }

    fn remove_unfinished(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.data_dir)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // An orphaned initdb may still be writing there; then the next initialisation cleans up.
                if let Err(error) = fs::remove_dir_all(entry.path()) {
                    log::warn!("{} cannot be removed: {error}", entry.path().display());
                }
            }
        }
        Ok(())
    }
}

/// Creates the database in single-user mode: no server is running yet, and the database is renamed with the cluster.
fn create_database(owner: &Owner, binaries: &Binaries, data: &Path) -> anyhow::Result<()> {
    let mut postgres = owner.command(binaries.program("postgres"));
    postgres.args(["--single", "-D"]).arg(data).arg("postgres");
    // People who query it need not qualify the names of tables.
    let statements = format!("CREATE DATABASE {NAME};\nALTER DATABASE {NAME} SET search_path = {DEFAULT};\n");
    let words = Owner::run(postgres, &statements)?;
    // It exits with success even if the statement fails.
    if words.contains("ERROR:") || words.contains("FATAL:") {
        Err(Fault::unavailable(owner::last_lines(&words)).into())
    } else {
        Ok(())
    }
}
