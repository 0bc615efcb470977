//! Streams whose process died twice while it held them are polled apart, beside all others: by a process of its own, which says what it is at
//! before each step, so that what ends it is known by its id. Knows no service.

mod announce;
mod checkpoint;

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::job::Job;
use super::outcome::Outcome;
use super::report::part::Part;
use super::shared::Shared;
use super::{Report, Source, failed};
use crate::config::Settings;
use crate::db::claims;
use crate::db::{items, streams};
use crate::error::{Class, Exit, Failure, Fault};

pub use announce::{at, begin, blocking, checkpoint, is_on, on};
pub use checkpoint::Checkpoint;

/// The command that such a process is started with.
pub const COMMAND: &str = "poll-isolated";
/// How often something ends its process before it is put aside.
const TWICE: usize = 2;
/// Processes that may die in one run; what is left is the next run's.
const MOST_DEATHS: usize = 20;
/// What a panic in the first thread ends a process with.
const PANICKED: i32 = 101;

/// What a process is to poll, on its standard input.
#[derive(Serialize, Deserialize)]
pub struct Order {
    pub settings: Settings,
    pub service: String,
    /// The run that it polls for, and its job.
    pub run: Uuid,
    pub job: String,
    /// `streams.id`
    pub streams: Vec<i64>,
    pub max_duration: Option<Duration>,
}

/// Ends the output of a process that has polled what it was to poll.
pub fn print_report(report: Report) -> anyhow::Result<()> {
    announce::line(&Part::of(report))
}

/// How a process ended.
enum Ended {
    Done(Part),
    /// While it was at this place, where it had come to one.
    Died(Option<Checkpoint>, ExitStatus),
}

/// Streams that the looks of a run leave to a process of its own.
#[derive(Default)]
pub struct IsolatedStreams {
    ids: Mutex<Vec<i64>>,
    found: Notify,
}

impl IsolatedStreams {
    /// As the last look has found them; those of earlier ones are among them, or polled.
    pub fn put(&self, ids: Vec<i64>) {
        let is_any = !ids.is_empty();
        *self.ids.lock().unwrap_or_else(PoisonError::into_inner) = ids;
        if is_any {
            self.found.notify_one();
        }
    }

    fn take(&self) -> Vec<i64> {
        std::mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Polls apart what the looks leave to it, until all others are `served`. Waiting for these would be for days, where one of them is a large mailbox
/// in its first pass.
///
/// # Errors
/// No process can be started, or one gave up; the database is gone.
pub async fn beside<S: Source>(shared: &Shared<S>, job: &Job, served: &CancellationToken) -> anyhow::Result<()> {
    let mut deaths = Vec::new();
    loop {
        let is_last = served.is_cancelled();
        poll(shared, job, shared.apart.take(), &mut deaths).await?;
        if is_last {
            return Ok(());
        }
        tokio::select! {
            () = shared.apart.found.notified() => {}
            () = served.cancelled() => {}
        }
    }
}

async fn poll<S: Source>(
    shared: &Shared<S>,
    job: &Job,
    streams: Vec<i64>,
    deaths: &mut Vec<Option<Checkpoint>>,
) -> anyhow::Result<()> {
    let mut groups = vec![streams];
    let may_go_on = |deaths: usize| !shared.dry_run && !shared.wind_down.is_cancelled() && deaths < MOST_DEATHS;
    while let Some(mut group) = groups.pop().filter(|_| may_go_on(deaths.len())) {
        if group.is_empty() {
            continue;
        }
        let (place, status) = match polled(shared, job, &group).await? {
            Ended::Done(part) => {
                shared.report().take_over(part);
                continue;
            }
            Ended::Died(place, status) => (place, status),
        };
        log::warn!("{}: a process that polled {} streams apart ended with {status}", job.name, group.len());
        deaths.push(place.clone());
        let is_proven = deaths.iter().filter(|other| **other == place).count() == TWICE;
        match place {
            Some(Checkpoint { stream, item: Some(item) }) if is_proven => {
                items::condemn(&shared.context.pool, stream, &item, &format!("{}: {status}", items::DEADLY)).await?;
                shared.report().quarantined += 1;
            }
            Some(Checkpoint { stream, item: None }) if is_proven => {
                put_off(shared, stream, status).await?;
                group.retain(|id| *id != stream);
            }
            None if is_proven && group.len() == 1 => put_off(shared, group.remove(0), status).await?,
            // It was at none of them, or at one that nobody knows.
            None if is_proven => {
                deaths.retain(Option::is_some);
                groups.push(group.split_off(group.len() / 2));
            }
            _ => {}
        }
        // It can no longer say so itself.
        let held: Vec<i64> = groups.iter().flatten().chain(&group).copied().collect();
        streams::release(&shared.context.pool, shared.run, &held).await?;
        groups.push(group);
        if deaths.len() == MOST_DEATHS {
            log::warn!("{}: {MOST_DEATHS} processes died, the next run goes on", job.name);
        }
    }
    Ok(())
}

/// Records a stream that ends its process by something that has no id.
async fn put_off<S: Source>(shared: &Shared<S>, stream: i64, status: ExitStatus) -> anyhow::Result<()> {
    for row in claims::read(&shared.context.pool, &[stream]).await? {
        let message =
            format!("the process that polled this stream ended with {status}, twice; report it, with the log of the run");
        let end = failed::store(shared, &row, Failure::new(Class::Internal, message)).await;
        shared.report().add(&Outcome { end, ..Outcome::of(&row) });
    }
    Ok(())
}

/// Starts a process for these streams, and waits for its end.
async fn polled<S: Source>(shared: &Shared<S>, job: &Job, streams: &[i64]) -> anyhow::Result<Ended> {
    let mut settings = (*shared.context.settings).clone();
    // One thing at a time: what is at work when it dies is what it dies of.
    (settings.engine.threads, settings.google.batch_size) = (1, 1);
    let order = Order {
        settings,
        service: S::TABLES.service.to_owned(),
        run: shared.run,
        job: job.name.clone(),
        streams: streams.to_vec(),
        max_duration: job.max_duration,
    };
    let mut child = Command::new(std::env::current_exe()?)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("starting a process that polls streams apart")?;
    if let Some(mut input) = child.stdin.take() {
        // It may have died before it has read it, which its end tells.
        let _ = input.write_all(&serde_json::to_vec(&order)?).await;
    }
    let (place, part, was_stopped) = heard(shared, &mut child).await?;
    let status = child.wait().await.context("waiting for the process that polls streams apart")?;
    match part {
        Some(part) => Ok(Ended::Done(part)),
        None if was_stopped => Ok(Ended::Done(Part::default())),
        None if status.signal().is_some() || status.code() == Some(PANICKED) => Ok(Ended::Died(place, status)),
        None => {
            // The run ends like it.
            let exit = [Exit::Unavailable, Exit::Settings].into_iter().find(|exit| status.code() == Some(*exit as i32));
            let message = format!("the process that polls streams apart gave up ({status}); what it said stands above");
            Err(Fault { exit: exit.unwrap_or(Exit::SomeFailed), message }.into())
        }
    }
}

/// What a process says until its end: where it was last, what it did, and whether it was told to stop, which is handed on to it.
async fn heard<S>(shared: &Shared<S>, child: &mut Child) -> anyhow::Result<(Option<Checkpoint>, Option<Part>, bool)> {
    let (mut place, mut part, mut was_stopped) = (None, None, false);
    let Some(output) = child.stdout.take() else { return Ok((place, part, was_stopped)) };
    let mut lines = BufReader::new(output).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line.context("reading from the process that polls streams apart")? {
                Some(line) if line.starts_with('{') => part = Some(serde_json::from_str(&line)?),
                // The last line of one that died may be half of one.
                Some(line) => place = serde_json::from_str(&line).unwrap_or(place),
                None => return Ok((place, part, was_stopped)),
            },
            () = shared.wind_down.cancelled(), if !was_stopped => {
                was_stopped = true;
                let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
                if let Some(pid) = pid {
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_comes_as_it_was_given() {
        let mut settings = Settings::default();
        (settings.gmail.window, settings.db.password) = (None, "a \"word\"".into());
        let order = Order {
            settings,
            service: "gmail".into(),
            run: Uuid::from_u128(7),
            job: "gmail cron".into(),
            streams: vec![1, 2],
            max_duration: Some(Duration::from_millis(1_500)),
        };
        let given = serde_json::to_value(&order).expect("JSON");
        let come: Order = serde_json::from_value(given.clone()).expect("an order");
        assert_eq!(serde_json::to_value(&come).expect("JSON"), given);
    }

    #[test]
    fn a_place_is_a_line_and_half_a_line_is_none() {
        let place = Checkpoint { stream: 7, item: Some("a\"\n".into()) };
        let line = serde_json::to_string(&Some(&place)).expect("JSON");
        assert_eq!(line, r#"[7,"a\"\n"]"#);
        assert_eq!(serde_json::from_str::<Option<Checkpoint>>(&line).expect("a place"), Some(place));
        assert_eq!(serde_json::from_str::<Option<Checkpoint>>("null").expect("no place"), None);
        assert!(serde_json::from_str::<Option<Checkpoint>>(&line[..5]).is_err());
    }
}
