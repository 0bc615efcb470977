//! `syncctl sync metrics`: budget, price of a poll and delays, by service.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::metrics::{seconds_text, window_length, windows};
use super::{Output, table};
use crate::config::duration;
use crate::db::poll_prices::{self, Computed};
use crate::engine::Context;
use crate::engine::delays::Delays;
use crate::error::Exit;
use crate::services::registry;

#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Length of the time window for the delays, such as `24h` or `7days`
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = window_length)]
    since: Duration,
}

#[derive(Debug, Serialize)]
struct Paces {
    window_seconds: u64,
    services: Vec<Service>,
    /// The cost of polls, by project.
    projects: Vec<Computed>,
}

#[derive(Debug, Serialize)]
struct Service {
    service: &'static str,
    runs: u64,
    streams_polled: u64,
    api_calls: u64,
    changes_found: u64,
    delay_mean_seconds: Option<f64>,
    delay_p50_seconds: Option<f64>,
    delay_p95_seconds: Option<f64>,
    delay_max_seconds: f64,
}

/// Runs the command.
pub async fn run(args: &MetricsArgs, context: &Context, output: Output) -> anyhow::Result<Exit> {
    let mut services = Vec::new();
    for entry in registry::of_google() {
        let (window, _) = windows(context, entry.tables, args.since).await?;
        let Delays { count, max_seconds, .. } = window.delays;
        services.push(Service {
            service: entry.name,
            runs: window.runs,
            streams_polled: window.streams,
            api_calls: window.api_calls,
            changes_found: count,
            delay_mean_seconds: window.delays.mean(),
            delay_p50_seconds: window.delays.quantile(0.5),
            delay_p95_seconds: window.delays.p95(),
            delay_max_seconds: max_seconds,
        });
    }
    let projects = poll_prices::computed(&context.pool).await?;
    let paces = Paces { window_seconds: args.since.as_secs(), services, projects };
    output.print(&paces, || text(&paces, args.since))?;
    Ok(Exit::Done)
}

fn text(paces: &Paces, since: Duration) -> String {
    let mut delays = table(&["service", "runs", "polls", "calls", "changes", "delay mean", "p50", "p95", "max"]);
    let seconds = |seconds: Option<f64>| seconds.map_or_else(|| "–".into(), seconds_text);
    for service in &paces.services {
        delays.add_row([
            service.service.to_owned(),
            service.runs.to_string(),
            service.streams_polled.to_string(),
            service.api_calls.to_string(),
            service.changes_found.to_string(),
            seconds(service.delay_mean_seconds),
            seconds(service.delay_p50_seconds),
            seconds(service.delay_p95_seconds),
            seconds((service.changes_found > 0).then_some(service.delay_max_seconds)),
        ]);
    }
    let mut costs =
        table(&["service", "project", "streams", "polls/day", "budget units/day", "spent/forecast", "price", "computed"]);
    for project in &paces.projects {
        costs.add_row([
            project.service.clone(),
            project.project.clone(),
            project.streams.to_string(),
            format!("{:.0}", project.polls * 24.0),
            format!("{:.0}", project.budget * 24.0),
            format!("{:.2}", project.spent / project.foretold),
            if project.price < 1e6 { format!("{:.4} h", project.price) } else { "budget too small".into() },
            project.computed_at.format("%Y-%m-%d %H:%M UTC").to_string(),
        ]);
    }
    format!("last {}\n{}\n\n{}\n", duration::text(since), delays.trim_fmt(), costs.trim_fmt())
}
