//! `syncctl sync`: all services at once, and the pace that they are polled at.

use std::time::Instant;

use clap::{Args, Subcommand};
use serde::Serialize;
use uuid::Uuid;

use super::verbs::{Bounds, CronArgs};
use super::{Output, activity, any_service, complain, explain, jobs, pace_metrics, reading, simulate, table, with_context};
use crate::config::Settings;
use crate::db;
use crate::db::claims::Selection;
use crate::db::runs;
use crate::engine::job::{self, Job};
use crate::engine::{Context, Report};
use crate::error::Exit;
use crate::services::attendee::{self, projects};
use crate::services::classify;

/// What can be done with all services.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Polls every stream of every service that is due; one job for cron in place of one a service
    Cron(CronArgs),
    /// Polls everything of one user now
    User(UserArgs),
    /// Records what a user does, which makes their streams more urgent for a while
    Activity(activity::ActivityArgs),
    /// Why each stream of a user is polled when it is
    Explain(explain::ExplainArgs),
    /// Budget, price of a poll and delays of each service
    Metrics(pace_metrics::MetricsArgs),
    /// Holds rules of pace against each other at the same number of calls: what each makes of the delay of changes
    Simulate(simulate::Args),
}

#[derive(Debug, Args)]
pub struct UserArgs {
    /// A user, by UUID or address
    #[arg(value_name = "USER")]
    user: String,
    #[command(flatten)]
    bounds: Bounds,
}

/// Does what the verb says.
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
        // Needs no database, unless it is asked to take the times from there.
        Verb::Simulate(args) => simulate::run(args, settings, output),
    }
}

async fn cron(args: &CronArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let selection = Selection { force: args.force, ..Selection::default() };
    let mut services = enabled(context);
    if !projects::list(&context.pool).await?.is_empty() {
        services.push(attendee::SERVICE);
    }
    if context.settings.classify.enabled && db::projects::are_there(&context.pool).await? {
        services.push(classify::SERVICE);
    }
    let job = |service| {
        // The name, and with it the lock, of the service's own job: both may be in one crontab.
        let job = jobs::job(context, service, "cron", selection.clone(), args.bounds);
        (service, Job { exclusive: !args.parallel, ..job })
    };
    let jobs: Vec<(&str, Job)> = services.into_iter().map(job).collect();
    together(context, "cron", &jobs, output).await
}

async fn user(args: &UserArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let selection = Selection { force: true, ..Selection::default() };
    let job = |service| (service, jobs::job(context, service, "poll", selection.clone(), args.bounds));
    let mut jobs: Vec<(&str, Job)> = enabled(context).into_iter().map(job).collect();
    let user = jobs::user(context, &args.user).await;
    for (service, job) in &mut jobs {
        match &user {
            Ok(user) => job.selection.users = Some(vec![*user]),
            Err(error) => job::refused(context, any_service::tables(service)?, job, error).await,
        }
    }
    user?;
    together(context, "user", &jobs, output).await
}

/// The services of users that the settings want.
fn enabled(context: &Context) -> Vec<&'static str> {
    any_service::services(&context.settings).into_iter().filter_map(|(service, enabled)| enabled.then_some(service)).collect()
}

/// What one run of all services did.
#[derive(Debug, Serialize)]
struct Together {
    execution_id: Uuid,
    job: String,
    dry_run: bool,
    elapsed_ms: u64,
    /// Of each service; its rows in the service's own tables have its own execution id.
    runs: Vec<Ran>,
}

/// The run of one service.
#[derive(Debug, Serialize)]
struct Ran {
    service: &'static str,
    report: Option<Report>,
    /// Why the run could not be recorded.
    error: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

/// Runs a job of each of several services, and tells of all in one.
async fn together(context: &Context, verb: &str, jobs: &[(&'static str, Job)], output: Output) -> anyhow::Result<Exit> {
    let started = Instant::now();
    let mut runs = Vec::new();
    for (&(service, _), ran) in jobs.iter().zip(any_service::run_all(context, jobs).await) {
        runs.push(match ran {
            Ok(report) => Ran { service, exit: report.exit(), error: report.error_message(), report: Some(report) },
            Err(error) => Ran { service, exit: Exit::of(&error), error: Some(format!("{error:#}")), report: None },
        });
    }
    let dry_run = jobs.iter().any(|(_, job)| job.dry_run);
    if let Some((_, job)) = jobs.first() {
        jobs::hand_on(context, job).await;
    }
    let together = Together {
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
    for Ran { service, report, error, .. } in &together.runs {
        match (report, error) {
            (Some(report), _) => jobs::say(report, &format!("{service}: ")),
            (None, error) => complain(format!("{service}: {}", error.as_deref().unwrap_or_default())),
        }
    }
    // What ends a whole run says more than what failed in one. That another run holds a job says least, but not where users are named, whose
    // streams it holds.
    let is_named = jobs.iter().any(|(_, job)| job.selection.users.is_some());
    let weight = |exit: &Exit| match exit {
        Exit::Done => 1,
        Exit::Busy => 2 * u8::from(is_named),
        exit => *exit as u8 + 2,
    };
    Ok(together.runs.iter().map(|ran| ran.exit).max_by_key(weight).unwrap_or(Exit::Done))
}

fn text(together: &Together) -> String {
    let mut table = table(&["service", "status", "users", "streams", "idle", "failed", "changes", "calls", "run"]);
    for ran in &together.runs {
        let Some(report) = &ran.report else {
            table.add_row([ran.service, "failed"]);
            continue;
        };
        let changes: u64 = report.changes.values().map(|counts| counts.changes()).sum();
        table.add_row([
            ran.service.to_owned(),
            report.status.clone(),
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
    let left: String = together
        .runs
        .iter()
        .filter_map(|ran| Some((ran.service, ran.report.as_ref()?)))
        .map(|(service, report)| {
            jobs::format_skipped(report).lines().map(|line| format!("{service}: {line}\n")).collect::<String>()
        })
        .collect();
    format!("{}{head} in {:.2} s\n{}\n{left}", together.job, together.elapsed_ms as f64 / 1000.0, table.trim_fmt())
}
