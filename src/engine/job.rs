//! One execution of a job: run row, lock, heartbeat, the streams, and the rows that record it.

mod opened;
mod ready;
pub(super) mod spec;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::report::Covered;
use super::shared::Shared;
use super::{Context, Report, Source, dispatch, isolated, probe, revive, run_summary, skipped, watch};
use crate::db::claims::Selection;
use crate::db::pace_runs;
use crate::db::pool::CANCELLED;
use crate::db::runs::{self, Closing, Look, Opening, Tables};
use crate::db::{explained, streams};
use crate::error::{one_line, sql_state};
use crate::state::RunStatus;
use crate::telemetry;
use crate::telemetry::healthchecks::Check;

pub use spec::Job;

/// Runs a job to its end. All outcomes of streams are in the report and in the run tables.
///
/// # Errors
/// Returns an error only if the run could not be recorded at all.
pub async fn run<S: Source>(context: &Context, source: S, job: &Job) -> anyhow::Result<Report> {
    // For other services, accounts are revived and paused projects probed between opening the run and the first look.
    let look = (!S::AUTH.makes_calls()).then_some(Look { selection: &job.selection, wake: S::WAKE });
    recorded_from(context, source, job, look, async |shared| {
        if !job.dry_run && job.is_for_everybody() {
            if S::AUTH.scope().is_some() {
                revive::revive(&shared).await?;
            }
            if shared.meter.has_paused() {
                probe::probe(&shared).await?;
            }
        }
        // Not for named users: they are polled whether due or not.
        if !job.dry_run && job.selection == Selection::default() {
            // Its effect comes with the next run; polls do not wait for it.
            if let Err(error) = shared.source.prepare(context).await {
                shared.report().unprepared = Some(one_line(&format!("{error:#}")));
            }
        }
        shared.report().is_of_polls = true;
        let served = CancellationToken::new();
        let drain = async {
            let drained = dispatch::drain(&shared, &job.selection).await;
            served.cancel();
            drained
        };
        // All other streams are served, whatever happens to the isolated ones.
        let (_, isolated_result) = tokio::try_join!(drain, async { Ok(isolated::alongside(&shared, job, &served).await) })?;
        skipped::paused(&shared, &job.selection).await?;
        skipped::unclaimed(&shared, &job.selection).await?;
        // Usually none is: an idle run makes few statements.
        let may_be_refused = shared.report().may_be_refused();
        if may_be_refused {
            skipped::refused(&shared, job).await?;
        }
        isolated_result
    })
    .await
}

/// Records a run that ended before it began because of its arguments: no such user, or none that may be called.
pub async fn refused(context: &Context, tables: Tables, job: &Job, why: &anyhow::Error) {
    if job.dry_run {
        return;
    }
    let (run, began, started) = (Uuid::now_v7(), SystemTime::now(), Instant::now());
    let mut report = Report::new(run, &job.name, false);
    report.fail_run(why);
    report.covered = Some(Covered { total: 1, failed: 1 });
    let recorded = async {
        let lease = context.settings.engine.lease.as_secs_f64();
        runs::open(&context.pool, tables, &Opening { run, job: &job.name, exclusive: false, lease, look: None }).await?;
        record(context, tables, job, &mut report, started, |_| 0).await
    };
    if let Err(error) = recorded.await {
        log::warn!("could not record the run of `{}`: {error:#}", job.name);
        report.status = RunStatus::Failed;
    }
    telemetry::export(&context.http, &run_summary::run(&job.name, run, began, &Ok(report))).await;
}

/// Executes `work` as a run: with its row, lock, heartbeat and report.
///
/// # Errors
/// Returns an error only if the run could not be recorded at all.
pub(super) async fn recorded<S: Source>(
    context: &Context,
    source: S,
    job: &Job,
    work: impl AsyncFnOnce(Arc<Shared<S>>) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    recorded_from(context, source, job, None, work).await
}

/// Same as `recorded`; `look` is the look for due streams that opens the run.
async fn recorded_from<S: Source>(
    context: &Context,
    source: S,
    job: &Job,
    look: Option<Look<'_>>,
    work: impl AsyncFnOnce(Arc<Shared<S>>) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let run = job.part_of.unwrap_or_else(Uuid::now_v7);
    let mut check = Check::none();
    let began = SystemTime::now();
    // The run gets its own pool handle, so that its statements can be cancelled without affecting other runs in this process.
    let own = Context { pool: context.pool.of_one_run(), ..context.clone() };
    let ended = executed(&own, source, job, run, look, &mut check, work).await.map_err(explained);
    let telemetry = async {
        if !job.dry_run && job.part_of.is_none() {
            telemetry::export(&context.http, &run_summary::run(&job.name, run, began, &ended)).await;
        }
    };
    tokio::join!(check.end(&ended, Report::exit, Report::error_message), telemetry);
    ended
}

async fn executed<S: Source>(
    context: &Context,
    source: S,
    job: &Job,
    run: Uuid,
    look: Option<Look<'_>>,
    check: &mut Check,
    work: impl AsyncFnOnce(Arc<Shared<S>>) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    let started = Instant::now();
    let mut report = Report::new(run, &job.name, job.dry_run);
    report.add_unknown(&job.unknown);
    let keys = ready::keys(context, S::AUTH).await?;
    // A host that cannot work for lack of keys does not block the job for others.
    let exclusive = job.exclusive && keys.is_ok();
    let mut seen = None;
    if !job.dry_run && job.part_of.is_none() {
        let opened = opened::open(context, S::TABLES, job, exclusive, look, &mut report, check).await?;
        if !opened.is_ours {
            record(context, S::TABLES, job, &mut report, started, |user| source.subjects(user)).await?;
            return Ok(report);
        }
        seen = opened.due;
    }
    let prices = match ready::ready(context, &source, job, keys).await {
        Ok(prices) => prices,
        Err(error) => {
            report.fail_run(&error);
            if job.dry_run {
                report.close(started.elapsed(), |user| source.subjects(user));
            } else {
                record(context, S::TABLES, job, &mut report, started, |user| source.subjects(user)).await?;
            }
            return Ok(report);
        }
    };
    let shared = ready::shared(context, source, job, (prices, seen), report)?;
    let calls_before = context.http.calls();
    let watch = tokio::spawn(watch::supervise(Arc::clone(&shared), job.max_duration, exclusive));
    let drained = watch::in_time(&context.pool, &shared.wind_down, watch::WORK, work(Arc::clone(&shared))).await;
    let mut report = ended(&shared, job, drained.is_ok());
    watch.abort();
    report.api_calls += context.http.calls() - calls_before;
    let drained = drained.map_err(explained);
    if let Err(error) = &drained {
        report.fail_run(error);
    }
    if job.dry_run {
        report.close(started.elapsed(), |user| shared.source.subjects(user));
        return Ok(report);
    }
    let closing = closed(&shared, job, &mut report, started);
    match (watch::in_time(&context.pool, &shared.wind_down, watch::CLOSING, closing).await, drained) {
        (Ok(()), _) => Ok(report),
        (Err(error), Ok(())) => Err(error),
        (Err(_), Err(first)) => Err(first),
    }
}

/// Collects the report after the work has ended, successfully or not.
fn ended<S: Source>(shared: &Shared<S>, job: &Job, is_well: bool) -> Report {
    let mut report = std::mem::take(&mut *shared.report());
    if shared.wind_down.is_cancelled() && is_well {
        let why = if shared.context.stop.is_cancelled() { "stop requested" } else { "max_duration reached" };
        report.stopped_early.get_or_insert_with(|| why.into());
    }
    shared.progress.finish();
    shared.digest.log(&job.name);
    if report.quarantined > 0 {
        log::warn!("{}: {} items quarantined: `syncctl items list` shows them", job.name, report.quarantined);
    }
    report.details = shared.source.details();
    if let Some(failure) = shared.source.trouble() {
        report.add_problem(&failure);
    }
    let (units, retries) = shared.meter.totals();
    (report.quota_units, report.retries) = (report.quota_units + units, report.retries + retries);
    report
}

/// Gives back what the run still holds and closes its row. If the database is gone, the leases lapse and the next run closes the row.
async fn closed<S: Source>(shared: &Shared<S>, job: &Job, report: &mut Report, started: Instant) -> anyhow::Result<()> {
    let pool = &shared.context.pool;
    shared.meter.release().await?;
    if report.changes.values().any(|counts| counts.streams > 0) {
        pace_runs::outdate(pool, S::TABLES.service).await?;
    }
    // The run was stopped before it reached these, or their project is paused.
    let held: Vec<i64> = shared.held().iter().copied().collect();
    if !held.is_empty() {
        streams::release(pool, shared.run, &held).await?;
    }
    record(&shared.context, S::TABLES, job, report, started, |user| shared.source.subjects(user)).await
}

async fn record(
    context: &Context,
    tables: Tables,
    job: &Job,
    report: &mut Report,
    started: Instant,
    covers: impl Fn(Uuid) -> u64,
) -> anyhow::Result<()> {
    let covered = report.close(started.elapsed(), covers);
    if job.part_of.is_some() {
        return Ok(());
    }
    let error_message = report.error_message();
    let int = |n: u64| i32::try_from(n).unwrap_or(i32::MAX);
    let closing = Closing {
        status: report.status,
        total: int(covered.total),
        successful: int(covered.total - covered.failed),
        failed: int(covered.failed),
        elapsed_ms: int(report.elapsed_ms),
        error_message: error_message.as_deref(),
        job: &job.name,
        summary: &serde_json::to_value(&*report)?,
    };
    let closed = runs::close(&context.pool, tables, report.execution_id, &closing).await;
    match closed {
        // The cancellation was meant for an earlier statement.
        Err(error) if sql_state(&error) == Some(CANCELLED) => {
            runs::close(&context.pool, tables, report.execution_id, &closing).await
        }
        closed => closed,
    }
}
