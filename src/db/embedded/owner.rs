//! The user that runs the server. PostgreSQL refuses to run as root, so root gives the cluster to another user and accesses its folder with that
//! user's rights. Independent of the binaries.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use rustix::fs::{Gid, Mode, OFlags, Uid, fchmod, fchown, fstat, lstat, open};
use rustix::io::Errno;

use super::files::{self, unusable};
use crate::error::Fault;
use crate::trusted::{self, User};

/// The user that runs the server and owns the folder.
pub(super) struct Owner {
    /// User and group, if different from the current user.
    other: Option<(u32, u32)>,
    home: PathBuf,
}

impl Owner {
    /// The owner of the folder. For root and a new folder, `postgres`, else `nobody`.
    ///
    /// # Errors
    /// Returns `Fault::settings` if the folder belongs to another user or could have been created by one.
    pub(super) fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let me = User::me();
        files::check_parents(data_dir, false)?;
        let stat = match lstat(data_dir) {
            Ok(stat) if !trusted::kind(&stat).is_dir() => return Err(unusable(data_dir, &Errno::NOTDIR.into()).into()),
            Ok(stat) => Some(stat),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(unusable(data_dir, &error.into()).into()),
        };
        let other = match stat.map(|stat| (stat.st_uid, stat.st_gid)) {
            Some((uid, _)) if !me.is_root() && !me.is(uid) => {
                let message = format!(
                    "{} belongs to another user (id {uid}): run syncctl as that user, or choose another db.data_dir",
                    data_dir.display()
                );
                return Err(Fault::settings(message).into());
            }
            // The server would run with the rights of root's group.
            Some((uid, 0)) if me.is_root() && uid != 0 => {
                let shown = data_dir.display();
                let message = format!(
                    "{shown} belongs to user {uid} and to root's group: give it to that user's own (`chgrp GROUP {shown}`)"
                );
                return Err(Fault::settings(message).into());
            }
            Some((uid, gid)) if me.is_root() && uid != 0 => Some((uid, gid)),
            _ if me.is_root() => Some(unprivileged()?),
            _ => None,
        };
        Ok(Self { other, home: data_dir.to_owned() })
    }

    /// Creates the cluster's folder, or checks that it is one of ours.
    ///
    /// # Errors
    /// Returns `Fault::settings` if the folder cannot be created or contains other files.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        let data_dir = &self.home;
        files::check_parents(data_dir, true)?;
        self.prepare_folder().map_err(|error| unusable(data_dir, &error))?;
        Ok(())
    }

    /// Uses a handle, so that no other file changes its owner even if the path is replaced meanwhile.
    fn prepare_folder(&self) -> io::Result<()> {
        files::make_private_dir(&self.home)?;
        let folder = open(&self.home, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fstat(&folder)?;
        if !User::me().owns(&stat) && self.other.is_none_or(|(uid, _)| uid != stat.st_uid) {
            return Err(trusted::refused(&self.home, &stat));
        }
        if !files::ours_or_empty(&folder)? {
            return Err(io::Error::other("it contains other files and no private cluster; choose an empty folder"));
        }
        fchmod(&folder, Mode::RWXU)?;
        if let Some((uid, gid)) = self.other {
            fchown(&folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok(())
    }

    /// Runs `work` with only the rights of the owner. For root, this uses a thread that gives up root's rights: on Linux, each thread has its own
    /// credentials, which its child processes inherit. Links that the owner puts into the folder therefore cannot mislead root.
    ///
    /// # Errors
    /// Returns the error of `work`, or `Fault::settings` if the owner cannot enter the folder.
    pub(super) fn act<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let Some((uid, gid)) = self.other else { return work() };
        let unprivileged_work = || {
            drop_privileges(uid, gid)?;
            if let Err(error) = fs::metadata(self.home.join("."))
                && error.kind() == io::ErrorKind::PermissionDenied
            {
                let shown = self.home.display();
                return Err(Fault::settings(format!(
                    "PostgreSQL refuses to run as root, and user {uid}, who runs it instead, cannot enter {shown}: choose another db.data_dir"
                ))
                .into());
            }
            work()
        };
        std::thread::scope(|scope| scope.spawn(unprivileged_work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Makes a command run as the owner.
    pub(super) fn lend(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.other {
            command.uid(uid).gid(gid);
        }
        command.env("HOME", &self.home).current_dir(&self.home);
    }

    /// A command that runs as the server's user, without this process's streams and libpq's variables.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.lend(&mut command);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        // Its messages are matched, so they must not be translated.
        command.env("LC_ALL", "C").env_remove("LANGUAGE");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a command to its end. Returns its output on stdout and stderr.
    ///
    /// # Errors
    /// Returns `Fault::unavailable` with the last lines of output if it fails.
    pub(super) fn run(mut command: Command, input: &str) -> anyhow::Result<String> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.with_context(|| format!("running {name}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ended early reports the reason itself.
            let _ = io::Write::write_all(&mut stdin, input.as_bytes());
        }
        let output = child.wait_with_output().with_context(|| format!("waiting for {name}"))?;
        let words = [output.stdout, output.stderr].map(|stream| String::from_utf8_lossy(&stream).into_owned()).concat();
        if output.status.success() {
            Ok(words)
        } else {
            Err(Fault::unavailable(format!("{name} failed ({}): {}", output.status, last_lines(&words))).into())
        }
    }
}

/// Summarises a program's failure on one line: its first fatal error and the lines around it, or its last lines.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let fatal = lines.iter().position(|line| ["FATAL:", "PANIC:", "ERROR:"].iter().any(|word| line.contains(word)));
    let start = fatal.unwrap_or(lines.len().saturating_sub(2)).saturating_sub(1);
    // The server's log has a timestamp and a process id before each line's level.
    let bare = |line: &&str| line.split_once("] ").map_or(*line, |(_, line)| line).to_owned();
    lines.iter().skip(start).take(3).map(bare).collect::<Vec<_>>().join("; ")
}

fn unprivileged() -> anyhow::Result<(u32, u32)> {
    // Ask the system instead of reading /etc/passwd: users can come from a directory service.
    let id = |flag: &str, name: &str| {
        let output = Command::new("id").args([flag, name]).output().ok().filter(|output| output.status.success())?;
        String::from_utf8_lossy(&output.stdout).trim().parse::<u32>().ok()
    };
    let ids = ["postgres", "nobody"].iter().find_map(|name| Some((id("-u", name)?, id("-g", name)?)));
    ids.filter(|(uid, _)| *uid != 0).ok_or_else(|| {
        let message =
            "PostgreSQL refuses to run as root, and there is no user postgres or nobody: run syncctl as an ordinary user";
        Fault::settings(message).into()
    })
}

/// Gives up the rights of this thread only, permanently.
#[cfg(target_os = "linux")]
fn drop_privileges(uid: u32, gid: u32) -> anyhow::Result<()> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let dropped =
        set_thread_groups(&[]).and_then(|()| set_thread_res_gid(gid, gid, gid)).and_then(|()| set_thread_res_uid(uid, uid, uid));
    dropped.with_context(|| format!("acting as user {}, who runs the private cluster's server", uid.as_raw()))
}

#[cfg(not(target_os = "linux"))]
fn drop_privileges(_: u32, _: u32) -> anyhow::Result<()> {
    Err(Fault::settings("root can have a private cluster on Linux only: run syncctl as an ordinary user, or set db.url").into())
}
