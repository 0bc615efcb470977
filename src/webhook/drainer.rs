//! Starts `syncctl webhook drain` when something was announced: a process of its own, one at a time. Knows no request and no database.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Between the first announcement and the poll: what belongs together comes together.
const GATHER: Duration = Duration::from_millis(300);
/// After a run that failed; cron carries on meanwhile.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a run may take to wind down.
const FINISH: Duration = Duration::from_secs(30);

/// What to start.
pub struct Drainer {
    /// Arguments of this same program.
    pub arguments: Vec<OsString>,
}

impl Drainer {
    /// Runs until told to stop; a run that is under way is told too, and waited for.
    pub async fn run(self, pushed: &Notify, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = pushed.notified() => {}
                () = stop.cancelled() => return,
            }
            tokio::time::sleep(GATHER).await;
            if let Err(error) = self.drain(stop).await {
                log::error!("webhook drain: {error}");
                tokio::select! {
                    () = tokio::time::sleep(PAUSE) => {}
                    () = stop.cancelled() => return,
                }
            }
        }
    }

    async fn drain(&self, stop: &CancellationToken) -> std::io::Result<()> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(&self.arguments)
            // The socket is ours.
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_PID")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let status = tokio::select! {
            status = child.wait() => status?,
            () = stop.cancelled() => {
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
                if let Some(pid) = pid {
                    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
                }
                match tokio::time::timeout(FINISH, child.wait()).await {
                    Ok(status) => status?,
                    Err(_) => return Err(std::io::Error::other("still at work after the signal")),
                }
            }
        };
        match status.code() {
            // Some streams failed: that is in its run row.
            Some(0 | 1) => Ok(()),
            _ => Err(std::io::Error::other(format!("ended with {status}"))),
        }
    }
}
