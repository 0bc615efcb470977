//! Streams under one price that is recomputed each hour, as in production: the calls meet the budget.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{Kind, Trace, generate, start};
use pace::{Bounds, Demand, History, Prior, Steering, jittered};

const HALF_LIFE: Duration = Duration::from_secs(4 * 86_400);
const BOUNDS: Bounds =
    Bounds { min: Duration::from_secs(60), max: Duration::from_secs(4 * 3600), prior: 0.1, full_pass_every: None };
const DAYS: usize = 14;

fn prior() -> Prior {
    Prior::assumed(BOUNDS.prior)
}

struct Stream<'a> {
    history: History,
    polled: DateTime<Utc>,
    due: DateTime<Utc>,
    rest: &'a [DateTime<Utc>],
}

impl Stream<'_> {
    /// Polls that were due before `end`.
    fn poll_until(&mut self, end: DateTime<Utc>, price: f64, chance: &mut StdRng) -> u64 {
        let mut polls = 0;
        while self.due < end {
            polls += 1;
            self.polled = self.due;
            let (seen, rest) = self.rest.split_at(self.rest.iter().take_while(|at| **at <= self.polled).count());
            if !seen.is_empty() {
                self.history = self.history.observe(self.polled, seen, HALF_LIFE, &prior());
            }
            self.rest = rest;
            let forecast = self.history.forecast(self.polled, HALF_LIFE, &prior());
            self.due = self.polled + jittered(forecast.wait(self.polled, 1.0, price, &BOUNDS), 0.15, chance.random());
        }
        polls
    }
}

/// Calls per day, each as a share of the budget.
fn days(traces: &[Trace], calls_per_stream: f64) -> Vec<f64> {
    let budget = calls_per_stream * traces.len() as f64;
    let mut chance = StdRng::seed_from_u64(7);
    let mut streams: Vec<Stream> = traces
        .iter()
        .map(|trace| {
            let due = start() + TimeDelta::seconds(chance.random_range(0..3600));
            Stream { history: History::empty(start()), polled: start(), due, rest: &trace.changes }
        })
        .collect();
    let (mut steering, mut price) = (Steering::new(budget), 0.1);
    let mut days = vec![0.0; DAYS];
    for hour in 0..24 * DAYS {
        let now = start() + TimeDelta::hours(hour as i64);
        let mut demand = Demand::new(now, price, 0.0);
        for stream in &streams {
            demand.add(&stream.history.forecast(stream.polled, HALF_LIFE, &prior()), 1.0, &BOUNDS);
        }
        let priced = demand.price(steering.budget(budget));
        price = priced.price;
        let made: u64 = streams.iter_mut().map(|stream| stream.poll_until(now + TimeDelta::hours(1), price, &mut chance)).sum();
        steering = steering.after(1.0, priced.calls, made as f64);
        days[hour / 24] += made as f64 / budget / 24.0;
    }
    days
}

#[test]
fn the_budget_is_kept_within_two_percent_over_a_week_and_a_tenth_each_day() {
    for kind in [Kind::Stationary, Kind::Office, Kind::Bursts] {
        let days = days(&generate(kind, 150, 24.0 * DAYS as f64, 3), 1.0);
        for week in days.chunks(7) {
            let mean = week.iter().sum::<f64>() / 7.0;
            assert!((mean - 1.0).abs() < 0.02, "{}: {mean} of the budget in a week: {days:.3?}", kind.name());
        }
        assert!(days.iter().all(|day| (day - 1.0).abs() < 0.1), "{}: {days:.3?}", kind.name());
    }
}
