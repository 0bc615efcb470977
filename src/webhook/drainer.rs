//! Starts `syncctl webhook drain` after notifications, in a separate process, one at a time. No database access.

use std::ffi::OsString;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Delay between the first notification and the poll, to collect related notifications.
const GATHER: Duration = Duration::from_millis(300);
/// Pause after a failed run. Meanwhile cron continues.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a run may take to wind down.
const FINISH: Duration = Duration::from_secs(30);

/// The process to start.
pub struct Drainer {
    /// Arguments for this program.
    pub arguments: Vec<OsString>,
}

impl Drainer {
    /// Runs until cancelled. A drain in progress is then terminated and awaited.
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
            // Do not pass on the listening socket.
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
                    Err(_) => return Err(std::io::Error::other("still running after the signal")),
                }
            }
        };
        match status.code() {
            // Failed streams are recorded in its run row.
            Some(0 | 1) => Ok(()),
            _ => Err(std::io::Error::other(format!("ended with {status}"))),
        }
    }
}
