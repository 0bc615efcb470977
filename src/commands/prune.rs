//! `syncctl db prune`: deletes old rows that are no longer needed. Concurrent runs share the work.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::standalone_runs::{StandaloneJob, recorded};
use super::{Output, table};
use crate::config::{Settings, duration};
use crate::db::retention::{self, Kept};
use crate::db::{notifications, routing};
use crate::engine::Context;
use crate::error::Exit;

/// Rows deleted per statement: few enough that it takes, and holds its locks for, a fraction of a second.
const CHUNK: i64 = 5000;

/// Arguments of `db prune`.
#[derive(Debug, clap::Args)]
pub struct PruneArgs {
    /// Print what would be deleted; delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Start no further statement after this time, such as `30m`; the next run deletes the rest (default: no limit)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_duration: Option<Duration>,
}

/// What was deleted from one table.
#[derive(Debug, Serialize)]
struct Pruned {
    table: &'static str,
    /// Whether only texts were deleted and the rows stay.
    texts: bool,
    /// The setting for the retention time.
    setting: &'static str,
    keep_seconds: u64,
    rows: u64,
    /// Whether time ran out, so that there may be more.
    more: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    dry_run: bool,
    tables: Vec<Pruned>,
    rows: u64,
    elapsed_ms: u64,
}

/// Runs the command.
pub async fn run(context: &Context, args: &PruneArgs, output: Output) -> anyhow::Result<Exit> {
    let job = StandaloneJob { name: "db prune", is_announced: false };
    let report = if args.dry_run {
        prune(context, args).await?
    } else {
        recorded(context, job, prune(context, args), |_| Exit::Done, |_| None).await?
    };
    output.print(&report, || text(&report))?;
    Ok(Exit::Done)
}

async fn prune(context: &Context, args: &PruneArgs) -> anyhow::Result<Report> {
    let started = Instant::now();
    let is_over = || context.stop.is_cancelled() || args.max_duration.is_some_and(|limit| started.elapsed() >= limit);
    let pool = &context.pool;
    let mut tables = Vec::new();
    for rule in &retention::RULES {
        let (setting, keep) = kept(&context.settings, rule.kept);
        if keep.is_zero() {
            continue;
        }
        let (rows, more) = if args.dry_run {
            (retention::count(pool, rule, keep).await?, false)
        } else {
            chunks(is_over, || retention::end(pool, rule, keep, CHUNK)).await?
        };
        tables.push(Pruned { table: rule.table, texts: rule.is_of_texts(), setting, keep_seconds: keep.as_secs(), rows, more });
    }
    let keep = context.settings.webhook.keep;
    let (rows, more) = if args.dry_run {
        (notifications::count_old(pool, keep).await?, false)
    } else {
        chunks(is_over, || notifications::forget(pool, keep, CHUNK)).await?
    };
    tables.push(Pruned {
        table: "notifications",
        texts: false,
        setting: "webhook.keep",
        keep_seconds: keep.as_secs(),
        rows,
        more,
    });
    let names: Vec<&str> = context.settings.outbox.targets.iter().map(|target| target.name.as_str()).collect();
    // Without targets it is unknown which events are still needed; `deliver` keeps them too.
    if !names.is_empty() {
        let keep = context.settings.outbox.keep;
        let (rows, more) = if args.dry_run {
            (routing::count_old(pool, &names, keep).await?, false)
        } else {
            chunks(is_over, || routing::forget(pool, &names, keep, CHUNK)).await?
        };
        tables.push(Pruned {
            table: "outbox_events",
            texts: false,
            setting: "outbox.keep",
            keep_seconds: keep.as_secs(),
            rows,
            more,
        });
    }
    let rows = tables.iter().map(|pruned| pruned.rows).sum();
    Ok(Report { dry_run: args.dry_run, tables, rows, elapsed_ms: started.elapsed().as_millis() as u64 })
}

fn kept(settings: &Settings, kept: Kept) -> (&'static str, Duration) {
    let retention = &settings.retention;
    match kept {
        Kept::Runs => ("retention.runs", retention.runs),
        Kept::Tombstones => ("retention.tombstones", retention.tombstones),
        Kept::Texts => ("retention.documents", retention.documents),
        Kept::Quarantine => ("retention.quarantine", retention.quarantine),
    }
}

/// Runs statements until nothing is left or time is up. Returns the number of rows deleted, and whether there may be more.
async fn chunks<Fut>(is_over: impl Fn() -> bool, mut next: impl FnMut() -> Fut) -> anyhow::Result<(u64, bool)>
where
    Fut: Future<Output = anyhow::Result<u64>>,
{
    let mut rows = 0;
    while !is_over() {
        let chunk = next().await?;
        rows += chunk;
        if chunk < CHUNK.unsigned_abs() {
            return Ok((rows, false));
        }
    }
    Ok((rows, true))
}

fn text(report: &Report) -> String {
    let mut shown = table(&["table", if report.dry_run { "would delete" } else { "deleted" }, "older than", "setting"]);
    for pruned in report.tables.iter().filter(|pruned| pruned.rows > 0) {
        let keep = format!("{:.0} days", pruned.keep_seconds as f64 / 86400.0);
        let table = if pruned.texts { format!("{}, texts", pruned.table) } else { pruned.table.into() };
        shown.add_row([&table, &pruned.rows.to_string(), &keep, pruned.setting]);
    }
    let verb = if report.dry_run { "would be deleted" } else { "deleted" };
    let is_incomplete = report.tables.iter().any(|pruned| pruned.more);
    let rest = if is_incomplete { "; time was up, the next run deletes the rest" } else { "" };
    let sum = format!("{} rows {verb} in {:.1} s{rest}", report.rows, report.elapsed_ms as f64 / 1000.0);
    if report.rows == 0 { sum } else { format!("{}\n{sum}", shown.trim_fmt()) }
}
