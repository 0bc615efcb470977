//! Rules of pace at the same number of calls: what each makes of the delay. Ours is the code that runs in production.

mod replay;
mod rules;
mod traces;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::Bounds;
use replay::Tally;

pub use rules::Rule;
pub use traces::{Kind, Trace, generate, start};

/// What all rules are held to.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Of the rules that have a price; tables and the fixed interval are only scaled.
    pub bounds: Bounds,
    pub half_life: Duration,
    pub jitter: f64,
    /// Polls come by a line of cron: at the first of its times after they are due; zero: when they are due.
    pub every: Duration,
    pub start: DateTime<Utc>,
    pub days: u32,
    /// Calls a day for each stream, in the mean over all of them.
    pub calls: f64,
    pub seed: u64,
}

/// The part of a trace whose changes and calls count.
#[derive(Debug, Clone, Copy)]
struct Window {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl Window {
    fn holds(self, time: DateTime<Utc>) -> bool {
        self.from <= time && time < self.until
    }
}

/// One rule on one set of traces.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub rule: &'static str,
    /// From the first poll of streams of which nothing is known.
    pub whole: Figures,
    /// The second half alone, scaled to the same number of calls in it: what was to be learnt has been learnt.
    pub learnt: Figures,
}

/// Delays of all changes of a window alike, in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// The interval in hours, the factor of the minutes, or the price in hours.
    pub scale: f64,
    pub calls: u64,
    pub changes: u64,
    pub mean: f64,
    pub median: f64,
    pub p95: f64,
    /// The mean by that of the first rule.
    pub to_optimum: f64,
}

/// Replays the traces against all rules; the first is what the others are measured by.
pub fn compare(traces: &[Trace], terms: &Terms) -> anyhow::Result<Vec<Row>> {
    let until = terms.start + TimeDelta::days(i64::from(terms.days));
    let half = Window { from: terms.start + (until - terms.start) / 2, until };
    let whole = Window { from: terms.start, until };
    let mut optimum = [None; 2];
    let figures = |rule, window: Window, optimum: &mut Option<f64>| -> anyhow::Result<Figures> {
        let days = (window.until - window.from).as_seconds_f64() / 86_400.0;
        let (scale, tally) = replay::tuned(traces, rule, terms.calls * days * traces.len() as f64, terms, window)?;
        Ok(figures_of(scale, tally, optimum))
    };
    let [whole_optimum, learnt_optimum] = &mut optimum;
    Rule::ALL
        .iter()
        .map(|rule| {
            Ok(Row {
                rule: rule.name(),
                whole: figures(*rule, whole, whole_optimum)?,
                learnt: figures(*rule, half, learnt_optimum)?,
            })
        })
        .collect()
}

fn figures_of(scale: f64, mut tally: Tally, optimum: &mut Option<f64>) -> Figures {
    tally.delays.sort_unstable_by(f32::total_cmp);
    let minutes = |hours: f32| f64::from(hours) * 60.0;
    let count = tally.delays.len();
    // Without changes nothing waits.
    let at = |share: f64| tally.delays.get((count as f64 * share) as usize).map_or(0.0, |hours| minutes(*hours));
    let mean = tally.delays.iter().map(|hours| minutes(*hours)).sum::<f64>() / count.max(1) as f64;
    let best = *optimum.get_or_insert(mean);
    Figures {
        scale,
        calls: tally.calls,
        changes: count as u64,
        mean,
        median: at(0.5),
        p95: at(0.95),
        to_optimum: if best > 0.0 { mean / best } else { 1.0 },
    }
}
