//! `syncctl sync`: runs all services together, and shows their polling pace.

use std::sync::Arc;
use std::time::Instant;

use clap::{Args, Subcommand};
use futures_util::future::join_all;
use serde::Serialize;
use uuid::Uuid;

use super::verbs::{Bounds, CronArgs};
use super::{Output, activity, complain, explain, hints, jobs, pace_metrics, reading, simulate, table, with_context};
use crate::config::Settings;
use crate::db::claims::Selection;
use crate::db::runs;
use crate::engine::job::{self, Job};
use crate::engine::{Context, Report};
use crate::error::Exit;
use crate::services::{Entry, registry};
use crate::{google, http};

/// Subcommands of `sync`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Poll every due stream of every service; one job for cron instead of one per service
    Cron(CronArgs),
    /// Poll all streams of one user now
    User(UserArgs),
    /// Record a user's activity, which makes their streams more urgent for a while
    Activity(activity::ActivityArgs),
    /// Explain when and why each stream of a user is polled
    Explain(explain::ExplainArgs),
    /// Show each service's budget, price of a poll, and delays
    Metrics(pace_metrics::MetricsArgs),
    /// Compare the delay of changes under different pacing rules, at the same number of calls
    Simulate(simulate::Args),
}

#[derive(Debug, Args)]
pub struct UserArgs {
    /// User, by UUID or address
    #[arg(value_name = "USER")]
    user: String,
    #[command(flatten)]
    bounds: Bounds,
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Cron(args) => with_context(settings, |context| async move { cron(args, &context, output).await }),
        Verb::User(args) => with_context(settings, |context| async move { user(args, &context, output).await }),
        Verb::Activity(args) => with_context(settings, |context| async move { activity::run(args, &context, output).await }),
        Verb::Explain(args) => {
            with_context(settings, |context| async move { reading(&context, explain::run(args, &context, output)).await })
        }
        Verb::Metrics(args) => {
            with_context(settings, |context| async move { reading(&context, pace_metrics::run(args, &context, output)).await })
        }
        // Needs no database except with --stored.
        Verb::Simulate(args) => simulate::run(args, settings, output),
    }
}

async fn cron(args: &CronArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let selection = Selection { force: args.force, ..Selection::default() };
    let mut jobs = Vec::new();
    for service in registry::SERVICES.iter().filter(|service| (service.enabled)(&context.settings)) {
        if (service.is_in_use)(&context.pool).await? {
            // Same name, and therefore same lock, as the service's own job: both may be in a crontab.
            let job = jobs::job(context, service.name, "cron", selection.clone(), args.bounds);
            jobs.push((service, Job { exclusive: !args.parallel, ..job }));
        }
    }
    run_combined(context, "cron", &jobs, output).await
}

async fn user(args: &UserArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let selection = Selection { force: true, ..Selection::default() };
    let enabled = registry::of_google().filter(|service| (service.enabled)(&context.settings));
    let job = |service: &'static Entry| (service, jobs::job(context, service.name, "poll", selection.clone(), args.bounds));
    let mut jobs: Vec<(&Entry, Job)> = enabled.map(job).collect();
    let user = jobs::user(context, &args.user).await;
    for (service, job) in &mut jobs {
        match &user {
            Ok(user) => job.selection.users = Some(vec![*user]),
            Err(error) => job::refused(context, service.tables, job, error).await,
        }
    }
    user?;
    run_combined(context, "user", &jobs, output).await
}

/// Runs one job per service, concurrently and independently: a failing job does not stop the others.
async fn run_all(context: &Context, jobs: &[(&'static Entry, Job)]) -> Vec<anyhow::Result<Report>> {
    join_all(jobs.iter().map(|(service, job)| async move {
        // Each job has its own client, which counts its calls.
        let http = Arc::new(http::Client::new(&context.settings.google, &context.settings.engine));
        let google = Arc::new(google::Client::new(&context.settings.google, Arc::clone(&http))?);
        (service.run)(&Context { google, http, ..context.clone() }, job).await
    }))
    .await
}

/// The result of a run of all services.
#[derive(Debug, Serialize)]
struct CombinedReport {
    execution_id: Uuid,
    job: String,
    dry_run: bool,
    elapsed_ms: u64,
    /// The run of each service, which has its own execution id in that service's tables.
    runs: Vec<ServiceRun>,
}

/// The run of one service.
#[derive(Debug, Serialize)]
struct ServiceRun {
    service: &'static str,
    report: Option<Report>,
    /// Why the run could not be recorded.
    error: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

/// Runs jobs of several services and reports them together.
async fn run_combined(context: &Context, verb: &str, jobs: &[(&'static Entry, Job)], output: Output) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let mut runs = Vec::new();
    for ((entry, _), run) in jobs.iter().zip(run_all(context, jobs).await) {
        let service = entry.name;
        runs.push(match run {
            Ok(report) => ServiceRun { service, exit: report.exit(), error: report.error_message(), report: Some(report) },
            Err(error) => ServiceRun { service, exit: Exit::of(&error), error: Some(format!("{error:#}")), report: None },
        });
    }
    let dry_run = jobs.iter().any(|(_, job)| job.dry_run);
    if let Some((_, job)) = jobs.first() {
        jobs::deliver_events(context, job).await;
    }
    let together = CombinedReport {
        execution_id: Uuid::now_v7(),
        job: format!("sync {verb}"),
        dry_run,
        elapsed_ms: started.elapsed().as_millis() as u64,
        runs,
    };
    if !dry_run {
        runs::summarize(&context.pool, "sync_cron_summaries", &serde_json::to_value(&together)?).await?;
    }
    output.print(&together, || text(&together))?;
    hints::after_runs(output, &together.runs.iter().filter_map(|run| run.report.as_ref()).collect::<Vec<_>>());
    for ServiceRun { service, report, error, .. } in &together.runs {
        match (report, error) {
            (Some(report), _) => jobs::print_error(report, &format!("{service}: ")),
            (None, error) => complain(format!("{service}: {}", error.as_deref().unwrap_or_default())),
        }
    }
    // An error that ends an entire run outweighs failures within one. That another run holds the job weighs least, unless users were named:
    // then it holds their streams.
    let is_named = jobs.iter().any(|(_, job)| job.selection.users.is_some());
    let weight = |exit: &Exit| match exit {
        Exit::Done => 1,
        Exit::Busy => 2 * u8::from(is_named),
        exit => *exit as u8 + 2,
    };
    Ok(together.runs.iter().map(|run| run.exit).max_by_key(weight).unwrap_or(Exit::Done))
}

fn text(together: &CombinedReport) -> String {
    let mut table = table(&["service", "status", "users", "streams", "idle", "failed", "changes", "calls", "run"]);
    for run in &together.runs {
        let Some(report) = &run.report else {
            table.add_row([run.service, "failed"]);
            continue;
        };
        let changes: u64 = report.changes.values().map(|counts| counts.changes()).sum();
        table.add_row([
            run.service.to_owned(),
            report.status.to_string(),
            report.total_users.to_string(),
            report.streams.to_string(),
            report.idle_streams.to_string(),
            report.failed_streams.to_string(),
            changes.to_string(),
            report.api_calls.to_string(),
            report.execution_id.to_string(),
        ]);
    }
    let head = if together.dry_run { ": dry run, nothing was written" } else { "" };
    let skipped: String = together
        .runs
        .iter()
        .filter_map(|run| Some((run.service, run.report.as_ref()?)))
        .map(|(service, report)| {
            jobs::format_skipped(report).lines().map(|line| format!("{service}: {line}\n")).collect::<String>()
        })
        .collect();
    let changed = jobs::changed(together.runs.iter().filter_map(|run| run.report.as_ref()), together.dry_run);
    format!("{}{head} in {:.2} s\n{}\n{changed}{skipped}", together.job, together.elapsed_ms as f64 / 1000.0, table.trim_fmt())
}
