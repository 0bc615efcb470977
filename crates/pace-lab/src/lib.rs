//! Compares pacing rules at the same number of calls by the resulting delays. Ours is the code that runs in production.

#[cfg(test)]
mod budget;
#[cfg(test)]
mod people;
pub mod plot;
pub mod recorded;
mod replay;
mod rules;
mod traces;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use pace::{Bounds, Prior};
use replay::Tally;

pub use rules::Rule;
pub use traces::{Kind, Trace, generate, start};

/// Conditions that apply to all rules.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// For the rules that have a price; tables and the fixed interval are only scaled.
    pub bounds: Bounds,
    pub half_life: Duration,
    pub jitter: f64,
    /// Interval of the cron schedule: polls happen at its first time after they are due. Zero: when they are due.
    pub every: Duration,
    pub start: DateTime<Utc>,
    pub days: u32,
    /// Mean calls per day and stream, over all streams.
    pub calls: f64,
    pub seed: u64,
}

impl Terms {
    /// The prior before anything is known of the streams.
    fn assumed(&self) -> Prior {
        Prior::assumed(self.bounds.prior)
    }
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
    /// From the first poll of streams about which nothing is known.
    pub whole: Figures,
    /// The second half alone, scaled to the same number of calls: learning has finished.
    pub learnt: Figures,
}

/// Delays of all changes of a window, in minutes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// The interval in hours, the factor of the minutes, or the price in hours.
    pub scale: f64,
    pub calls: u64,
    pub changes: u64,
    pub mean: f64,
    pub median: f64,
    pub p95: f64,
    /// The mean divided by that of the first rule.
    pub to_optimum: f64,
}

/// Replays the traces against all rules; the first is the reference for the others.
pub fn compare(traces: &[Trace], terms: &Terms) -> anyhow::Result<Vec<Row>> {
    let until = terms.start + TimeDelta::days(i64::from(terms.days));
    let half = Window { from: terms.start + (until - terms.start) / 2, until };
    let full = Window { from: terms.start, until };
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
                whole: figures(*rule, full, whole_optimum)?,
                learnt: figures(*rule, half, learnt_optimum)?,
            })
        })
        .collect()
}

fn figures_of(scale: f64, mut tally: Tally, optimum: &mut Option<f64>) -> Figures {
    tally.delays.sort_unstable_by(f32::total_cmp);
    let minutes = |hours: f32| f64::from(hours) * 60.0;
    let count = tally.delays.len();
    // Without changes, nothing waits.
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

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: usize = 100;
    const SEED: u64 = 1;
    const DAY: Duration = Duration::from_secs(86_400);

    fn terms() -> Terms {
        let bounds = Bounds { min: DAY / 1440, max: DAY, prior: 0.1, full_pass_every: None };
        Terms {
            bounds,
            half_life: 4 * DAY,
            jitter: 0.15,
            every: Duration::ZERO,
            start: start(),
            days: 14,
            calls: 24.0,
            seed: SEED,
        }
    }

    fn traces(kind: Kind) -> Vec<Trace> {
        generate(kind, STREAMS, 14.0 * 24.0, SEED)
    }

    fn compared(traces: &[Trace]) -> impl Fn(&str) -> Row + use<> {
        let rows = compare(traces, &terms()).expect("the calls can be met");
        for row in &rows {
            for (figures, days) in [(row.whole, 14.0), (row.learnt, 7.0)] {
                let expected = STREAMS as f64 * 24.0 * days;
                assert!((figures.calls as f64 / expected - 1.0).abs() <= 0.001, "not at equal calls: {row:?}");
            }
        }
        move |rule| rows.iter().find(|row| row.rule == rule).expect("a rule of that name").clone()
    }

    #[test]
    fn steady_streams_wait_hardly_longer_than_if_their_rates_were_known() {
        let traces = traces(Kind::Stationary);
        let of = compared(&traces);
        let ours = of("syncctl");
        assert!(ours.whole.to_optimum <= 1.10 && ours.learnt.to_optimum <= 1.04, "{ours:?}");
        // The theoretical ratio between a fixed interval and the square root law, with these rates.
        let [rates, roots] = [1.0, 0.5].map(|power| traces.iter().map(|trace| trace.rate.powf(power)).sum::<f64>());
        let theory = STREAMS as f64 * rates / (roots * roots);
        let fixed = of("fixed interval").whole.to_optimum;
        assert!((fixed / theory - 1.0).abs() < 0.05, "{fixed}, and {theory} in theory");
    }

    #[test]
    fn office_hours_wait_less_than_if_only_their_rates_were_known() {
        let of = compared(&traces(Kind::Office));
        let (ours, blind) = (of("syncctl"), of("syncctl, no hours"));
        assert!(ours.whole.to_optimum <= 0.85 && ours.learnt.to_optimum <= 0.80, "{ours:?}");
        assert!(ours.learnt.mean < 0.9 * blind.learnt.mean, "{ours:?} {blind:?}");
    }

    #[test]
    fn bursts_wait_less_than_by_any_table() {
        let of = compared(&traces(Kind::Bursts));
        let ours = of("syncctl");
        for table in ["adaptive table", "gmail table", "drive table", "calendar table"] {
            assert!(ours.whole.mean < 0.85 * of(table).whole.mean, "{ours:?} {:?}", of(table));
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_figures() {
        let once = || compare(&generate(Kind::Bursts, 20, 48.0, 5), &Terms { days: 2, ..terms() }).expect("figures");
        let (one, other) = (once(), once());
        assert!(one.iter().zip(&other).all(|(a, b)| a.whole == b.whole && a.learnt == b.learnt));
    }

    #[test]
    fn a_number_of_calls_that_no_interval_allows_is_said_so() {
        let terms = Terms { calls: 0.5, days: 2, ..terms() };
        let error = compare(&generate(Kind::Stationary, 20, 48.0, 1), &terms).expect_err("one call a day is the minimum");
        assert!(error.to_string().contains("set --calls, --min or --max"), "{error}");
    }
}
