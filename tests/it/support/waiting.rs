//! Awaits states, and stops runs in them.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

/// Returns once the condition holds; panics if that takes longer than `patience`.
#[track_caller]
pub fn until_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {patience:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Returns once the condition holds. The limit only keeps a test that fails from running forever.
#[track_caller]
pub fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(Duration::from_secs(300), what, holds);
}

/// Sends SIGTERM.
pub fn terminate(run: &Child) {
    let pid = i32::try_from(run.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("a signal");
}
