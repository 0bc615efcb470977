//! `syncctl calendar roll-instances`: moves the windows of `calendar_instances` on. Concurrent runs share the work.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde::Serialize;

use crate::commands::Output;
use crate::commands::standalone_runs::{StandaloneJob, recorded};
use crate::config::duration;
use crate::engine::Context;
use crate::error::Exit;
use crate::services::calendar::instances::roll::{self, Step};

/// Calendars rolled at the same time.
const CONCURRENCY: usize = 4;

/// Arguments of `calendar roll-instances`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Start no further calendar after this time, such as `30m`; the next run does the rest (default: no limit)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    max_duration: Option<Duration>,
}

#[derive(Debug, Serialize)]
struct Report {
    /// Number of calendars whose windows moved.
    calendars: u64,
    /// Number of calendars left for the next run, because time was up or the run was stopped.
    left: u64,
    elapsed_ms: u64,
}

/// Runs the command.
pub async fn run(context: &Context, args: &Args, output: Output) -> anyhow::Result<Exit> {
    let job = StandaloneJob { name: "calendar roll-instances", is_announced: true };
    let report = recorded(context, job, rolled(context, args), |_| Exit::Done, |_| None).await?;
    output.print(&report, || text(&report))?;
    Ok(Exit::Done)
}

async fn rolled(context: &Context, args: &Args) -> anyhow::Result<Report> {
    let started = Instant::now();
    let is_over = || context.stop.is_cancelled() || args.max_duration.is_some_and(|limit| started.elapsed() >= limit);
    let settings = &context.settings.calendar;
    let due = roll::due(&context.pool, settings).await?;
    let calendars = due.len() as u64;
    let rolls = due.into_iter().map(|stream| async move {
        while !is_over() {
            if roll::step(&context.pool, settings, stream).await? == Step::Done {
                return anyhow::Ok(true);
            }
        }
        Ok(false)
    });
    let mut rolls = futures_util::stream::iter(rolls).buffer_unordered(CONCURRENCY);
    let mut done = 0;
    while let Some(is_done) = rolls.next().await {
        done += u64::from(is_done?);
    }
    Ok(Report { calendars: done, left: calendars - done, elapsed_ms: started.elapsed().as_millis() as u64 })
}

fn text(report: &Report) -> String {
    let rest = if report.left > 0 { "; the next run does the rest" } else { "" };
    let of = report.calendars + report.left;
    format!("{} of {of} calendars rolled in {:.1} s{rest}", report.calendars, report.elapsed_ms as f64 / 1000.0)
}
