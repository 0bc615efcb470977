//! What a call must be worth for all polls together to meet a budget: water-filling over streams with their bounds.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::profile::hour_of_week;
use super::{Bounds, Forecast};

/// Bins to the octave are 2^FINE.
const FINE: u32 = 4;
/// The octaves that are told apart, as exponents of 2 of weighted changes an hour.
const LEAST: i32 = -40;
const MOST: i32 = 40;
const BINS: usize = ((MOST - LEAST) as usize) << FINE;

/// What the streams ask for, in one pass over them; 20 KiB for each pair of bounds, however many streams there are.
#[derive(Debug, Clone)]
pub struct Demand {
    /// The hour of the week in which the day begins that is priced.
    hour: usize,
    /// A price near the one to be found: how far bursts are looked ahead.
    near: f64,
    /// Hours from when a poll is due to the run that makes it, in the mean.
    late: f64,
    classes: BTreeMap<(Duration, Duration), Vec<Bin>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    streams: f64,
    /// Sum of the square roots of weighted rates.
    roots: f64,
}

/// The price that a budget comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// Hours of delay that a call must save (mu).
    pub price: f64,
    /// Calls an hour that come of it.
    pub calls: f64,
    pub fit: Fit,
}

/// How a budget fits the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    Met,
    /// Every stream is polled as often as it may be, and calls are left over.
    Ample,
    /// Even with every stream polled as rarely as it may be, the calls are more than the budget.
    Short,
}

/// Keeps calls to the budget where forecasts err: what prices foretold against what was made of them, each forgotten by half in a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steering {
    /// Calls that the prices so far foretold.
    pub foretold: f64,
    /// Calls that were made under them.
    pub made: f64,
}

impl Steering {
    /// Nothing made yet; `budget` in calls an hour. It counts as half a day of calls as foretold, so that the first hour says little.
    pub fn new(budget: f64) -> Self {
        Self { foretold: 12.0 * budget, made: 12.0 * budget }
    }

    /// After so many hours under a price that foretold so many calls an hour.
    pub fn after(self, hours: f64, calls: f64, made: f64) -> Self {
        let left = (-hours / 24.0).exp2();
        Self { foretold: self.foretold * left + hours * calls, made: self.made * left + made }
    }

    /// The budget to price by, for `budget` to be met.
    pub fn budget(&self, budget: f64) -> f64 {
        budget * (self.foretold / self.made).clamp(0.5, 2.0)
    }
}

impl Demand {
    /// No streams yet. The price is for the 24 hours around `now`; `near`: the price so far; `late`: hours from when a poll is due to the run
    /// that makes it, in the mean.
    pub fn new(now: DateTime<Utc>, near: f64, late: f64) -> Self {
        // The day around now: one that begins now would price the evening before a quiet day by that day.
        Self { hour: hour_of_week(now) + 168 - 12, near, late, classes: BTreeMap::new() }
    }

    /// Adds a stream, with the forecast of its last poll, which is what its interval was made by.
    pub fn add(&mut self, forecast: &Forecast, weight: f64, bounds: &Bounds) {
        let rate = weight * forecast.steadied(weight, self.near);
        let bins = self.classes.entry((bounds.min, bounds.max)).or_insert_with(|| vec![Bin::default(); BINS]);
        if forecast.week.is_flat() {
            put(bins, rate, 1.0);
            return;
        }
        // By the hour, because the quiet ones may be at the upper bound already.
        for hour in self.hour..self.hour + 24 {
            put(bins, rate * forecast.week.factor(hour), 1.0 / 24.0);
        }
    }

    /// Calls an hour at this price.
    pub fn calls(&self, price: f64) -> f64 {
        let root = (2.0 * price).sqrt();
        let calls = |((min, max), bins): (&(Duration, Duration), &Vec<Bin>)| {
            let [least, most] = [max, min].map(|interval| 3600.0 / interval.as_secs_f64());
            let taken = bins.iter().filter(|bin| bin.streams > 0.0);
            let often = |bin: &Bin| 1.0 / (1.0 / (bin.roots / bin.streams / root).clamp(least, most) + self.late);
            taken.map(|bin| bin.streams * often(bin)).sum::<f64>()
        };
        self.classes.iter().map(calls).sum()
    }

    /// The price at which the calls of an hour are `budget`.
    pub fn price(&self, budget: f64) -> Price {
        // Bisection on the logarithm; beyond these every stream that is told apart is at its bound.
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

/// Streams of one octave and its sixteenth are alike: the upper bits of a float are its logarithm, roughly.
fn put(bins: &mut [Bin], rate: f64, streams: f64) {
    let rate = rate.clamp(f64::from(LEAST).exp2(), f64::from(MOST).exp2() * 0.999);
    let first = u64::from((1023 + LEAST) as u32) << FINE;
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
            let (found, wanted) = (demand.calls(price.exp()), exact(&streams, price.exp()));
            prop_assert!((found / wanted - 1.0).abs() < 0.005, "{} for {}", found, wanted);
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
