//! Sums the runs of a time window.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use serde::{Deserialize as _, Serialize};
use serde_json::Value;

use crate::db::runs::{self, PastRun, Tables};
use crate::engine::Context;
use crate::engine::delays::Delays;
use crate::state::RunStatus;

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
    /// Delays from a change to the poll that found it.
    pub delays: Delays,
    pub errors: BTreeMap<String, u64>,
    /// Unhealthy push channels, by problem.
    pub channel_repairs: BTreeMap<String, u64>,
}

/// Reads the runs of the last window and of the window before.
pub async fn windows(context: &Context, tables: Tables, since: Duration) -> anyhow::Result<(Window, Window)> {
    let mut past = pin!(runs::since(&context.pool, tables, since.as_secs_f64()).await?);
    let (mut window, mut before) = (Sum::default(), Sum::default());
    while let Some(run) = past.try_next().await? {
        if run.is_before { &mut before } else { &mut window }.add(&run);
    }
    Ok((window.end(), before.end()))
}

#[derive(Default)]
struct Sum {
    window: Window,
    durations: Vec<i32>,
}

impl Sum {
    fn add(&mut self, run: &PastRun) {
        let window = &mut self.window;
        window.runs += 1;
        *window.by_status.entry(run.status.clone()).or_default() += 1;
        window.successful += i64::from(run.successful);
        window.failed += i64::from(run.failed);
        if run.status.parse().is_ok_and(RunStatus::has_duration) {
            self.durations.extend(run.duration_ms);
        }
        if let Some(summary) = &run.summary {
            window.add(summary);
        }
    }

    fn end(self) -> Window {
        let Self { mut window, mut durations } = self;
        durations.sort_unstable();
        let at = |share: f64| durations.get(((durations.len().saturating_sub(1)) as f64 * share).round() as usize).copied();
        (window.duration_p50_ms, window.duration_p95_ms, window.duration_max_ms) = (at(0.5), at(0.95), at(1.0));
        let count = |status: RunStatus| window.by_status.get(status.as_str()).copied().unwrap_or(0);
        let ended = window.runs - count(RunStatus::Running) - count(RunStatus::Skipped);
        window.success_rate = (ended > 0).then(|| count(RunStatus::Completed) as f64 / ended as f64);
        window
    }
}

impl Window {
    /// Adds a run's summary. Rows written by other versions can lack any key.
    fn add(&mut self, summary: &Value) {
        let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
        let number = |of: &Value, key: &str| of.get(key).and_then(Value::as_u64).unwrap_or(0);
        add(&mut self.streams, number(summary, "streams"));
        add(&mut self.api_calls, number(summary, "api_calls"));
        add(&mut self.quota_units, number(summary, "quota_units"));
        add(&mut self.quarantined, number(summary, "quarantined"));
        if let Some(delays) = summary.get("delays").and_then(|delays| Delays::deserialize(delays).ok()) {
            self.delays += &delays;
        }
        for counts in summary.get("changes").and_then(Value::as_object).into_iter().flat_map(|kinds| kinds.values()) {
            for key in ["created", "updated", "deleted"] {
                add(&mut self.items_changed, number(counts, key));
            }
        }
        for (class, entry) in summary.get("errors").and_then(Value::as_object).into_iter().flatten() {
            add(self.errors.entry(class.clone()).or_default(), number(entry, "count"));
        }
        for repair in summary.pointer("/push/repairs").and_then(Value::as_array).into_iter().flatten() {
            if let Some(problem) = repair.get("found").and_then(Value::as_str) {
                *self.channel_repairs.entry(problem.to_owned()).or_default() += 1;
            }
        }
    }
}
