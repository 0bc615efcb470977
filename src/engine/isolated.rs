//! Isolated polling: streams whose process died twice while holding them are polled by a separate process, alongside all others. It announces its work
//! before each step, so that the item that kills it can be identified. Independent of any service.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::announce::{self, Checkpoint};
use super::job::spec::Job;
use super::outcome::Outcome;
use super::report::part::Part;
use super::shared::Shared;
use super::{Report, Source, failed};
use crate::config::Settings;
use crate::db::{claims, items, streams};
use crate::error::{Class, Exit, Failure, Fault};

/// The hidden command that starts such a process.
pub const COMMAND: &str = "poll-isolated";
/// Number of processes that an item may kill before it is set aside.
const CONDEMN_AFTER: usize = 2;
/// Maximum number of processes that may die in one run; the remaining streams are left to the next run.
const MAX_DEATHS: usize = 20;
/// Exit code of a process whose main thread panicked.
const PANICKED: i32 = 101;

/// What a process must poll; read from its standard input.
#[derive(Serialize, Deserialize)]
pub struct Order {
    #[serde(serialize_with = "crate::config::expose")]
    pub settings: Settings,
    pub service: String,
    /// The run that it polls for, and its job.
    pub run: Uuid,
    pub job: String,
    /// `streams.id`
    pub streams: Vec<i64>,
    pub max_duration: Option<Duration>,
}

/// Ends the output of a process that has finished its order.
pub fn print_report(report: Report) -> anyhow::Result<()> {
    announce::line(&Part::of(report))
}

/// How a process ended.
enum Ended {
    Done(Part),
    /// While working at this checkpoint, if it had reached one.
    Died(Option<Checkpoint>, ExitStatus),
}

/// Polls isolated streams as the looks find them, until all others are `served`. Not after the others: those can take days if one of them is the
/// first pass of a large mailbox.
///
/// # Errors
/// Returns an error if no process can be started, a process gives up, or the database is gone.
pub async fn alongside<S: Source>(shared: &Shared<S>, job: &Job, served: &CancellationToken) -> anyhow::Result<()> {
    let mut deaths = Vec::new();
    loop {
        let is_last = served.is_cancelled();
        poll(shared, job, shared.isolated.take(), &mut deaths).await?;
        if is_last {
            return Ok(());
        }
        tokio::select! {
            () = shared.isolated.added.notified() => {}
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
    let may_go_on = |deaths: usize| !shared.dry_run && !shared.wind_down.is_cancelled() && deaths < MAX_DEATHS;
    while let Some(mut group) = groups.pop().filter(|_| may_go_on(deaths.len())) {
        if group.is_empty() {
            continue;
        }
        let (checkpoint, status) = match run_process(shared, job, &group).await? {
            Ended::Done(part) => {
                shared.report().take_over(part);
                continue;
            }
            Ended::Died(checkpoint, status) => (checkpoint, status),
        };
        log::warn!("{}: a process that polled {} streams in isolation ended with {status}", job.name, group.len());
        deaths.push(checkpoint.clone());
        let is_proven = deaths.iter().filter(|other| **other == checkpoint).count() == CONDEMN_AFTER;
        match checkpoint {
            Some(Checkpoint { stream, item: Some(item) }) if is_proven => {
                items::condemn(&shared.context.pool, stream, &item, &format!("{}: {status}", items::DEADLY)).await?;
                shared.report().quarantined += 1;
            }
            Some(Checkpoint { stream, item: None }) if is_proven => {
                put_off(shared, stream, status).await?;
                group.retain(|id| *id != stream);
            }
            None if is_proven && group.len() == 1 => put_off(shared, group.remove(0), status).await?,
            // It was working on none of them, or on an unknown one.
            None if is_proven => {
                deaths.retain(Option::is_some);
                groups.push(group.split_off(group.len() / 2));
            }
            _ => {}
        }
        // The dead process cannot release them itself.
        let held: Vec<i64> = groups.iter().flatten().chain(&group).copied().collect();
        streams::release(&shared.context.pool, shared.run, &held).await?;
        groups.push(group);
        if deaths.len() == MAX_DEATHS {
            log::warn!("{}: {MAX_DEATHS} processes died; the next run continues", job.name);
        }
    }
    Ok(())
}

/// Records a stream that kills its process without a known item.
async fn put_off<S: Source>(shared: &Shared<S>, stream: i64, status: ExitStatus) -> anyhow::Result<()> {
    for row in claims::read(&shared.context.pool, &[stream]).await? {
        let message =
            format!("the process that polled this stream ended with {status} twice; please report this with the log of the run");
        let end = failed::store(shared, &row, Failure::new(Class::Internal, message)).await;
        shared.report().add(&Outcome { end, ..Outcome::of(&row) });
    }
    Ok(())
}

/// Starts a process for these streams and waits for it to end.
async fn run_process<S: Source>(shared: &Shared<S>, job: &Job, streams: &[i64]) -> anyhow::Result<Ended> {
    let mut settings = (*shared.context.settings).clone();
    // One item at a time, so that the item in progress when the process dies is the cause.
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
        .context("starting a process that polls streams in isolation")?;
    if let Some(mut input) = child.stdin.take() {
        // It may have died before reading the order; its exit status shows that.
        let _ = input.write_all(&serde_json::to_vec(&order)?).await;
    }
    let (checkpoint, part, was_stopped) = read_output(shared, &mut child).await?;
    let status = child.wait().await.context("waiting for the process that polls streams in isolation")?;
    match part {
        Some(part) => Ok(Ended::Done(part)),
        None if was_stopped => Ok(Ended::Done(Part::default())),
        None if status.signal().is_some() || status.code() == Some(PANICKED) => Ok(Ended::Died(checkpoint, status)),
        None => {
            // The run ends with the same exit code.
            let exit = [Exit::Unavailable, Exit::Settings].into_iter().find(|exit| status.code() == Some(*exit as i32));
            let message = format!("the process that polls streams in isolation gave up ({status}); see its messages above");
            Err(Fault { exit: exit.unwrap_or(Exit::SomeFailed), message }.into())
        }
    }
}

/// Reads a process's output until it ends: its last checkpoint, what it did, and whether it was asked to stop (a stop of the run is passed on to it).
async fn read_output<S>(shared: &Shared<S>, child: &mut Child) -> anyhow::Result<(Option<Checkpoint>, Option<Part>, bool)> {
    let (mut checkpoint, mut part, mut was_stopped) = (None, None, false);
    let Some(output) = child.stdout.take() else { return Ok((checkpoint, part, was_stopped)) };
    let mut lines = BufReader::new(output).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line.context("reading from the process that polls streams in isolation")? {
                Some(line) if line.starts_with('{') => part = Some(serde_json::from_str(&line)?),
                // The last line of a dead process may be incomplete.
                Some(line) => checkpoint = serde_json::from_str(&line).unwrap_or(checkpoint),
                None => return Ok((checkpoint, part, was_stopped)),
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
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn an_order_survives_a_round_trip() {
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
        assert_eq!(come.settings.db.password.expose_secret(), "a \"word\"");
        assert_eq!(serde_json::to_value(&come).expect("JSON"), given);
    }

    #[test]
    fn a_checkpoint_is_one_complete_line() {
        let checkpoint = Checkpoint { stream: 7, item: Some("a\"\n".into()) };
        let line = serde_json::to_string(&Some(&checkpoint)).expect("JSON");
        assert_eq!(line, r#"[7,"a\"\n"]"#);
        assert_eq!(serde_json::from_str::<Option<Checkpoint>>(&line).expect("a checkpoint"), Some(checkpoint));
        assert_eq!(serde_json::from_str::<Option<Checkpoint>>("null").expect("no checkpoint"), None);
        assert!(serde_json::from_str::<Option<Checkpoint>>(&line[..5]).is_err());
    }
}
