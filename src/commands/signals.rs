//! What SIGINT and SIGTERM do to a command: the first winds it down, the second ends it immediately.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::Exit;
use crate::progress;

/// Whether this process is ended by a signal anyway. Global to the process, like its signals; the same applies to the next one.
static IS_EXPECTED: AtomicBool = AtomicBool::new(false);
/// Whether a user has interrupted this process.
static IS_INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes an interruption a normal end, without a notice and an exit code of its own.
pub fn expect() {
    IS_EXPECTED.store(true, Ordering::Relaxed);
}

/// The exit code of a command that ended with `exit`: if its user interrupted it, that is what scripts must learn.
pub fn exit(exit: Exit) -> Exit {
    let is_interrupted = IS_INTERRUPTED.load(Ordering::Relaxed) && !IS_EXPECTED.load(Ordering::Relaxed);
    after(exit, is_interrupted)
}

fn after(exit: Exit, is_interrupted: bool) -> Exit {
    match exit {
        Exit::Done | Exit::SomeFailed if is_interrupted => Exit::Interrupted,
        exit => exit,
    }
}

/// Winds the command down on the first signal and exits immediately on the second.
pub async fn stop(stop: CancellationToken) {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        log::warn!("no signal handler could be installed");
        return;
    };
    for is_first in [true, false] {
        let is_interrupt = tokio::select! {
            _ = term.recv() => false,
            _ = int.recv() => true,
        };
        if !is_first {
            std::process::exit(Exit::Interrupted as i32);
        }
        if is_interrupt {
            IS_INTERRUPTED.store(true, Ordering::Relaxed);
            if !IS_EXPECTED.load(Ordering::Relaxed) {
                progress::notice("interrupted: what has been received is stored first; press Ctrl-C again to end immediately");
            }
        }
        stop.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_has_an_exit_code_of_its_own_unless_something_worse_ended_the_command() {
        for exit in [Exit::Done, Exit::SomeFailed] {
            assert_eq!((after(exit, true), after(exit, false)), (Exit::Interrupted, exit));
        }
        for exit in [Exit::Usage, Exit::Unavailable, Exit::Busy, Exit::Refused, Exit::Settings] {
            assert_eq!(after(exit, true), exit);
        }
    }
}
