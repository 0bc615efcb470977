//! `syncctl <service> metrics`: what the runs of a window did, against the window before.

use std::collections::BTreeMap;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize as _, Serialize};
use std::sync::atomic::AtomicU64;

use super::{Output, table};
use crate::db::channels_read::{self, Standing};
use crate::db::runs::{self, PastRun, Tables};
use crate::engine::Context;
use crate::engine::delays::Delays;
use crate::error::Exit;

/// What to print.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The window, such as `24h` or `7days`
    #[arg(long, default_value = "24h", value_name = "DURATION", value_parser = humantime::parse_duration)]
    since: Duration,
    /// In Prometheus's text format
    #[arg(long)]
    prometheus: bool,
}

/// The runs of one window.
#[derive(Debug, Default, Serialize)]
pub(super) struct Window {
    pub runs: u64,
    by_status: BTreeMap<String, u64>,
    /// Share of the ended runs that completed, 0 to 1; absent without runs.
    success_rate: Option<f64>,
    duration_p50_ms: Option<i32>,
    duration_p95_ms: Option<i32>,
    duration_max_ms: Option<i32>,
    successful: i64,
    failed: i64,
    items_changed: u64,
    pub streams: u64,
    pub api_calls: u64,
    quota_units: u64,
    quarantined: u64,
    /// From a change to the poll that found it.
    pub delays: Delays,
    errors: BTreeMap<String, u64>,
    /// Push channels that were found not to be well, by what was found.
    channel_repairs: BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Metrics {
    service: &'static str,
    window_seconds: u64,
    /// Push channels as they stand now; `silent` ones are an alarm.
    channels: Standing,
    window: Window,
    before: Window,
}

/// Runs the command.
pub async fn run(context: &Context, tables: Tables, args: &Args, output: Output) -> anyhow::Result<Exit> {
    let (window, before) = windows(context, tables, args.since).await?;
    let silent_after = i32::try_from(context.settings.push.silent_after).unwrap_or(i32::MAX);
    let metrics = Metrics {
        service: tables.service,
        window_seconds: args.since.as_secs(),
        channels: channels_read::standing(&context.pool, tables.service, silent_after).await?,
        window,
        before,
    };
    if args.prometheus {
        print!("{}", prometheus(&metrics)?);
        return Ok(Exit::Done);
    }
    output.print(&metrics, || text(&metrics, args.since))?;
    Ok(Exit::Done)
}

/// What the runs of a window did, and those of the window before.
pub(super) async fn windows(context: &Context, tables: Tables, since: Duration) -> anyhow::Result<(Window, Window)> {
    let past = runs::since(&context.pool, tables, since.as_secs_f64() * 2.0).await?;
    let border = chrono::Utc::now() - since;
    let (before, window): (Vec<_>, Vec<_>) = past.into_iter().partition(|run| run.started_at < border);
    Ok((summed(&window), summed(&before)))
}

fn summed(past: &[PastRun]) -> Window {
    let mut window = Window { runs: past.len() as u64, ..Window::default() };
    for run in past {
        *window.by_status.entry(run.status.clone()).or_default() += 1;
        window.successful += i64::from(run.successful);
        window.failed += i64::from(run.failed);
        let Some(summary) = &run.summary else { continue };
        let number = |key: &str| summary.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
        window.streams += number("streams");
        window.api_calls += number("api_calls");
        window.quota_units += number("quota_units");
        window.quarantined += number("quarantined");
        if let Some(delays) = summary.get("delays").and_then(|delays| Delays::deserialize(delays).ok()) {
            window.delays += &delays;
        }
        for counts in summary.get("changes").and_then(|changes| changes.as_object()).into_iter().flat_map(|kinds| kinds.values())
        {
            for key in ["created", "updated", "deleted"] {
                window.items_changed += counts.get(key).and_then(serde_json::Value::as_u64).unwrap_or(0);
            }
        }
        for (class, entry) in summary.get("errors").and_then(|errors| errors.as_object()).into_iter().flatten() {
            *window.errors.entry(class.clone()).or_default() +=
                entry.get("count").and_then(serde_json::Value::as_u64).unwrap_or(0);
        }
        for repair in summary.pointer("/push/repairs").and_then(|repairs| repairs.as_array()).into_iter().flatten() {
            if let Some(found) = repair.get("found").and_then(serde_json::Value::as_str) {
                *window.channel_repairs.entry(found.to_owned()).or_default() += 1;
            }
        }
    }
    // A run that was skipped or still goes on took no time of its own.
    let mut durations: Vec<i32> = past
        .iter()
        .filter(|run| matches!(run.status.as_str(), "completed" | "partial" | "failed"))
        .filter_map(|run| run.duration_ms)
        .collect();
    durations.sort_unstable();
    let at = |share: f64| durations.get(((durations.len().saturating_sub(1)) as f64 * share).round() as usize).copied();
    (window.duration_p50_ms, window.duration_p95_ms, window.duration_max_ms) = (at(0.5), at(0.95), at(1.0));
    let count = |status: &str| window.by_status.get(status).copied().unwrap_or(0);
    let ended = window.runs - count("running") - count("skipped");
    window.success_rate = (ended > 0).then(|| count("completed") as f64 / ended as f64);
    window
}

fn text(metrics: &Metrics, since: Duration) -> String {
    let mut table = table(&[metrics.service, &format!("last {}", humantime::format_duration(since)), "before"]);
    let percent = |share: Option<f64>| share.map_or_else(|| "–".into(), |share| format!("{:.1} %", share * 100.0));
    let ms = |ms: Option<i32>| ms.map_or_else(|| "–".into(), |ms| format!("{ms} ms"));
    let counts = |counts: &BTreeMap<String, u64>| {
        let list: Vec<String> = counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
        if list.is_empty() { "none".into() } else { list.join(", ") }
    };
    type Row<'a> = (&'a str, &'a dyn Fn(&Window) -> String);
    let rows: [Row<'_>; 14] = [
        ("runs", &|w| counts(&w.by_status)),
        ("success rate", &|w| percent(w.success_rate)),
        ("duration p50", &|w| ms(w.duration_p50_ms)),
        ("duration p95", &|w| ms(w.duration_p95_ms)),
        ("duration max", &|w| ms(w.duration_max_ms)),
        ("successful", &|w| w.successful.to_string()),
        ("failed", &|w| w.failed.to_string()),
        ("items changed", &|w| w.items_changed.to_string()),
        ("delay", &|w| {
            let seconds = |seconds: Option<f64>| seconds.map_or_else(|| "–".into(), seconds_text);
            format!("mean {}, p95 {}", seconds(w.delays.mean()), seconds(w.delays.quantile(0.95)))
        }),
        ("streams polled", &|w| w.streams.to_string()),
        ("API calls", &|w| format!("{} ({} quota units)", w.api_calls, w.quota_units)),
        ("quarantined", &|w| w.quarantined.to_string()),
        ("errors", &|w| counts(&w.errors)),
        ("channels repaired", &|w| counts(&w.channel_repairs)),
    ];
    for (name, value) in rows {
        table.add_row([name.to_owned(), value(&metrics.window), value(&metrics.before)]);
    }
    let Standing { live, silent, refused, to_stop } = metrics.channels;
    table.add_row(["channels now".into(), format!("{live} live, {silent} silent, {refused} refused, {to_stop} to stop")]);
    let mut text = table.trim_fmt();
    if silent > 0 {
        let service = metrics.service;
        text.push_str(&format!(
            "\nALARM: {silent} of {live} push channels are silent: polls find what they do not announce. `syncctl {service} renew-webhooks` \
             replaces them; if they fall silent again, nothing reaches `syncctl webhook serve` at push.address."
        ));
    }
    text
}

/// Seconds as a person reads them.
pub(super) fn seconds_text(seconds: f64) -> String {
    humantime::format_duration(Duration::from_secs(seconds.max(0.0).round() as u64)).to_string()
}

fn prometheus(metrics: &Metrics) -> anyhow::Result<String> {
    type Labels = Vec<(&'static str, String)>;
    type Values = Family<Labels, Gauge<f64, AtomicU64>>;
    let mut registry = Registry::with_prefix("syncctl");
    let mut add = |name: &str, help: &str, values: Vec<(Labels, f64)>| {
        let family = Values::default();
        for (mut labels, value) in values {
            labels.insert(0, ("service", metrics.service.to_owned()));
            family.get_or_create(&labels).set(value);
        }
        registry.register(name, help, family);
    };
    let window = &metrics.window;
    let one = |value: f64| vec![(Vec::new(), value)];
    add("window_seconds", "Length of the window", one(metrics.window_seconds as f64));
    let statuses = window.by_status.iter().map(|(status, count)| (vec![("status", status.clone())], *count as f64)).collect();
    add("runs", "Runs in the window by status", statuses);
    let quantiles = [("0.5", window.duration_p50_ms), ("0.95", window.duration_p95_ms), ("1", window.duration_max_ms)];
    let quantiles = quantiles
        .into_iter()
        .filter_map(|(quantile, ms)| Some((vec![("quantile", quantile.to_owned())], f64::from(ms?) / 1000.0)))
        .collect();
    add("run_duration_seconds", "Duration of the window's runs", quantiles);
    add("successful", "Users whose streams all succeeded", one(window.successful as f64));
    add("failed", "Users with a stream that failed", one(window.failed as f64));
    add("items_changed", "Rows created, updated or deleted", one(window.items_changed as f64));
    add("streams_polled", "Streams polled", one(window.streams as f64));
    add("api_calls", "Answers asked for at the provider", one(window.api_calls as f64));
    add("quota_units", "Quota units spent", one(window.quota_units as f64));
    add("quarantined", "Items put into quarantine", one(window.quarantined as f64));
    let delays = &window.delays;
    let quantiles = [("0.5", delays.quantile(0.5)), ("0.95", delays.quantile(0.95)), ("1", delays.quantile(1.0))];
    let quantiles = quantiles
        .into_iter()
        .filter_map(|(quantile, seconds)| Some((vec![("quantile", quantile.to_owned())], seconds?)))
        .collect();
    add("change_delay_seconds", "From a change to the poll that found it", quantiles);
    add("change_delay_mean_seconds", "Mean from a change to the poll that found it", delays.mean().map(one).unwrap_or_default());
    add("changes_found", "Changes found by incremental polls", one(delays.count as f64));
    let errors = window.errors.iter().map(|(class, count)| (vec![("class", class.clone())], *count as f64)).collect();
    add("errors", "Failed streams by class", errors);
    let repairs = window.channel_repairs.iter().map(|(found, count)| (vec![("found", found.clone())], *count as f64)).collect();
    add("channel_repairs", "Push channels found not to be well", repairs);
    let Standing { live, silent, refused, to_stop } = metrics.channels;
    let states = [("live", live), ("silent", silent), ("refused", refused), ("to_stop", to_stop)];
    let states = states.map(|(state, count)| (vec![("state", state.to_owned())], count as f64));
    add("channels", "Push channels now by state; silent ones are live and announce nothing", states.into());
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}
