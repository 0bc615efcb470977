//! `syncctl install`: schedules for this machine, made of the units in `systemd/` and of `crontab.example`, which are in the binary.

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

/// What can be installed. Nothing is started by itself.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Writes units and timers for the jobs that the settings call for, and says how to start them
    ///
    /// What is there and different is kept beside as NAME.bak. To remove them: `systemctl stop 'syncctl-*'`, then delete
    /// /etc/systemd/system/syncctl-* and /etc/systemd/system/*.wants/syncctl-*, and `systemctl daemon-reload`.
    Systemd(Where),
    /// Writes /etc/cron.d/syncctl, or with --user the lines of this user's crontab, for the jobs that the settings call for
    ///
    /// In a user's crontab the lines stand between two marks, and everything else stays as it is. To remove them, delete
    /// /etc/cron.d/syncctl, or the lines with `crontab -e`.
    Crontab {
        #[command(flatten)]
        place: Where,
        /// Who runs the jobs of /etc/cron.d/syncctl
        #[arg(long, value_name = "USER", default_value = "root", conflicts_with = "user")]
        run_as: String,
    },
}

/// Where it goes.
#[derive(Debug, Args)]
pub struct Where {
    /// Print what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Write below this folder, as for an image or a package; nothing of this machine is looked at but the binary
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// For this user alone, without root: ~/.config/systemd/user, or this user's crontab
    #[arg(long, conflicts_with = "prefix")]
    user: bool,
}

impl Verb {
    /// Whether what it schedules has the secrets in systemd's store too.
    fn reads_store(&self) -> bool {
        match self {
            Self::Systemd(place) => !place.user,
            // As the user who may read it now.
            Self::Crontab { place, .. } if place.user => true,
            Self::Crontab { run_as, .. } => run_as == "root",
        }
    }
}

/// Runs the command.
pub fn run(verb: &Verb, loaded: &Loaded, output: Output) -> anyhow::Result<Exit> {
    let machine = Machine::of(loaded, verb.reads_store())?;
    machine.check_writers(verb)?;
    let done = match verb {
        Verb::Systemd(place) => systemd::install(place, loaded, &machine)?,
        Verb::Crontab { place, .. } if place.user => crontab::install_for_user(place, loaded, &machine)?,
        Verb::Crontab { place, run_as } => crontab::install(place, run_as, loaded, &machine)?,
    };
    output.print(&done, || done.text())?;
    Ok(Exit::Done)
}

/// The ids of a user of this machine and of its own group.
fn user_named(name: &str) -> anyhow::Result<User> {
    let id = |flag: &str| {
        let output = Command::new("id").args([flag, name]).output().ok().filter(|output| output.status.success())?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    let found = id("-u").zip(id("-g"));
    let (uid, gid) = found.ok_or_else(|| Fault::usage(format!("--run-as {name}: this machine has no such user")))?;
    Ok(User::new(uid, gid))
}

/// What was written, and what is left to do.
#[derive(Debug, Serialize)]
struct Done {
    dry_run: bool,
    files: Vec<files::Written>,
    /// What the operator should know.
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

/// What a schedule must know of this machine.
struct Machine {
    /// The binary that runs now.
    binary: PathBuf,
    /// The settings file that it has read.
    settings: Option<PathBuf>,
}

impl Machine {
    /// # Errors
    /// Settings that only this shell has, or a path that units and crontabs would read otherwise.
    fn of(loaded: &Loaded, reads_store: bool) -> anyhow::Result<Self> {
        let binary = std::env::current_exe().context("finding the path of this binary")?;
        let settings = loaded.file.as_deref().map(std::path::absolute).transpose().context("finding the settings file")?;
        let passing: Vec<String> = loaded
            .shown
            .iter()
            .filter(|(_, _, from)| match from {
                Origin::Variable(_) | Origin::Flag | Origin::Credential(_) => true,
                Origin::Store(_) => !reads_store,
                Origin::Default | Origin::File { .. } => false,
            })
            .map(|(key, _, from)| format!("{key} (from {from})"))
            .collect();
        if !passing.is_empty() {
            let file = settings.as_deref().unwrap_or(Path::new("/etc/syncctl/syncctl.toml")).display();
            return Err(Fault::settings(format!(
                "a scheduled job would not have what only this command was told: {}. Write that into {file} and run `syncctl install` without it",
                passing.join(", ")
            ))
            .into());
        }
        for path in [Some(&binary), settings.as_ref()].into_iter().flatten() {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
            if !path.to_str().is_some_and(|text| text.chars().all(plain)) {
                let message = format!(
                    "{}: units and crontabs would read a path with such characters otherwise: move the file, to /usr/local/bin or /etc/syncctl",
                    path.display()
                );
                return Err(Fault::usage(message).into());
            }
        }
        Ok(Self { binary, settings })
    }

    /// Whoever may change the binary or the settings acts as the user that the jobs run as.
    ///
    /// # Errors
    /// A `Fault` (exit 78) that names what another user may change.
    fn check_writers(&self, verb: &Verb) -> anyhow::Result<()> {
        let user = match verb {
            // For another machine.
            Verb::Systemd(place) | Verb::Crontab { place, .. } if place.prefix.is_some() => return Ok(()),
            Verb::Systemd(place) | Verb::Crontab { place, .. } if place.user => User::me(),
            Verb::Systemd(_) => User::ROOT,
            Verb::Crontab { run_as, .. } => user_named(run_as)?,
        };
        for path in [Some(&self.binary), self.settings.as_ref()].into_iter().flatten() {
            user.must_alone_change(path).map_err(|error| {
                Fault::settings(format!(
                    "{error}, and so make scheduled jobs do anything: let only root and the user that the jobs run as change {} and the folders above \
                     it, or move it to /usr/local/bin or /etc/syncctl",
                    path.display()
                ))
            })?;
        }
        Ok(())
    }
}

/// The crontab of this user; `None`: there is none, or it cannot be read.
pub(super) fn crontab_of_user() -> Option<String> {
    crontab::read().ok()
}

/// Where units of this machine and of this user lie that an operator enables.
pub(super) fn unit_folders() -> Vec<PathBuf> {
    [Some(Path::new("/").join(systemd::SYSTEM)), systemd::user_units().ok()].into_iter().flatten().collect()
}

/// What a timer of ours starts, as it stands after `syncctl`; `None`: it is none of ours.
pub(super) fn started_by(timer: &str) -> Option<String> {
    systemd::started_by(timer)
}

/// What schedules for these settings start, as it stands after `syncctl`.
pub(super) fn called_for(settings: &Settings) -> Vec<String> {
    systemd::called_for(settings)
}

/// Whether everybody may read a file.
fn is_open(path: &Path) -> anyhow::Result<bool> {
    let found = std::fs::metadata(path).with_context(|| format!("looking at {}", path.display()))?;
    Ok(found.permissions().mode() & 0o004 != 0)
}
