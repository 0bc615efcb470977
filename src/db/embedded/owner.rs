//! The user that runs the server: PostgreSQL refuses root, so root gives the cluster to another one, and acts with that one's rights in its folder.
//! Knows no binaries.

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

/// Who runs the server, and owns the folder.
pub(super) struct Owner {
    /// Other than ourselves: user and group.
    other: Option<(u32, u32)>,
    home: PathBuf,
}

impl Owner {
    /// The owner of the folder; for root and a new folder, `postgres` or else `nobody`.
    ///
    /// # Errors
    /// A `Fault` (exit 78) when the folder is another user's, or could have been made by one.
    pub(super) fn of(data_dir: &Path) -> anyhow::Result<Self> {
        let me = User::me();
        files::check_parents(data_dir, false)?;
        let found = match lstat(data_dir) {
            Ok(found) if !trusted::kind(&found).is_dir() => return Err(unusable(data_dir, &Errno::NOTDIR.into()).into()),
            Ok(found) => Some(found),
            Err(Errno::NOENT) => None,
            Err(error) => return Err(unusable(data_dir, &error.into()).into()),
        };
        let other = match found.map(|found| (found.st_uid, found.st_gid)) {
            Some((uid, _)) if !me.is_root() && !me.is(uid) => {
                let message = format!(
                    "{} belongs to another user (id {uid}): run syncctl as that user, or choose another db.data_dir",
                    data_dir.display()
                );
                return Err(Fault::settings(message).into());
            }
            // The server would run with what root's group may do.
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

    /// Makes the cluster's folder, or checks that it is one of ours.
    ///
    /// # Errors
    /// A `Fault` (exit 78) for a folder that cannot be made, or that holds something else.
    pub(super) fn prepare(&self) -> anyhow::Result<()> {
        let data_dir = &self.home;
        files::check_parents(data_dir, true)?;
        self.prepare_folder().map_err(|error| unusable(data_dir, &error))?;
        Ok(())
    }

    /// By a handle, so that whatever becomes of its path nothing else is given away.
    fn prepare_folder(&self) -> io::Result<()> {
        files::make_private_dir(&self.home)?;
        let folder = open(&self.home, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let found = fstat(&folder)?;
        if !User::me().owns(&found) && self.other.is_none_or(|(uid, _)| uid != found.st_uid) {
            return Err(trusted::refused(&self.home, &found));
        }
        if !files::ours_or_empty(&folder)? {
            return Err(io::Error::other("it holds other files and no private cluster; choose an empty folder"));
        }
        fchmod(&folder, Mode::RWXU)?;
        if let Some((uid, gid)) = self.other {
            fchown(&folder, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        Ok(())
    }

    /// Does something with the rights of the owner alone. For root that is a thread that gave its own up: on Linux each thread has its rights, and
    /// what it starts has no others. So whatever the owner puts into the folder, root is not led anywhere by it.
    ///
    /// # Errors
    /// Those of the work; a `Fault` (exit 78) where the owner cannot enter the folder.
    pub(super) fn act<T: Send>(&self, work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
        let Some((uid, gid)) = self.other else { return work() };
        let lowered = || {
            give_up_rights(uid, gid)?;
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
        std::thread::scope(|scope| scope.spawn(lowered).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Has a command run as the owner.
    pub(super) fn lend(&self, command: &mut Command) {
        if let Some((uid, gid)) = self.other {
            command.uid(uid).gid(gid);
        }
        command.env("HOME", &self.home).current_dir(&self.home);
    }

    /// A command that runs as the server's user, with nothing of our streams or of libpq's variables.
    pub(super) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.lend(&mut command);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        // Its messages are read, so they must not be translated.
        command.env("LC_ALL", "C").env_remove("LANGUAGE");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Runs a command to its end; answers what it wrote to stdout and stderr.
    ///
    /// # Errors
    /// A `Fault` (exit 69) when it fails, with its last words.
    pub(super) fn run(mut command: Command, input: &str) -> anyhow::Result<String> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = started.with_context(|| format!("running {name}"))?;
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

/// Of this thread alone, and for good.
#[cfg(target_os = "linux")]
fn give_up_rights(uid: u32, gid: u32) -> anyhow::Result<()> {
    use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let given_up =
        set_thread_groups(&[]).and_then(|()| set_thread_res_gid(gid, gid, gid)).and_then(|()| set_thread_res_uid(uid, uid, uid));
    given_up.with_context(|| format!("acting as user {}, who runs the private cluster's server", uid.as_raw()))
}

#[cfg(not(target_os = "linux"))]
fn give_up_rights(_: u32, _: u32) -> anyhow::Result<()> {
    Err(Fault::settings("root can have a private cluster on Linux only: run syncctl as an ordinary user, or set db.url").into())
}
