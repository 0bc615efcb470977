//! `syncctl install`: schedules for this machine, built from the units in `systemd/` and from `crontab.example`, which are embedded in the
//! binary.

mod crontab;
mod files;
mod jobs;
mod systemd;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Output;
use crate::config::{Loaded, Origin, Settings};
use crate::error::{Exit, Fault};
use crate::trusted::User;

/// Subcommands of `install`. They start nothing.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write systemd units and timers for the jobs that the settings require, and print how to start them
    ///
    /// Existing files that differ are kept as NAME.bak. To remove the units, run `systemctl stop 'syncctl-*'`, delete
    /// /etc/systemd/system/syncctl-* and /etc/systemd/system/*.wants/syncctl-*, then run `systemctl daemon-reload`.
    Systemd(Where),
    /// Write /etc/cron.d/syncctl, or with --user this user's crontab, for the jobs that the settings require
    ///
    /// In a user's crontab the lines are put between two marks, and all other lines stay unchanged. To remove them, delete
    /// /etc/cron.d/syncctl, or the lines with `crontab -e`.
    Crontab {
        #[command(flatten)]
        destination: Where,
        /// User that runs the jobs of /etc/cron.d/syncctl
        #[arg(long, value_name = "USER", default_value = "root", conflicts_with = "user")]
        run_as: String,
    },
}

/// Where to write.
#[derive(Debug, Args)]
pub struct Where {
    /// Print what would be written; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write below this folder, for an image or a package; only the binary is taken from this machine (default: /)
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Install for this user only, without root: in ~/.config/systemd/user, or in this user's crontab
    #[arg(long, conflicts_with = "prefix")]
    user: bool,
}

impl Verb {
    /// Whether the scheduled jobs can read the secrets in systemd's credential store.
    fn reads_store(&self) -> bool {
        match self {
            Self::Systemd(destination) => !destination.user,
            // The jobs run as the current user, who can read it now.
            Self::Crontab { destination, .. } if destination.user => true,
            Self::Crontab { run_as, .. } => run_as == "root",
        }
    }
}

/// Runs the command.
pub fn run(verb: &Verb, loaded: &Loaded, output: Output) -> anyhow::Result<Exit> {
    let machine = Machine::of(loaded, verb.reads_store())?;
    machine.check_writers(verb)?;
    let done = match verb {
        Verb::Systemd(destination) => systemd::install(destination, loaded, &machine)?,
        Verb::Crontab { destination, .. } if destination.user => crontab::install_for_user(destination, loaded, &machine)?,
        Verb::Crontab { destination, run_as } => crontab::install(destination, run_as, loaded, &machine)?,
    };
    output.print(&done, || done.text())?;
    Ok(Exit::Done)
}

/// Returns the ids of a user of this machine and of its primary group.
fn user_named(name: &str) -> anyhow::Result<User> {
    let id = |flag: &str| {
        let output = Command::new("id").args([flag, name]).output().ok().filter(|output| output.status.success())?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    let ids = id("-u").zip(id("-g"));
    let (uid, gid) = ids.ok_or_else(|| Fault::usage(format!("--run-as {name}: this machine has no such user")))?;
    Ok(User::new(uid, gid))
}

/// What was written, and the remaining steps.
#[derive(Debug, Serialize)]
struct Done {
    dry_run: bool,
    files: Vec<files::Written>,
    /// Notes for the operator.
    notes: Vec<String>,
    /// Commands for the operator.
    next: Vec<String>,
}

impl Done {
    fn text(&self) -> String {
        let mut text: String = self.files.iter().map(files::Written::text).collect();
        self.notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
        if !self.next.is_empty() {
            text.push_str("\nnext:\n");
            self.next.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
        text
    }
}

/// What a schedule needs to know about this machine.
struct Machine {
    /// The running binary.
    binary: PathBuf,
    /// The settings file that was read.
    settings: Option<PathBuf>,
}

impl Machine {
    /// # Errors
    /// Returns an error if settings come only from this shell, or if a path has characters that units and crontabs would interpret.
    fn of(loaded: &Loaded, reads_store: bool) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("finding the path of this binary")?;
        if let [machine, own, ..] = loaded.files.as_slice() {
            let message = format!(
                "settings come from {} and {}, but scheduled jobs read one file: name it with --config",
                machine.display(),
                own.display()
            );
            return Err(Fault::settings(message).into());
        }
        let settings = loaded.files.first().map(std::path::absolute).transpose().context("finding the settings file")?;
        let transient: Vec<String> = loaded
            .shown
            .iter()
            .filter(|(_, _, from)| match from {
                Origin::Variable(_) | Origin::Flag | Origin::Credential(_) => true,
                Origin::Store(_) => !reads_store,
                Origin::Default | Origin::File { .. } => false,
            })
            .map(|(key, _, from)| format!("{key} (from {from})"))
            .collect();
        if !transient.is_empty() {
            let file = settings.as_deref().unwrap_or(Path::new("/etc/syncctl/syncctl.toml")).display();
            return Err(Fault::settings(format!(
                "scheduled jobs would not get settings passed only to this command: {}. Write them to {file} and run `syncctl install` without them",
                transient.join(", ")
            ))
            .into());
        }
        for path in [Some(&binary), settings.as_ref()].into_iter().flatten() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
            if !path.to_str().is_some_and(|text| text.chars().all(plain)) {
                let message = format!(
                    "{}: units and crontabs would interpret characters in this path: move the file to /usr/local/bin or /etc/syncctl",
                    path.display()
                );
                return Err(Fault::usage(message).into());
            }
        }
        Ok(Self { binary, settings })
    }

    /// Checks that only the user that the jobs run as, and root, can change the binary and the settings.
    ///
    /// # Errors
    /// Returns a `Fault` (exit 78) that names the path that another user can change.
    fn check_writers(&self, verb: &Verb) -> anyhow::Result<()> {
        let user = match verb {
            // The files are for another machine.
            Verb::Systemd(destination) | Verb::Crontab { destination, .. } if destination.prefix.is_some() => return Ok(()),
            Verb::Systemd(destination) | Verb::Crontab { destination, .. } if destination.user => User::me(),
            Verb::Systemd(_) => User::ROOT,
            Verb::Crontab { run_as, .. } => user_named(run_as)?,
        };
        for path in [Some(&self.binary), self.settings.as_ref()].into_iter().flatten() {
            user.must_alone_change(path).map_err(|error| {
                Fault::settings(format!(
                    "{error}, and so make scheduled jobs do anything: make {} and the folders above it writable only by root and the user that the jobs \
                     run as, or move it to /usr/local/bin or /etc/syncctl",
                    path.display()
                ))
            })?;
        }
        Ok(())
    }
}

/// Returns the crontab of this user; `None` if it does not exist or cannot be read.
pub(super) fn crontab_of_user() -> Option<String> {
    crontab::read().ok()
}

/// Returns the folders of the units of this machine and of this user that an operator enables.
pub(super) fn unit_folders() -> Vec<PathBuf> {
    [Some(Path::new("/").join(systemd::SYSTEM)), systemd::user_units().ok()].into_iter().flatten().collect()
}

/// Returns the `syncctl` arguments that one of our timers runs; `None` for other timers.
pub(super) fn started_by(timer: &str) -> Option<String> {
    systemd::started_by(timer)
}

/// Returns the `syncctl` arguments that schedules for these settings run.
pub(super) fn required(settings: &Settings) -> Vec<String> {
    systemd::required(settings)
}

/// Whether a file is world-readable.
fn is_open(path: &Path) -> anyhow::Result<bool> {
    let metadata = std::fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
    Ok(metadata.permissions().mode() & 0o004 != 0)
}
