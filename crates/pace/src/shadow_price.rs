//! Computes what a call must be worth so that all polls together meet a budget: water-filling over streams with their bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::profile::hour_of_week;
use super::{Bounds, Forecast};

/// There are 2^FINE bins per octave.
const FINE: u32 = 4;
/// Range of distinct octaves, as exponents of 2 of weighted changes per hour.
const MIN_EXPONENT: i32 = -40;
const MAX_EXPONENT: i32 = 40;
const BINS: usize = ((MAX_EXPONENT - MIN_EXPONENT) as usize) << FINE;

/// Demand of the streams, collected in one pass over them; 20 KiB for each pair of bounds, regardless of the number of streams.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The hour of the week in which the priced day begins.
    hour: usize,
    /// An estimate of the price to be found: determines how far bursts are extrapolated.
    near: f64,
    /// Mean number of hours from when a poll is due until a run makes it.
    late: f64,
    classes: BTreeMap<(Duration, Duration), Vec<Bin>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    streams: f64,
    /// Sum of the square roots of weighted rates.
    roots: f64,
}

/// The price that meets a budget.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Hours of delay that a call must save (mu).
    pub price: f64,
    /// Resulting calls per hour.
    pub calls: f64,
    pub fit: Fit,
}

/// How a budget fits the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Met,
    /// Every stream is polled at its shortest interval, and calls are left.
    Ample,
    /// Even with every stream at its longest interval, the calls exceed the budget.
    Short,
}

/// Keeps calls within the budget when forecasts are wrong: compares predicted and actual calls, both with a half-life of one day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steering {
    /// Calls predicted by the prices so far.
    pub foretold: f64,
    /// Calls actually made under them.
    pub made: f64,
}

impl Steering {
    /// No calls made yet; `budget` in calls per hour. It counts as half a day of correctly predicted calls, so that the first hour has little influence.
    pub fn new(budget: f64) -> Self {
        Self { foretold: 12.0 * budget, made: 12.0 * budget }
    }

    /// The state after `hours` under a price that predicted `calls` per hour.
    pub fn after(self, hours: f64, calls: f64, made: f64) -> Self {
        let decay = (-hours / 24.0).exp2();
        Self { foretold: self.foretold * decay + hours * calls, made: self.made * decay + made }
    }

    /// The budget to use for pricing so that `budget` is met.
    pub fn budget(&self, budget: f64) -> f64 {
        budget * (self.foretold / self.made).clamp(0.5, 2.0)
    }
}

impl Demand {
    /// No streams yet. The price is for the 24 hours around `now`; `near`: the price so far; `late`: mean number of hours from when a poll is due until a
    /// run makes it.
    pub fn new(now: DateTime<Utc>, near: f64, late: f64) -> Self {
        // The day around now: a day starting now would price the evening before a quiet day by that day.
        Self { hour: hour_of_week(now) + 168 - 12, near, late, classes: BTreeMap::new() }
    }

    /// Adds a stream, with the forecast of its last poll, which determined its interval.
    pub fn add(&mut self, forecast: &Forecast, weight: f64, bounds: &Bounds) {
        let rate = weight * forecast.steadied(weight, self.near);
        let bins = self.classes.entry((bounds.min, bounds.max)).or_insert_with(|| vec![Bin::default(); BINS]);
        if forecast.week.is_flat() {
            put(bins, rate, 1.0);
            return;
        }
        // Hour by hour, because quiet hours may already be at the upper bound.
        for hour in self.hour..self.hour + 24 {
            put(bins, rate * forecast.week.factor(hour), 1.0 / 24.0);
        }
    }

    /// Calls per hour at this price.
    pub fn calls(&self, price: f64) -> f64 {
        let root = (2.0 * price).sqrt();
        let calls = |((min, max), bins): (&(Duration, Duration), &Vec<Bin>)| {
            let [lowest, highest] = [max, min].map(|interval| 3600.0 / interval.as_secs_f64());
            let taken = bins.iter().filter(|bin| bin.streams > 0.0);
            let often = |bin: &Bin| 1.0 / (1.0 / (bin.roots / bin.streams / root).clamp(lowest, highest) + self.late);
            taken.map(|bin| bin.streams * often(bin)).sum::<f64>()
        };
        self.classes.iter().map(calls).sum()
    }

    /// The price at which the calls per hour equal `budget`.
    pub fn price(&self, budget: f64) -> Price {
        // Bisection on the logarithm; beyond these limits, every stream in range is at its bound.
        let (mut low, mut high) = (-100.0f64, 100.0f64);
        let at = |log: f64, fit| Price { price: log.exp2(), calls: self.calls(log.exp2()), fit };
        if self.calls(low.exp2()) <= budget {
            return at(low, Fit::Ample);
        }
        if self.calls(high.exp2()) > budget {
            return at(high, Fit::Short);
        }
        while high - low > 1e-6 {
            let middle = f64::midpoint(low, high);
            if self.calls(middle.exp2()) > budget { low = middle } else { high = middle }
        }
        at(high, Fit::Met)
    }
}

/// Streams within a sixteenth of an octave share a bin: the upper bits of a float are roughly its logarithm.
fn put(bins: &mut [Bin], rate: f64, streams: f64) {
    let rate = rate.clamp(f64::from(MIN_EXPONENT).exp2(), f64::from(MAX_EXPONENT).exp2() * 0.999);
    let first = u64::from((1023 + MIN_EXPONENT) as u32) << FINE;
    let bin = &mut bins[((rate.to_bits() >> (52 - FINE)) - first) as usize];
    bin.streams += streams;
    bin.roots += streams * rate.sqrt();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounds(min: u64, max: u64) -> Bounds {
        Bounds { min: Duration::from_secs(min), max: Duration::from_secs(max), prior: 0.1, full_pass_every: None }
    }

    fn demand() -> Demand {
        Demand::new(DateTime::UNIX_EPOCH, 0.05, 0.0)
    }

    fn exact(streams: &[(f64, Bounds)], price: f64) -> f64 {
        let calls = |(rate, bounds): &(f64, Bounds)| {
            let hours = (2.0 * price / rate).sqrt();
            1.0 / hours.clamp(bounds.min.as_secs_f64() / 3600.0, bounds.max.as_secs_f64() / 3600.0)
        };
        streams.iter().map(calls).sum()
    }

    #[test]
    fn a_budget_that_is_too_small_or_too_large_is_said_so() {
        let mut demand = demand();
        for rate in [0.0, 0.1, 1.0] {
            demand.add(&Forecast::steady(rate), 1.0, &bounds(360, 3600));
        }
        let short = demand.price(2.0);
        assert_eq!((short.fit, short.calls), (Fit::Short, 3.0));
        let ample = demand.price(40.0);
        assert_eq!((ample.fit, ample.calls), (Fit::Ample, 30.0));
        let met = demand.price(10.0);
        assert_eq!(met.fit, Fit::Met);
        assert!((met.calls - 10.0).abs() < 1e-3, "{met:?}");
    }

    #[test]
    fn no_streams_fit_into_any_budget() {
        assert_eq!(demand().price(1.0).fit, Fit::Ample);
    }

    #[test]
    fn what_is_due_between_two_runs_is_polled_later_and_less_often() {
        let often = |late| {
            let mut demand = Demand::new(DateTime::UNIX_EPOCH, 0.05, late);
            demand.add(&Forecast::steady(1.0), 1.0, &bounds(360, 360));
            demand.calls(0.05)
        };
        assert!((often(0.0) - 10.0).abs() < 1e-9);
        assert!((often(0.025) - 8.0).abs() < 1e-9, "{}", often(0.025));
    }

    proptest! {
        #[test]
        fn the_calls_of_a_price_are_those_of_each_stream_added_up(
            logs in proptest::collection::vec((-10.0f64..4.0, 0.1f64..10.0, 0usize..3), 1..300), price in -8.0f64..2.0,
        ) {
            let classes = [bounds(60, 1800), bounds(300, 3600), bounds(300, 86_400)];
            let streams: Vec<(f64, Bounds)> =
                logs.iter().map(|(log, weight, class)| (weight * log.exp(), classes[*class])).collect();
            let mut demand = demand();
            for ((_, weight, _), (rate, bounds)) in logs.iter().zip(&streams) {
                demand.add(&Forecast::steady(rate / weight), *weight, bounds);
            }
            let (actual, expected) = (demand.calls(price.exp()), exact(&streams, price.exp()));
            prop_assert!((actual / expected - 1.0).abs() < 0.005, "{} for {}", actual, expected);
        }

        #[test]
        fn the_price_of_a_budget_meets_it(logs in proptest::collection::vec(-10.0f64..4.0, 1..300), share in 0.1f64..0.9) {
            let streams: Vec<(f64, Bounds)> = logs.iter().map(|log| (log.exp(), bounds(300, 3600))).collect();
            let mut demand = demand();
            for (rate, bounds) in &streams {
                demand.add(&Forecast::steady(*rate), 1.0, bounds);
            }
            let budget = streams.len() as f64 * (1.0 + 11.0 * share);
            let met = demand.price(budget);
            prop_assert_eq!(met.fit, Fit::Met);
            prop_assert!((exact(&streams, met.price) / budget - 1.0).abs() < 0.005);
        }
    }
}
