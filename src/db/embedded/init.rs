//! Makes the cluster: whole under another name, then renamed, so that a killed first run leaves nothing half-made in place.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;

use super::binaries::Binaries;
use super::owner::{self, Owner};
use super::{Cluster, NAME};
use crate::error::Fault;

/// Where a cluster is made; the number of the process keeps it apart from an `initdb` that outlived its caller.
const UNFINISHED: &str = "initializing.";

impl Cluster {
    /// The caller holds the lock.
    pub(super) fn initialize(&self, owner: &Owner, binaries: &Binaries) -> anyhow::Result<()> {
        self.remove_unfinished()?;
        let fresh = self.data_dir.join(format!("{UNFINISHED}{}", std::process::id()));
        let mut initdb = owner.command(binaries.program("initdb"));
        initdb.arg("--pgdata").arg(&fresh).args(["--username", NAME, "--encoding=UTF8", "--locale=C"]);
        // Sorted by bytes, but what is a letter and which is its small one is known for every script: a search for MÜLLER finds Müller.
        initdb.arg(format!("--lc-ctype={}", if cfg!(target_os = "macos") { "UTF-8" } else { "C.UTF-8" }));
        // Who may enter the socket's folder is let in; TCP, which only tests turn on, asks for a password.
        initdb.args(["--auth-local=trust", "--auth-host=scram-sha-256"]);
        Owner::run(initdb, "").context("making the cluster")?;

        let mut config = OpenOptions::new().append(true).open(fresh.join("postgresql.conf"))?;
        config.write_all(b"\ninclude_if_exists = 'syncctl.conf'\n").context("writing postgresql.conf")?;

        create_database(owner, binaries, &fresh).with_context(|| format!("creating the database {NAME}"))?;
        fs::rename(&fresh, self.data()).context("moving the new cluster into place")?;
        File::open(&self.data_dir).and_then(|folder| folder.sync_all()).context("syncing the cluster's folder")
    }

    fn remove_unfinished(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.data_dir)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                // An orphaned initdb may still be writing there; then the next start that makes a cluster clears up.
                if let Err(error) = fs::remove_dir_all(entry.path()) {
                    log::warn!("{} cannot be removed: {error}", entry.path().display());
                }
            }
        }
        Ok(())
    }
}

/// In single-user mode: no server runs yet, and the database is part of what is renamed.
fn create_database(owner: &Owner, binaries: &Binaries, data: &Path) -> anyhow::Result<()> {
    let mut postgres = owner.command(binaries.program("postgres"));
    postgres.args(["--single", "-D"]).arg(data).arg("postgres");
    let words = Owner::run(postgres, &format!("CREATE DATABASE {NAME};\n"))?;
    // It ends with success even when the statement failed.
    match words.contains("ERROR:") || words.contains("FATAL:") {
        true => Err(Fault::unavailable(owner::last_lines(&words)).into()),
        false => Ok(()),
    }
}
