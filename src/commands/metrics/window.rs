//! What the runs of a window did, summed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize as _, Serialize};

use crate::db::runs::{self, PastRun, Tables};
use crate::engine::Context;
use crate::engine::delays::Delays;

/// The runs of one window.
#[derive(Debug, Default, Serialize)]
pub struct Window {
    pub runs: u64,
    pub by_status: BTreeMap<String, u64>,
    /// Share of the ended runs that completed, 0 to 1; absent without runs.
    pub success_rate: Option<f64>,
    pub duration_p50_ms: Option<i32>,
    pub duration_p95_ms: Option<i32>,
    pub duration_max_ms: Option<i32>,
    pub successful: i64,
    pub failed: i64,
    pub items_changed: u64,
    pub streams: u64,
    pub api_calls: u64,
    pub quota_units: u64,
    pub quarantined: u64,
    /// From a change to the poll that found it.
    pub delays: Delays,
    pub errors: BTreeMap<String, u64>,
    /// Push channels that were found not to be well, by what was found.
    pub channel_repairs: BTreeMap<String, u64>,
}

/// What the runs of a window did, and those of the window before.
pub async fn windows(context: &Context, tables: Tables, since: Duration) -> anyhow::Result<(Window, Window)> {
    let past = runs::since(&context.pool, tables, since.as_secs_f64()).await?;
    let (before, window): (Vec<_>, Vec<_>) = past.into_iter().partition(|run| run.is_before);
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
