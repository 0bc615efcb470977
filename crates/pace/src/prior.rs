//! What is assumed of a stream about which little is known: the rates of its fleet, learnt from what all of its streams have shown (empirical Bayes).

use std::collections::BTreeMap;

use super::scales::{self, Shares};

/// Weight, in changes, of a rate that is only assumed.
const ASSUMED_CHANGES: f64 = 0.5;
/// The assumption counts as this many streams in a fit, so that a fleet of three is not judged by three.
const ASSUMED_STREAMS: f64 = 4.0;
/// Limits of a fitted shape: beyond them, the likelihood is flat.
const SHAPE: (f64, f64) = (0.01, 100.0);
/// There are 2^FINE bins per octave of changes and of hours.
const FINE: u32 = 2;
const MAX_STEPS: usize = 300;
/// A stream with more changes counts as much as one with these, so that a few do not speak for all.
const MAX_CHANGES: f64 = 10.0;
/// Lower limit of the share of changes that follow from others on each scale, and upper limit of all of these shares together.
const MIN_SHARE: f64 = 0.01;
const MAX_SHARES: f64 = 0.95;

/// A gamma distribution of changes per hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// Its shape: it counts as if this many changes had been seen,
    pub changes: f64,
    /// in this many hours.
    pub hours: f64,
    /// Shares of changes that follow from others, which the distribution leaves out.
    pub shares: Shares,
}

impl Prior {
    /// Before a fleet has shown anything; `rate`: changes per hour.
    pub fn assumed(rate: f64) -> Self {
        Self { changes: ASSUMED_CHANGES, hours: ASSUMED_CHANGES / rate, shares: scales::ASSUMED }
    }

    /// The prior that was stored; `None` if the numbers are not those of a distribution.
    pub fn stored(changes: f64, hours: f64, shares: Shares) -> Option<Self> {
        let is_valid = |value: f64| value.is_finite() && value > 0.0;
        let are_valid = is_valid(changes) && is_valid(hours) && shares.into_iter().all(is_valid) && scales::alone(&shares) > 0.0;
        are_valid.then_some(Self { changes, hours, shares })
    }

    /// Mean independent changes per hour.
    pub fn rate(&self) -> f64 {
        self.changes / self.hours
    }

    /// The mean changes per hour of a stream that has shown this many in this many hours.
    pub(super) fn posterior_rate(&self, (changes, hours): (f64, f64)) -> f64 {
        (self.changes + changes) / (self.hours + hours)
    }

    /// The mean natural logarithm of the same.
    fn posterior_log(&self, (changes, hours): (f64, f64)) -> f64 {
        digamma(self.changes + changes) - (self.hours + hours).ln()
    }
}

/// What a stream has shown of its rate; old changes and hours count for less.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Evidence {
    /// Independent changes.
    pub changes: f64,
    /// In hours at its mean rate over the week.
    pub hours: f64,
    /// Independent changes, forgotten as slowly as those that follow from others.
    pub alone: f64,
    pub followers: Shares,
}

/// What the streams of a fleet have shown, collected in one pass over them; similar streams share a bin.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    bins: BTreeMap<(u64, u64), Bin>,
    streams: f64,
    /// Changes of all kinds, and those that follow from others; of a busy stream only `MAX_CHANGES`.
    changes: f64,
    followers: Shares,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bin {
    streams: f64,
    changes: f64,
    hours: f64,
}

impl Fleet {
    /// Adds a stream. What is not finite, because it was stored wrongly, is passed over.
    pub fn add(&mut self, shown: Evidence) {
        let is_valid = |value: f64| value.is_finite() && value >= 0.0;
        if ![shown.changes, shown.hours, shown.alone].iter().chain(&shown.followers).copied().all(is_valid) {
            return;
        }
        let bin = self.bins.entry((magnitude(shown.changes), magnitude(shown.hours))).or_default();
        bin.streams += 1.0;
        bin.changes += shown.changes;
        bin.hours += shown.hours;
        self.streams += 1.0;
        let changes = shown.alone + shown.followers.iter().sum::<f64>();
        let weight = MAX_CHANGES / changes.max(MAX_CHANGES);
        self.changes += weight * changes;
        for (sum, count) in self.followers.iter_mut().zip(shown.followers) {
            *sum += weight * count;
        }
    }

    /// The number of streams.
    pub fn streams(&self) -> u64 {
        self.streams as u64
    }

    /// The distribution under which the streams are most likely to have shown what they have, by expectation maximization. `assumed` is what is
    /// believed of a fleet without streams.
    pub fn prior(&self, assumed: Prior) -> Prior {
        let nothing = (0.0, 0.0);
        let (rate, log) = (assumed.posterior_rate(nothing), assumed.posterior_log(nothing));
        let mut prior = Prior { shares: self.shares(&assumed.shares), ..assumed };
        for _ in 0..MAX_STEPS {
            let (mut rates, mut logs) = (ASSUMED_STREAMS * rate, ASSUMED_STREAMS * log);
            for bin in self.bins.values() {
                let shown = (bin.changes / bin.streams, bin.hours / bin.streams);
                rates += bin.streams * prior.posterior_rate(shown);
                logs += bin.streams * prior.posterior_log(shown);
            }
            let streams = self.streams + ASSUMED_STREAMS;
            let mean = rates / streams;
            let changes = shape(mean.ln() - logs / streams, prior.changes).clamp(SHAPE.0, SHAPE.1);
            let next = Prior { changes, hours: changes / mean, ..prior };
            let change = (next.changes / prior.changes).ln().abs() + (next.hours / prior.hours).ln().abs();
            prior = next;
            if change < 1e-4 {
                break;
            }
        }
        prior
    }

    /// The shares of changes that follow from others, never quite none, because a fleet may begin to change in bursts.
    fn shares(&self, assumed: &Shares) -> Shares {
        let weight = ASSUMED_STREAMS * MAX_CHANGES;
        let share = |scale: usize| (self.followers[scale] + weight * assumed[scale]) / (self.changes + weight);
        let shares: Shares = std::array::from_fn(|scale| share(scale).max(MIN_SHARE));
        let excess = (shares.iter().sum::<f64>() / MAX_SHARES).max(1.0);
        shares.map(|share| share / excess)
    }
}

/// Values within a quarter of an octave share one: the upper bits of a float are roughly its logarithm.
fn magnitude(value: f64) -> u64 {
    // Below a thousandth, nothing was shown.
    if value < 1e-3 { 0 } else { value.to_bits() >> (52 - FINE) }
}

/// The shape of the gamma distribution whose logarithm of the mean exceeds the mean of the logarithms by `gap`: Newton's method on ln(shape).
fn shape(gap: f64, near: f64) -> f64 {
    let mut shape = near;
    for _ in 0..20 {
        let off = shape.ln() - digamma(shape) - gap;
        let slope = 1.0 - shape * trigamma(shape);
        let step = (off / slope).clamp(-1.0, 1.0);
        shape *= (-step).exp();
        if step.abs() < 1e-9 {
            break;
        }
    }
    shape
}

/// Derivative of the logarithm of the gamma function, for positive values: upwards by recurrence, then by its asymptotic series.
fn digamma(mut value: f64) -> f64 {
    let mut sum = 0.0;
    while value < 6.0 {
        sum -= 1.0 / value;
        value += 1.0;
    }
    let square = 1.0 / (value * value);
    sum + value.ln() - 0.5 / value - square * (1.0 / 12.0 - square * (1.0 / 120.0 - square / 252.0))
}

/// Derivative of `digamma`.
fn trigamma(mut value: f64) -> f64 {
    let mut sum = 0.0;
    while value < 6.0 {
        sum += 1.0 / (value * value);
        value += 1.0;
    }
    let square = 1.0 / (value * value);
    sum + 1.0 / value + square / 2.0 + square / value * (1.0 / 6.0 - square * (1.0 / 30.0 - square / 42.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ASSUMED: f64 = 0.1;

    /// Streams whose rates are quantiles of an exponential distribution (shape 1) with this mean, each seen for `hours` with just as many changes.
    fn fleet(streams: u32, mean: f64, hours: f64) -> Fleet {
        let mut fleet = Fleet::default();
        for stream in 0..streams {
            let rate = -mean * (1.0 - (f64::from(stream) + 0.5) / f64::from(streams)).ln();
            fleet.add(Evidence { changes: rate * hours, hours, ..Evidence::default() });
        }
        fleet
    }

    #[test]
    fn a_fleet_without_streams_is_believed_to_be_as_assumed() {
        let assumed = Prior::assumed(ASSUMED);
        let prior = Fleet::default().prior(assumed);
        assert!((prior.changes / assumed.changes - 1.0).abs() < 1e-6, "{prior:?}");
        assert!((prior.hours / assumed.hours - 1.0).abs() < 1e-6, "{prior:?}");
    }

    #[test]
    fn the_distribution_of_rates_is_learnt_from_many_streams() {
        let prior = fleet(2000, 0.02, 10_000.0).prior(Prior::assumed(ASSUMED));
        assert!((prior.rate() / 0.02 - 1.0).abs() < 0.03, "{prior:?}");
        assert!((prior.changes - 1.0).abs() < 0.05, "{prior:?}");
    }

    #[test]
    fn three_streams_move_the_assumption_and_do_not_replace_it() {
        let prior = fleet(3, 0.001, 1000.0).prior(Prior::assumed(ASSUMED));
        assert!(prior.rate() < 0.9 * ASSUMED && prior.rate() > 0.3 * ASSUMED, "{prior:?}");
    }

    #[test]
    fn a_fleet_in_which_most_streams_never_change_expects_silence_to_last() {
        let mut fleet = Fleet::default();
        for stream in 0..1000 {
            let changes = if stream % 10 == 0 { 10.0 } else { 0.0 };
            fleet.add(Evidence { changes, hours: 240.0, ..Evidence::default() });
        }
        let prior = fleet.prior(Prior::assumed(ASSUMED));
        let rate = |changes, hours| prior.posterior_rate((changes, hours));
        assert!(rate(0.0, 240.0) < 0.001 && rate(10.0, 240.0) > 0.03, "{prior:?}");
    }

    #[test]
    fn the_derivatives_of_the_gamma_function_are_exact() {
        // Minus Euler's constant, and pi^2/6.
        assert!((digamma(1.0) + 0.577_215_664_901_532_9).abs() < 1e-8);
        assert!((trigamma(1.0) - 1.644_934_066_848_226_4).abs() < 1e-6);
        for value in [0.02, 0.3, 1.0, 7.0, 90.0] {
            let slope = (digamma(value * 1.0001) - digamma(value / 1.0001)) / (value * 1.0001 - value / 1.0001);
            assert!((slope / trigamma(value) - 1.0).abs() < 1e-4, "{value}");
            assert!((shape(f64::ln(value) - digamma(value), 1.0) / value - 1.0).abs() < 1e-4, "{value}");
        }
    }

    proptest! {
        #[test]
        fn whatever_was_stored_the_prior_is_a_distribution(
            shown in proptest::collection::vec((-1.0f64..1e9, -1.0f64..1e9), 0..50), odd in 0usize..4, rate in 1e-4f64..10.0,
        ) {
            let mut fleet = Fleet::default();
            for (changes, hours) in shown {
                fleet.add(Evidence { changes, hours, ..Evidence::default() });
            }
            let odd = [f64::NAN, f64::INFINITY, 0.0, 1e300][odd];
            fleet.add(Evidence { changes: odd, hours: odd, alone: odd, followers: [odd; scales::SCALES] });
            let prior = fleet.prior(Prior::assumed(rate));
            prop_assert!(prior.changes.is_finite() && prior.changes > 0.0, "{:?}", prior);
            prop_assert!(prior.hours.is_finite() && prior.hours > 0.0, "{:?}", prior);
        }
    }
}
