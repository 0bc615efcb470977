//! `syncctl report`: writes a page for people about past runs and the current state.

mod chart;
mod format;
mod history;
mod now;
mod page;
mod remedy;
mod window;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt as _;
use serde::Serialize;

use self::history::{History, Pieces};
use self::page::ReportData;
use super::standalone_runs::{StandaloneJob, recorded};
use super::{Output, file, gauges, metrics, reading, with_context};
use crate::config::Settings;
use crate::db::{self, channels_read, problems};
use crate::engine::Context;
use crate::error::Exit;
use crate::progress;
use crate::services::registry;
use crate::state::RunStatus;

/// Name in the run tables.
const JOB: &str = "report";
/// Maximum number of accounts listed on the page.
const MAX_FAILING: i64 = 50;

/// Arguments of `report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File to write: a self-contained page without scripts or external requests
    #[arg(long, value_name = "FILE")]
    html: PathBuf,
    /// Length of the time window, such as `24h` or `30days` [default: 7days, or since the first run if that is less]
    #[arg(long, value_name = "DURATION", value_parser = window_length)]
    since: Option<TimeDelta>,
}

/// Returns the default window: a week, or less if the first run is more recent.
fn default_window(first: Option<DateTime<Utc>>, now: DateTime<Utc>) -> TimeDelta {
    let week = TimeDelta::days(7);
    first.map_or(week, |first| (now - first).clamp(TimeDelta::hours(1), week))
}

fn window_length(text: &str) -> Result<TimeDelta, String> {
    match metrics::window_length(text)? {
        length if length < Duration::from_secs(3600) => Err("must be 1h or more".into()),
        length => TimeDelta::from_std(length).map_err(|error| error.to_string()),
    }
}

/// Runs the command.
pub fn run(args: &Args, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    with_context(settings, |context| async move {
        let job = StandaloneJob { name: JOB, is_announced: false };
        let written = recorded(&context, job, write(&context, args), |_| Exit::Done, |_| None).await?;
        let Written { written: path, bytes, runs } = &written;
        output
            .print(&written, || format!("{path}: {runs} runs, {}", format::bytes(i64::try_from(*bytes).unwrap_or(i64::MAX))))?;
        Ok(Exit::Done)
    })
}

/// The result.
#[derive(Serialize)]
struct Written {
    written: String,
    bytes: usize,
    /// Number of runs covered by the page.
    runs: u64,
}

async fn write(context: &Context, args: &Args) -> anyhow::Result<Written> {
    let data = reading(context, collect(context, args.since)).await?;
    let page = progress::harmless(&page::page(&data));
    file::replace(&args.html, &page)?;
    Ok(Written { written: args.html.display().to_string(), bytes: page.len(), runs: data.history.runs })
}

async fn collect(context: &Context, since: Option<TimeDelta>) -> anyhow::Result<ReportData> {
    let pool = &context.pool;
    let mut figures = gauges::read(context).await?;
    // The running report is this one.
    figures.jobs.retain(|job| job.job != JOB || job.last_status != RunStatus::Running);
    // The database's clock, which also dates the runs.
    let made_at = figures.at;
    let services = registry::SERVICES.iter().map(|service| service.tables).collect::<Vec<_>>();
    let since = match since {
        Some(since) => since,
        None => default_window(db::history::first(pool, &services).await?, made_at),
    };
    let mut history = History::new(Pieces::of(since, made_at));
    {
        let mut runs = std::pin::pin!(db::history::since(pool, &services, history.pieces.start).await?);
        while let Some(run) = runs.next().await {
            history.add(run?);
        }
    }
    let silent_after = i32::try_from(context.settings.push.silent_after).unwrap_or(i32::MAX);
    let mut channels = Vec::new();
    for service in registry::names(|service| service.channels.is_some()) {
        channels.push((service, channels_read::counts(pool, service, silent_after).await?));
    }
    let (failing, accounts_failing) = problems::failing(pool, MAX_FAILING).await?;
    Ok(ReportData {
        made_at,
        deliveries: problems::deliveries(pool, history.pieces.start).await?,
        history,
        figures,
        ages: problems::ages(pool).await?,
        failing,
        accounts_failing,
        spent: problems::spent_today(pool).await?,
        quota: context.settings.quota.clone(),
        channels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_young_database_has_a_short_window() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a time");
        let of = |hours: i64| default_window(Some(now - TimeDelta::hours(hours)), now).num_hours();
        assert_eq!([0, 1, 5, 167, 168, 9000].map(of), [1, 1, 5, 167, 168, 168]);
        assert_eq!((default_window(None, now).num_days(), of(-3)), (7, 1), "no runs; a clock that was set back");
    }
}
