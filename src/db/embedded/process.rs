//! The server's process: PostgreSQL's pid file, and whether the process with that id is still the server. Independent of the binaries.

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// The used fields of `postmaster.pid`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PidFile {
    /// The server's process id. The process may have died.
    pub pid: i32,
    /// Whether the file reports that it accepts connections.
    pub ready: bool,
}

impl PidFile {
    /// `None`: no server, or a truncated file.
    pub(super) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join("postmaster.pid")).ok()?)
    }

    /// Line 1 is the process id, line 8 the state: starting, stopping, ready or standby.
    fn parse(text: &str) -> Option<Self> {
        let pid = text.lines().next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
        Some(Self { pid, ready: text.lines().nth(7).is_some_and(|state| state.trim() == "ready") })
    }
}

/// Whether any process has this id.
pub(super) fn is_alive(pid: i32) -> bool {
    match Pid::from_raw(pid).map(test_kill_process) {
        Some(Ok(()) | Err(rustix::io::Errno::PERM)) => true,
        Some(Err(_)) | None => false,
    }
}

/// Whether this process is the server of this folder, and not another program that reuses its id.
pub(super) fn is_server(pid: i32, data: &Path) -> bool {
    if !is_alive(pid) {
        return false;
    }
    // The server's working directory is its data folder; a zombie has none.
    if cfg!(target_os = "linux") {
        return fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
    }
    let listed = std::process::Command::new("lsof").args(["-a", "-d", "cwd", "-Fn", "-p", &pid.to_string()]).output();
    let cwd = format!("n{}", data.display());
    listed.is_ok_and(|listed| String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == cwd))
}

/// Signals the server to stop: SIGINT is a fast shutdown, which rolls back open transactions; SIGQUIT is an immediate shutdown.
pub(super) fn signal(pid: i32, signal: Signal) -> std::io::Result<()> {
    match Pid::from_raw(pid) {
        Some(pid) => Ok(kill_process(pid, signal)?),
        None => Ok(()),
    }
}

/// Keeps inherited file descriptors from the server: crontabs use `flock FILE syncctl …`, and a server that inherits that lock holds it for as long
/// as it runs.
pub(super) fn keep_descriptors() {
    let folder = if cfg!(target_os = "linux") { "/proc/self/fd" } else { "/dev/fd" };
    let Ok(entries) = fs::read_dir(folder) else { return };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<i32>>() {
        // SAFETY: the descriptor is used for this call only; if it has been closed meanwhile, the call fails without effect.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partial_pid_file_is_read_as_far_as_possible() {
        let whole = "123\n/data\n1\n5432\n/run\n\n  77 1\nready   \n";
        assert_eq!(PidFile::parse(whole), Some(PidFile { pid: 123, ready: true }));
        assert_eq!(PidFile::parse("123\n/data\n"), Some(PidFile { pid: 123, ready: false }));
        assert_eq!(PidFile::parse(&whole.replace("ready", "starting")), Some(PidFile { pid: 123, ready: false }));
        for cut in ["", "\n", "x\n", "-5\n", "0\n", "99999999999999\n"] {
            assert_eq!(PidFile::parse(cut), None, "{cut:?}");
        }
    }

    #[test]
    fn the_test_process_is_alive_but_no_server() {
        let pid = i32::try_from(std::process::id()).expect("a pid");
        assert!(is_alive(pid));
        assert!(!is_server(pid, Path::new("/no-such-folder")));
    }
}
