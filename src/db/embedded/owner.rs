//! The user that runs the server: PostgreSQL refuses root, so root lends the cluster to another one. Knows no binaries.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use rustix::fs::OFlags;

use super::files;
use crate::error::Fault;

/// Who runs the server.
pub(super) struct Owner {
    /// Other than ourselves: user and group.
    other: Option<(u32, u32)>,
    home: PathBuf,
}

impl Owner {
    /// The owner of the folder; for root and a new folder, `postgres` or else `nobody`.
    ///
    /// # Errors
    /// A `Fault` (exit 78) when the folder is another user's.
    pub(super) fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let me = rustix::process::geteuid().as_raw();
        let found = match fs::metadata(data_dir) {
            Ok(found) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(data_dir, &error).into()),
        };
        let other = match found.map(|found| (found.uid(), found.gid())) {
            Some((uid, _)) if me != 0 && uid != me => {
                let message = format!(
                    "{} belongs to another user (id {uid}): run syncctl as that user, or choose another db.data_dir",
                    data_dir.display()
                );
                return Err(Fault::settings(message).into());
            }
            Some((uid, gid)) if me == 0 && uid != 0 => Some((uid, gid)),
            _ if me == 0 => Some(unprivileged()?),
            _ => None,
        };
        Ok(Self { other, home: data_dir.to_owned() })
    }

    /// Makes the cluster's folder, or checks that it is one of ours.
    ///
    /// # Errors
    /// A `Fault` (exit 78) for a folder that cannot be made, or that holds something else.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        let data_dir = &self.home;
        let made = match data_dir.parent() {
            Some(parent) => files::make_parents(parent).and_then(|()| files::make_private_dir(data_dir)),
            None => Ok(()),
        };
        made.map_err(|error| unusable(data_dir, &error))?;
        if !files::ours_or_empty(data_dir).map_err(|error| unusable(data_dir, &error))? {
            let message =
                format!("{} holds other files and no private cluster: choose an empty folder as db.data_dir", data_dir.display());
            return Err(Fault::settings(message).into());
        }
        fs::set_permissions(data_dir, fs::Permissions::from_mode(0o700)).map_err(|error| unusable(data_dir, &error))?;
        self.give(data_dir)
    }

    /// A folder for the socket that nobody else can enter or has made before us.
    pub(super) fn private_dir(&self, path: &Path) -> anyhow::Result<()> {
        let shown = path.display();
        files::make_private_dir(path).with_context(|| format!("making {shown}"))?;
        let found = fs::symlink_metadata(path).with_context(|| format!("looking at {shown}"))?;
        if found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() {
            self.give(path)?;
        }
        if !files::same_owner_only(path, &self.home) {
            return Err(Fault::settings(format!("{shown} was made by somebody else: remove it")).into());
        }
        Ok(())
    }

    /// Makes the server's user the owner of a path that is ours.
    pub(super) fn give(&self, path: &Path) -> anyhow::Result<()> {
        match self.other {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).with_context(|| format!("giving {} to user {uid}", path.display()))
            }
            None => Ok(()),
        }
    }

    /// Waits for the lock, which the end of this process gives back in any case.
    pub(super) fn lock(&self, path: &Path) -> anyhow::Result<File> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        let lock = options.open(path).map_err(|error| unusable(path, &error))?;
        self.give(path)?;
        lock.lock().with_context(|| format!("locking {}", path.display()))?;
        Ok(lock)
    }

    /// A command that runs as the server's user, with nothing of our streams or of libpq's variables.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((uid, gid)) = self.other {
            command.uid(uid).gid(gid);
        }
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        // Its messages are read, so they must not be translated.
        command.env("LC_ALL", "C").env("HOME", &self.home).env_remove("LANGUAGE").current_dir(&self.home);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a command to its end; answers what it wrote to stdout and stderr.
    ///
    /// # Errors
    /// A `Fault` when it cannot run as its user (exit 78) or fails (exit 69), with its last words.
    pub(super) fn run(&self, mut command: Command, input: &str) -> anyhow::Result<String> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.map_err(|error| match (error.kind(), self.other) {
            (io::ErrorKind::PermissionDenied, Some((uid, _))) => anyhow::Error::new(Fault::settings(format!(
                "PostgreSQL refuses to run as root, and user {uid}, who runs it instead, cannot enter {}: choose another db.data_dir",
                self.home.display()
            ))),
            _ => anyhow::Error::new(error).context(format!("running {name}")),
        })?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ended early says why itself.
            let _ = io::Write::write_all(&mut stdin, input.as_bytes());
        }
        let output = child.wait_with_output().with_context(|| format!("waiting for {name}"))?;
        let words = [output.stdout, output.stderr].map(|stream| String::from_utf8_lossy(&stream).into_owned()).concat();
        match output.status.success() {
            true => Ok(words),
            false => Err(Fault::unavailable(format!("{name} failed ({}): {}", output.status, last_lines(&words))).into()),
        }
    }
}

/// Why a program failed, on one line: its first fatal error and the lines around it, or else its last lines.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let fatal = lines.iter().position(|line| ["FATAL:", "PANIC:", "ERROR:"].iter().any(|word| line.contains(word)));
    let start = fatal.unwrap_or(lines.len().saturating_sub(2)).saturating_sub(1);
    // The server's log has a time and a process before each line's level.
    let bare = |line: &&str| line.split_once("] ").map_or(*line, |(_, line)| line).to_owned();
    lines.iter().skip(start).take(3).map(bare).collect::<Vec<_>>().join("; ")
}

fn unprivileged() -> anyhow::Result<(u32, u32)> {
    // Asks the system and not /etc/passwd: users may come from a directory service.
    let id = |flag: &str, name: &str| {
        let output = Command::new("id").args([flag, name]).output().ok().filter(|output| output.status.success())?;
        String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().ok()
    };
    let found = ["postgres", "nobody"].iter().find_map(|name| Some((id("-u", name)?, id("-g", name)?)));
    found.filter(|(uid, _)| *uid != 0).ok_or_else(|| {
        let message =
            "PostgreSQL refuses to run as root, and there is no user postgres or nobody: run syncctl as an ordinary user";
        Fault::settings(message).into()
    })
}

fn unusable(path: &Path, error: &io::Error) -> Fault {
    Fault::settings(format!("{} cannot be used for the private cluster (db.data_dir): {error}", path.display()))
}
