//! `syncctl metrics`: all services together.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{Metrics, ROWS, alarm, channels, prometheus, seconds_text};
use crate::commands::gauges::{self, Figures};
use crate::commands::{Output, file, print, reading, table, with_context};
use crate::config::{Settings, duration};
use crate::db;
use crate::error::Exit;
use crate::services::registry;

/// Arguments of `syncctl metrics`.
#[derive(Debug, clap::Args)]
pub struct AllArgs {
    /// Length of the time window, such as `24h` or `7days`
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = super::window_length)]
    since: Duration,
    /// Print in Prometheus's text format
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
    /// File to write in Prometheus's text format, atomically and world-readable, for node_exporter's textfile collector; its name
    /// must end in `.prom`
    #[arg(long, value_name = "PATH", value_parser = prom, conflicts_with_all = ["prometheus", "json"])]
    textfile: Option<PathBuf>,
}

fn prom(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.extension().is_some_and(|ending| ending == "prom") {
        Ok(path)
    } else {
        Err("node_exporter reads only files whose names end in .prom".into())
    }
}

#[derive(Serialize)]
struct All<'a> {
    services: &'a [Metrics],
    now: &'a Figures,
}

/// Runs the command.
pub fn all(args: &AllArgs, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    let result = with_context(settings, |context| async move {
        let read = async {
            let mut services = Vec::new();
            for service in &registry::SERVICES {
                services.push(Metrics::of(&context, service.tables, args.since).await?);
            }
            Ok((services, gauges::read(&context).await?))
        };
        let (services, now) = reading(&context, read).await?;
        match &args.textfile {
            // Print nothing: cron would mail it.
            Some(path) => file::replace(path, &prometheus::text(&services, Some(&now))?)?,
            None if args.prometheus => print(&prometheus::text(&services, Some(&now))?)?,
            None => output.print(&All { services: &services, now: &now }, || text(&services, &now, args.since))?,
        }
        Ok(Exit::Done)
    });
    let result = result.map_err(db::explained);
    if let (Err(error), Some(path)) = (&result, &args.textfile)
        && Exit::of(error) == Exit::Unavailable
    {
        // Otherwise the collector would keep exporting the last good figures, and alarms that compare them would not fire.
        file::replace(path, &prometheus::unreachable()?)?;
    }
    result
}

/// Builds a row, with each part of a value on its own line, because the services' columns are narrow.
fn row(name: &str, services: &[Metrics], value: impl Fn(&Metrics) -> String) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(services.iter().map(|metrics| value(metrics).replace(", ", "\n"))).collect()
}

fn text(services: &[Metrics], now: &Figures, since: Duration) -> String {
    let window = format!("last {}", duration::text(since));
    let mut header = vec![window.as_str()];
    header.extend(services.iter().map(|metrics| metrics.service));
    let mut sums = table(&header);
    for (name, value) in ROWS {
        sums.add_row(row(name, services, |metrics| value(&metrics.window)));
    }
    sums.add_row(row("channels now", services, |metrics| channels(&metrics.channels)));
    let mut jobs = table(&["job", "last run", "status", "took", "last success"]);
    let time = |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    for job in &now.jobs {
        jobs.add_row([
            job.job.clone(),
            time(job.last_started_at),
            job.last_status.to_string(),
            job.last_seconds.map_or_else(|| "–".into(), |seconds| format!("{seconds:.1} s")),
            job.last_success_at.map_or_else(|| "never".into(), time),
        ]);
    }
    let mut streams = table(&["service", "streams", "due", "oldest due", "failing", "quarantined"]);
    for of in &now.streams {
        streams.add_row([
            of.service.clone(),
            of.streams.to_string(),
            of.due.to_string(),
            if of.due > 0 { seconds_text(of.oldest_due_seconds) } else { "–".into() },
            of.failing.to_string(),
            of.quarantined.to_string(),
        ]);
    }
    let mut text = format!("{}\n\n", sums.trim_fmt());
    if now.jobs.is_empty() {
        text.push_str("no job has run yet\n\n");
    } else {
        text.push_str(&format!("{}\n\n", jobs.trim_fmt()));
    }
    if !now.streams.is_empty() {
        text.push_str(&format!("{}\n\n", streams.trim_fmt()));
    }
    text.push_str(&totals(now));
    for alarm in services.iter().filter_map(alarm) {
        text.push_str(&format!("{alarm}\n"));
    }
    text
}

/// The lines that are not about one service.
fn totals(now: &Figures) -> String {
    let failing: Vec<String> =
        now.accounts_failing.iter().map(|of| format!("{} {} ({})", of.accounts, of.class, of.service)).collect();
    let behind = now.behind.iter().filter(|of| of.streams > 0).map(|of| format!("{} {} ({})", of.streams, of.part, of.service));
    let behind: Vec<String> = behind.collect();
    let paused: Vec<String> = now.quota_paused.iter().map(|of| format!("{}: {}", of.service, of.in_words())).collect();
    format!(
        "accounts          {} of {} are refused\naccounts ended    {}\naccounts failing  {}\nbehind            {}\nquota             {}\n\
         outbox            {} pending, {} dead, oldest {}\ndatabase          {:.1} MiB\n",
        now.accounts_refused,
        now.accounts,
        now.accounts_ended,
        if failing.is_empty() { "none".into() } else { failing.join(", ") },
        if behind.is_empty() { "nothing".into() } else { behind.join(", ") },
        if paused.is_empty() { "no project is paused".into() } else { paused.join("\n                  ") },
        now.outbox.pending,
        now.outbox.dead,
        seconds_text(now.outbox.oldest_seconds),
        now.database_bytes as f64 / 1_048_576.0,
    )
}
