//! One execution of one job: run row, lock, heartbeat, the streams, and the rows that tell of it.

mod opened;
mod ready;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::meter::Meter;
use super::page_memory::PageMemory;
use super::queue::Queue;
use super::report::Covered;
use super::shared::Shared;
use super::{Context, Report, Source, budget, dispatch, isolated, probe, revive, run_summary, skipped, watch};
use crate::db::claims::Selection;
use crate::db::poll_prices;
use crate::db::pool::CANCELLED;
use crate::db::runs::{self, Closing, Look, Opening, Tables};
use crate::db::{explained, streams};
use crate::error::{one_line, sql_state};
use crate::telemetry;
use crate::telemetry::healthchecks::Check;

/// What to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// `calendar cron`: the name in the run tables, and of the lock.
    pub name: String,
    /// One run of this job at a time.
    pub exclusive: bool,
    /// Ask and compare, write nothing.
    pub dry_run: bool,
    /// Which streams.
    pub selection: Selection,
    /// Wind down after this long.
    pub max_duration: Option<Duration>,
    /// OAuth scopes of every service that is enabled.
    pub scopes: Vec<&'static str>,
    /// Those of the ids given that name nothing; they count as failed.
    pub unknown: Vec<String>,
    /// The run that this process polls some streams for, which tells of it.
    pub part_of: Option<Uuid>,
}

impl Job {
    /// What schedules run, and not a person for some users: only this is a sign that all is well.
    pub(super) fn is_for_everybody(&self) -> bool {
        self.selection.users.is_none() && !self.selection.pushed && self.selection.apart.is_none()
    }
}

/// Runs a job to its end. Whatever happens to the streams is in the report and in the run tables.
///
/// # Errors
/// Only when the run could not be recorded at all.
pub async fn run<S: Source>(context: &Context, source: S, job: &Job) -> anyhow::Result<Report> {
    // Between the opening and the look of all others, accounts are revived and paused projects probed.
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
        // Not for what was named: that is polled whether due or not.
        if !job.dry_run && job.selection == Selection::default() {
            // What it is for comes with the next run. Nobody's polls wait for it.
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
        // Whatever becomes of those that are polled apart, the others are served.
        let (_, apart) = tokio::try_join!(drain, async { Ok(isolated::beside(&shared, job, &served).await) })?;
        skipped::paused(&shared, &job.selection).await?;
        skipped::unclaimed(&shared, &job.selection).await?;
        // Mostly none is: an idle run makes few statements.
        let may_be_refused = shared.report().may_be_refused();
        if may_be_refused {
            skipped::refused(&shared, job).await?;
        }
        apart
    })
    .await
}

/// Records a run that ended before it began, because of what it was asked for: nobody is called so, or nobody may be called.
pub async fn refused(context: &Context, tables: Tables, job: &Job, why: &anyhow::Error) {
    if job.dry_run {
        return;
    }
    let (run, began, started) = (Uuid::now_v7(), SystemTime::now(), Instant::now());
    let mut report = Report::new(run, &job.name, false);
    report.fail_whole(why);
    report.covered = Some(Covered { total: 1, failed: 1 });
    let recorded = async {
        let lease = context.settings.engine.lease.as_secs_f64();
        runs::open(&context.pool, tables, &Opening { run, job: &job.name, exclusive: false, lease, look: None }).await?;
        record(context, tables, job, &mut report, started, |_| 0).await
    };
    if let Err(error) = recorded.await {
        log::warn!("the run of `{}` is not recorded: {error:#}", job.name);
    }
    telemetry::export(&context.http, &run_summary::run(&job.name, run, began, &Ok(report))).await;
}

/// Does `work` as a run: with its row, lock, heartbeat and report.
///
/// # Errors
/// Only when the run could not be recorded at all.
pub(super) async fn recorded<S: Source>(
    context: &Context,
    source: S,
    job: &Job,
    work: impl AsyncFnOnce(Arc<Shared<S>>) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    recorded_from(context, source, job, None, work).await
}

/// The same; `look`: the look for what is due that the run is opened with.
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
    // What it has under way is its own: it may be cancelled, and that of other runs in this process goes on.
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
    // A host that can do nothing for lack of keys takes the job from nobody.
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
            report.fail_whole(&error);
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
        report.fail_whole(error);
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

/// What the run did, once its work has ended, well or not.
fn ended<S: Source>(shared: &Shared<S>, job: &Job, is_well: bool) -> Report {
    let mut report = std::mem::take(&mut *shared.report());
    if shared.wind_down.is_cancelled() && is_well {
        let why = if shared.context.stop.is_cancelled() { "told to stop" } else { "max_duration reached" };
        report.stopped_early.get_or_insert_with(|| why.into());
    }
    shared.progress.finish();
    shared.digest.log(&job.name);
    if report.quarantined > 0 {
        log::warn!("{}: {} items quarantined: `syncctl items list` shows them", job.name, report.quarantined);
    }
    report.details = shared.source.details();
    if let Some(failure) = shared.source.trouble() {
        report.be_troubled(&failure);
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
        poll_prices::outdate(pool, S::TABLES.service).await?;
    }
    // It was stopped before it came to these, or their project is paused.
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
        status: &report.status,
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
        // That was meant for a statement before it.
        Err(error) if sql_state(&error) == Some(CANCELLED) => {
            runs::close(&context.pool, tables, report.execution_id, &closing).await
        }
        closed => closed,
    }
}
