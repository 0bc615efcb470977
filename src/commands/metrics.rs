//! `syncctl metrics` and `syncctl <service> metrics`: the runs of a time window compared with the window before, and the current state.

mod all;
mod prometheus;
mod window;

use std::time::Duration;

use serde::Serialize;
use std::collections::BTreeMap;

use super::{Output, print, table};
use crate::config::duration;
use crate::db::channels_read::{self, ChannelCounts};
use crate::db::runs::Tables;
use crate::engine::Context;
use crate::error::Exit;

pub use all::{AllArgs, all};
pub(super) use window::{Window, windows};

/// Arguments of a service's `metrics`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Length of the time window, such as `24h` or `7days`
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = window_length)]
    since: Duration,
    /// Print in Prometheus's text format
    #[arg(long, conflicts_with = "json")]
    prometheus: bool,
}

pub(super) fn window_length(text: &str) -> Result<Duration, String> {
    let length = duration::parse(text)?;
    match length {
        _ if length < Duration::from_secs(1) => Err("must be 1s or more".into()),
        // With a longer window, the start of the previous window would be out of PostgreSQL's date range.
        _ if length > Duration::from_secs(10 * 366 * 86_400) => Err("must be 10years or less".into()),
        _ => Ok(length),
    }
}

/// The metrics of a service.
#[derive(Debug, Serialize)]
struct Metrics {
    service: &'static str,
    window_seconds: u64,
    /// Current push channels; `silent` ones raise an alarm.
    channels: ChannelCounts,
    window: Window,
    before: Window,
}

impl Metrics {
    async fn of(context: &Context, tables: Tables, since: Duration) -> anyhow::Result<Self> {
        let (window, before) = windows(context, tables, since).await?;
        let silent_after = i32::try_from(context.settings.push.silent_after).unwrap_or(i32::MAX);
        Ok(Self {
            service: tables.service,
            window_seconds: since.as_secs(),
            channels: channels_read::counts(&context.pool, tables.service, silent_after).await?,
            window,
            before,
        })
    }
}

/// Runs the command of a service.
pub async fn run(context: &Context, tables: Tables, args: &Args, output: Output) -> anyhow::Result<Exit> {
    let metrics = Metrics::of(context, tables, args.since).await?;
    if args.prometheus {
        print(&prometheus::text(std::slice::from_ref(&metrics), None)?)?;
        return Ok(Exit::Done);
    }
    output.print(&metrics, || text(&metrics, args.since))?;
    Ok(Exit::Done)
}

type Row = (&'static str, fn(&Window) -> String);

/// The rows printed for a window.
const ROWS: [Row; 14] = [
    ("runs", |w| counts(&w.by_status)),
    ("success rate", |w| w.success_rate.map_or_else(|| "–".into(), |share| format!("{:.1} %", share * 100.0))),
    ("duration p50", |w| ms(w.duration_p50_ms)),
    ("duration p95", |w| ms(w.duration_p95_ms)),
    ("duration max", |w| ms(w.duration_max_ms)),
    ("successful", |w| w.successful.to_string()),
    ("failed", |w| w.failed.to_string()),
    ("items changed", |w| w.items_changed.to_string()),
    ("delay", |w| {
        let seconds = |seconds: Option<f64>| seconds.map_or_else(|| "–".into(), seconds_text);
        format!("mean {}, p95 {}", seconds(w.delays.mean()), seconds(w.delays.p95()))
    }),
    ("streams polled", |w| w.streams.to_string()),
    ("API calls", |w| format!("{} ({} quota units)", w.api_calls, w.quota_units)),
    ("quarantined", |w| w.quarantined.to_string()),
    ("errors", |w| counts(&w.errors)),
    ("channels repaired", |w| counts(&w.channel_repairs)),
];

fn counts(counts: &BTreeMap<String, u64>) -> String {
    let list: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    if list.is_empty() { "none".into() } else { list.join(", ") }
}

fn ms(ms: Option<i32>) -> String {
    ms.map_or_else(|| "–".into(), |ms| format!("{ms} ms"))
}

fn text(metrics: &Metrics, since: Duration) -> String {
    let mut table = table(&[metrics.service, &format!("last {}", duration::text(since)), "before"]);
    for (name, value) in ROWS {
        table.add_row([name.to_owned(), value(&metrics.window), value(&metrics.before)]);
    }
    table.add_row(["channels now".into(), channels(&metrics.channels)]);
    let mut text = table.trim_fmt();
    if let Some(alarm) = alarm(metrics) {
        text.push_str(&format!("\n{alarm}"));
    }
    text
}

fn channels(channel_counts: &ChannelCounts) -> String {
    let ChannelCounts { live, silent, refused, to_stop } = channel_counts;
    let states = [(live, "live"), (silent, "silent"), (refused, "refused"), (to_stop, "to stop")];
    let nonzero: Vec<String> =
        states.iter().filter(|(count, _)| **count > 0).map(|(count, state)| format!("{count} {state}")).collect();
    if nonzero.is_empty() { "none".into() } else { nonzero.join(", ") }
}

/// Returns an alarm if there are silent push channels.
fn alarm(metrics: &Metrics) -> Option<String> {
    let (Metrics { service, .. }, ChannelCounts { live, silent, .. }) = (metrics, &metrics.channels);
    (*silent > 0).then(|| {
        format!(
            "ALARM: {silent} of {live} push channels are silent: polls find changes that they do not announce. `syncctl {service} renew-webhooks` \
             replaces them; if they fall silent again, nothing reaches `syncctl webhook serve` at push.address."
        )
    })
}

/// Formats seconds for people.
pub(super) fn seconds_text(seconds: f64) -> String {
    duration::text(Duration::from_secs(seconds.max(0.0).round() as u64))
}
