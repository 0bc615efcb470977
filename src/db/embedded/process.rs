//! The server's process: PostgreSQL's pid file, and whether that process is still the one that wrote it. Knows no binaries.

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// `postmaster.pid`, as far as we read it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The server, if the file is not a dead one's.
    pub pid: i32,
    /// Takes connections, by its own word.
    pub ready: bool,
}

impl PidFile {
    /// None: no server, or a file that is cut.
    pub(super) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    /// The first line is the process, the eighth its state: starting, stopping, ready, standby.
    fn parse(text: &str) -> Option<Self> {
        let pid = text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
        Some(Self { pid, ready: text.lines().nth(7).is_some_and(|state| state.trim() == "ready") })
    }
}

/// Whether a process has this id, ours or not.
pub(super) fn is_alive(pid: i32) -> bool {
    match Pid::from_raw(pid).map(test_kill_process) {
        Some(Ok(()) | Err(rustix::io::Errno::PERM)) => true,
        Some(Err(_)) | None => false,
    }
}

/// Whether this process is the server of this folder, and not another program that got its number.
pub(super) fn is_server(pid: i32, data: &Path) -> bool {
    if !is_alive(pid) {
        return false;
    }
    // The server works in its data folder; a zombie has no folder any more.
    if cfg!(target_os = "linux") {
        return fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
    }
    let listed = std::process::Command::new("lsof").args(["-a", "-d", "cwd", "-Fn", "-p", &pid.to_string()]).output();
    let cwd = format!("n{}", data.display());
    listed.is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == cwd))
}

/// Asks the server to stop, rolling back what is open (SIGINT, "fast"), or to drop everything at once (SIGQUIT, "immediate").
pub(super) fn signal(pid: i32, signal: Signal) -> std::io::Result<()> {
    match Pid::from_raw(pid) {
        Some(pid) => Ok(kill_process(pid, signal)?),
        None => Ok(()),
    }
}

/// Keeps from the server what our caller left open: crontabs read `flock FILE syncctl …`, and a server that inherits
/// that lock holds it for as long as it runs.
pub(super) fn keep_descriptors() {
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let Ok(entries) = fs::read_dir(folder) else { return };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<i32>>() {
        // SAFETY: the number is used for this call only; if it was closed meanwhile, the call fails and does nothing.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_as_far_as_it_is_whole() {
        let whole = "123\n/data\n1\n5432\n/run\n\n  77 1\nready   \n";
        assert_eq!(PidFile::parse(whole), Some(PidFile { pid: 123, ready: true }));
        assert_eq!(PidFile::parse("123\n/data\n"), Some(PidFile { pid: 123, ready: false }));
        assert_eq!(PidFile::parse(&whole.replace("ready", "starting")), Some(PidFile { pid: 123, ready: false }));
        for cut in ["", "\n", "x\n", "-5\n", "0\n", "99999999999999\n"] {
            assert_eq!(PidFile::parse(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn this_test_is_alive_and_no_server() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        assert!(is_alive(pid));
        assert!(!is_server(pid, Path::new("/no-such-folder")));
    }
}
