//! Shared code of the polling commands: jobs, names, reasons for skipping a stream, and the printed result of a run.

use std::io::Read as _;

use anyhow::Context as _;
use uuid::Uuid;

use super::verbs::{Bounds, CronArgs};
use super::{Output, complain, hints, nouns, users};
use crate::config::duration;
use crate::db::accounts;
use crate::db::claims::Selection;
use crate::db::runs::Tables;
use crate::db::streams;
use crate::engine::job::{self, Job};
use crate::engine::push::Figures;
use crate::engine::{Context, Report, Source};
use crate::error::{Exit, Fault};
use crate::outbox;
use crate::services::registry;
use crate::state::RunStatus;

/// Runs the job, then delivers its events.
pub(super) async fn run<S: Source>(context: &Context, source: S, job: &Job) -> anyhow::Result<Report> {
    let report = job::run(context, source, job).await?;
    deliver_events(context, job).await;
    Ok(report)
}

/// Delivers the events that a job wrote to their targets.
pub(super) async fn deliver_events(context: &Context, job: &Job) {
    if !job.dry_run && !context.stop.is_cancelled() {
        outbox::deliver_after_run(&context.pool, &context.settings, &registry::event_types(), context.settings.outbox.run_budget)
            .await;
    }
}

/// Runs `cron` of any service: polls everything that is due.
pub(super) async fn cron<S: Source>(args: &CronArgs, context: &Context, source: S, output: Output) -> anyhow::Result<Exit> {
    let selection = Selection { force: args.force, ..Selection::default() };
    let job = Job { exclusive: !args.parallel, ..job(context, S::TABLES.service, "cron", selection, args.bounds) };
    finish(run(context, source, &job).await?, output)
}

/// Returns the names on the command line, and with `stdin` those on standard input, one per line.
pub(super) fn names(given: &[String], stdin: bool) -> anyhow::Result<Vec<String>> {
    let mut names = given.to_vec();
    if stdin {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("reading names from standard input")?;
        names.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
    }
    Ok(names)
}

pub(super) fn job(context: &Context, service: &str, verb: &str, selection: Selection, bounds: Bounds) -> Job {
    let configured = Some(context.settings.engine.max_duration).filter(|limit| !limit.is_zero());
    Job {
        name: format!("{service} {verb}"),
        exclusive: false,
        dry_run: bounds.dry_run,
        selection,
        max_duration: bounds.max_duration.or(configured),
        scopes: registry::scopes(&context.settings),
        unknown: Vec::new(),
        part_of: None,
    }
}

/// Finds the user for a single poll. Fails if the account is revoked or has no credentials.
pub(super) async fn user(context: &Context, name: &str) -> anyhow::Result<Uuid> {
    let user = users::find(context, name).await?;
    match accounts::get(&context.pool, user).await? {
        Some(account) => match account.revoked {
            Some(reason) => Err(Fault::refused(format!("the account of user {user} is not called: {reason}")).into()),
            None => Ok(user),
        },
        None => Err(Fault::refused(format!("user {user} has no credentials; import the account")).into()),
    }
}

/// Restricts a job to one user. Fails if the user does not exist or is not synced, and records that in the job's row.
pub(super) async fn only(context: &Context, tables: Tables, job: &mut Job, name: &str) -> anyhow::Result<Uuid> {
    let user = begun(context, tables, job, user(context, name).await).await?;
    job.selection.users = Some(vec![user]);
    Ok(user)
}

/// Returns what a run needs to begin; on an error, records the reason in the run's row.
pub(super) async fn begun<T>(context: &Context, tables: Tables, job: &Job, needed: anyhow::Result<T>) -> anyhow::Result<T> {
    if let Err(error) = &needed {
        job::refused(context, tables, job, error).await;
    }
    needed
}

/// Explains for each stream that is not due, or is being polled, why it is skipped.
pub(super) fn reasons(streams: &[streams::Timing]) -> Vec<String> {
    let minutes = |seconds: f64| duration::text(std::time::Duration::from_secs(seconds.abs().round() as u64));
    streams
        .iter()
        .filter(|stream| stream.due_in > 0.0 || stream.claimed)
        .map(|stream| {
            let mut reason = format!("stream {} ({})", stream.id, stream.kind);
            if stream.claimed {
                reason.push_str(": another run is polling it")
            } else {
                reason.push_str(&format!(": due in {}", minutes(stream.due_in)))
            }
            if stream.push_alive {
                reason.push_str(", push alive");
                if let Some(ago) = stream.pushed_ago {
                    reason.push_str(&format!(", last {} ago", minutes(ago)));
                }
            }
            if let Some(ago) = stream.polled_ago {
                reason.push_str(&format!(", last polled {} ago", minutes(ago)));
            }
            if let Some(class) = &stream.failed_class {
                reason.push_str(&format!(", failing ({class}, {} in a row)", stream.failures));
            }
            reason
        })
        .collect()
}

pub(super) fn finish(report: Report, output: Output) -> anyhow::Result<Exit> {
    output.print(&report, || text(&report))?;
    print_error(&report, "");
    hints::after_runs(output, &[&report]);
    Ok(report.exit())
}

/// Prints the run's error on stderr. That another run holds the job is only logged (`-v`), because cron would mail it from every host.
pub(super) fn print_error(report: &Report, whose: &str) {
    match report.error_message() {
        Some(message) if report.exit() == Exit::Busy => log::info!("{whose}{message}"),
        Some(message) => complain(format!("{whose}{message}")),
        None => {}
    }
}

pub(super) fn text(report: &Report) -> String {
    let mut text = head(report);
    text.push_str(&changed([report], report.dry_run));
    text.push_str(&changes(report));
    text.push_str(&format!(
        "calls     {} ({} quota units, {} retries); fetch p50 {} ms, p95 {} ms, max {} ms\n",
        report.api_calls, report.quota_units, report.retries, report.fetch_ms.p50, report.fetch_ms.p95, report.fetch_ms.max
    ));
    if let Some(push) = &report.push {
        text.push_str(&channels(push));
    }
    if report.resyncs + report.quarantined > 0 {
        text.push_str(&format!("notes     {} resyncs, {} items quarantined\n", report.resyncs, report.quarantined));
    }
    for (class, off) in &report.off {
        text.push_str(&format!("off       {} streams: {class} ({})\n", off.count, off.example));
    }
    if report.revived_accounts > 0 {
        text.push_str(&format!("accounts  {} that were revoked are accepted again\n", report.revived_accounts));
    }
    if let Some(why) = &report.stopped_early {
        text.push_str(&format!("stopped   early: {why}; the rest is due in the next run\n"));
    }
    text + &format_skipped(report)
}

/// Lists what was skipped and why, one per line.
pub(super) fn format_skipped(report: &Report) -> String {
    let mut text = String::new();
    if report.status == RunStatus::Skipped && report.held_streams == 0 {
        text.push_str(&format!("skipped   {}\n", report.error.as_deref().unwrap_or_default()));
    }
    for pause in &report.paused {
        text.push_str(&format!("paused    {}: {}\n", pause.in_words(), pause.reason));
    }
    if let Some(refused) = &report.refused {
        text.push_str(&format!("refused   {}\n", refused.in_words()));
    }
    for reason in &report.skipped {
        text.push_str(&format!("skipped   {reason}\n"));
    }
    text
}

/// Describes the job, its result, and the numbers of users and streams.
fn head(report: &Report) -> String {
    let mut text = format!(
        "{}{} in {:.2} s (run {})\n",
        report.job,
        if report.dry_run { ": dry run, nothing was written;" } else { ":" }.to_owned() + " " + report.status.as_str(),
        report.elapsed_ms as f64 / 1000.0,
        report.execution_id
    );
    let owners = registry::of_job(&report.job).map_or("users", |service| service.owners);
    text.push_str(&format!(
        "{owners:<9} {} ({} ok, {} failed)\nstreams   {} ({} idle, {} failed{})\n",
        report.total_users,
        report.successful_users,
        report.failed_users,
        report.streams,
        report.idle_streams,
        report.failed_streams,
        if report.interrupted_streams > 0 { format!(", {} interrupted", report.interrupted_streams) } else { String::new() }
    ));
    if let Some(covered) = report.covered.filter(|covered| covered.total != report.total_users as u64) {
        text.push_str(&format!("covers    {} ({} failed)\n", covered.total, covered.failed));
    }
    text
}

/// Summarizes the changes of runs in one line: `changed   3 events, 82 files`; empty without changes.
pub(super) fn changed<'a>(reports: impl IntoIterator<Item = &'a Report>, dry_run: bool) -> String {
    match nouns::changed(reports).as_str() {
        "" => String::new(),
        changed if dry_run => format!("would change {changed}\n"),
        changed => format!("changed   {changed}\n"),
    }
}

/// Lists the changes, one line per kind of item.
fn changes(report: &Report) -> String {
    let changed = report.changes.iter().filter(|(_, counts)| counts.changes() + counts.unchanged > 0);
    let lines = changed.map(|(kind, counts)| {
        let permissions = match counts.permissions {
            0 => String::new(),
            files => format!(", {files} with other permissions"),
        };
        format!(
            "changes   {}: {} created, {} updated, {} deleted, {} unchanged{permissions}\n",
            nouns::plural(report, kind),
            counts.created,
            counts.updated,
            counts.deleted,
            counts.unchanged
        )
    });
    lines.collect()
}

fn channels(push: &Figures) -> String {
    let mut text = format!(
        "channels  {} opened, {} renewed, {} stopped, {} left to stop, {} refused, {} found silent\n",
        push.made, push.renewed, push.stopped, push.left_to_stop, push.refused, push.silent
    );
    for repair in &push.repairs {
        text.push_str(&format!("repaired  stream {}: {:?}: {}\n", repair.stream_id, repair.found, repair.done));
    }
    text
}
