//! Forecasts when the expected delay is worth a call.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Bounds;
use super::profile::{Week, hour_of_week, rest_of_hour};
use super::scales::SCALES;

/// How often a stream is expected to change: `week * (rate + sum of extra * e^(-fade * hours) of its bursts)` per hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// Mean changes per hour over the week (lambda).
    pub rate: f64,
    pub bursts: [Burst; SCALES],
    /// When in the week changes come.
    pub week: Week,
}

/// What the last change says about the next hours; there is one for each scale of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burst {
    /// How much it adds to the rate now, or subtracts from it.
    pub extra: f64,
    /// How fast it fades, per hour.
    pub fade: f64,
}

impl Burst {
    pub const NONE: Self = Self { extra: 0.0, fade: 1.0 };
}

/// Expected since the poll: changes not yet fetched, and the hours that they have waited.
#[derive(Clone, Copy, Default)]
struct Backlog {
    changes: f64,
    delay: f64,
}

impl Forecast {
    /// A constant rate.
    pub fn steady(rate: f64) -> Self {
        Self { rate, bursts: [Burst::NONE; SCALES], week: Week::FLAT }
    }

    /// Changes per hour that are expected now, regardless of the time of the week.
    pub fn current(&self) -> f64 {
        self.rate + self.bursts.iter().map(|burst| burst.extra).sum::<f64>()
    }

    fn is_steady(&self) -> bool {
        self.bursts.iter().all(|burst| burst.extra == 0.0)
    }

    /// The steady rate that would lead to the same interval, ignoring the time of the week.
    pub(super) fn steadied(&self, weight: f64, price: f64) -> f64 {
        if self.is_steady() {
            return self.rate;
        }
        let worth = price / weight;
        let hours = self.within(Backlog::default(), 0.0, 1.0, f64::INFINITY, worth);
        2.0 * worth / (hours * hours)
    }

    /// The time until the expected delay of changes since `now`, times `weight`, reaches `price` hours; within bounds.
    ///
    /// With a steady rate that is sqrt(2 * price / (weight * rate)) hours, which minimizes weighted delay plus price of calls.
    pub fn wait(&self, now: DateTime<Utc>, weight: f64, price: f64, bounds: &Bounds) -> Duration {
        let worth = price / weight;
        let max_hours = bounds.max.as_secs_f64() / 3600.0;
        let hours = if self.week.is_flat() {
            self.within(Backlog::default(), 0.0, 1.0, max_hours, worth)
        } else {
            self.by_the_hour(now, max_hours, worth)
        };
        // NaN results from 0/0; such a stream is polled as rarely as allowed.
        if hours.is_nan() {
            return bounds.max;
        }
        Duration::from_secs_f64(hours.max(0.0) * 3600.0).clamp(bounds.min, bounds.max)
    }

    fn by_the_hour(&self, now: DateTime<Utc>, max_hours: f64, worth: f64) -> f64 {
        let (mut hour, mut span) = (hour_of_week(now), rest_of_hour(now));
        let (mut gone, mut backlog) = (0.0, Backlog::default());
        while gone < max_hours {
            let factor = self.week.factor(hour);
            let after = self.after(backlog, gone, factor, span);
            if after.delay >= worth {
                return gone + self.within(backlog, gone, factor, span, worth);
            }
            (gone, hour, span, backlog) = (gone + span, hour + 1, 1.0, after);
        }
        max_hours
    }

    /// The backlog after `step` more hours at this factor.
    fn after(&self, before: Backlog, gone: f64, factor: f64, step: f64) -> Backlog {
        let (mut changes, mut delay) = (self.rate * step, self.rate * step * step / 2.0);
        for burst in self.bursts.iter().filter(|burst| burst.extra != 0.0) {
            let faded = burst.fade * step;
            let scale = burst.extra * (-burst.fade * gone).exp() / burst.fade;
            let decayed = -(-faded).exp_m1();
            changes += scale * decayed;
            delay += scale * (faded - decayed) / burst.fade;
        }
        Backlog { changes: before.changes + factor * changes, delay: before.delay + before.changes * step + factor * delay }
    }

    /// The hours after which the backlog is worth a call, at most `limit`.
    fn within(&self, before: Backlog, gone: f64, factor: f64, limit: f64, worth: f64) -> f64 {
        // Exact without a burst; with one, the first step of Newton's method on a convex function.
        let extra: f64 = self.bursts.iter().map(|burst| burst.extra.max(0.0)).sum();
        let (rate, needed) = (factor * (self.rate + extra), worth - before.delay);
        let mut step = 2.0 * needed / (before.changes + (before.changes * before.changes + 2.0 * rate * needed).sqrt());
        if self.is_steady() {
            return step.min(limit);
        }
        for _ in 0..6 {
            let after = self.after(before, gone, factor, step);
            let change = (worth - after.delay) / after.changes;
            step = (step + change).min(limit);
            if change.abs() <= 1e-3 * step {
                break;
            }
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One burst, and none on the other scales.
    fn one(extra: f64, fade: f64) -> [Burst; SCALES] {
        let mut bursts = [Burst::NONE; SCALES];
        bursts[0] = Burst { extra, fade };
        bursts
    }

    const BOUNDS: Bounds =
        Bounds { min: Duration::from_secs(300), max: Duration::from_secs(36_000), prior: 0.1, full_pass_every: None };

    fn office() -> Week {
        let mut profile = super::super::Profile::default();
        for hour in (0..168).filter(|hour| hour / 24 < 5 && (9..18).contains(&(hour % 24))) {
            // The first Monday of 1970 was 5 January.
            let at = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(4) + chrono::TimeDelta::hours(hour);
            profile.add(at, 100.0);
        }
        let long_ago = DateTime::UNIX_EPOCH - chrono::TimeDelta::days(400);
        profile.week(&super::super::profile::Seen::new(DateTime::UNIX_EPOCH, long_ago, 1e6))
    }

    #[test]
    fn a_steady_stream_is_polled_at_the_square_root_of_twice_the_price_by_the_rate() {
        let wait = Forecast::steady(4.0).wait(DateTime::UNIX_EPOCH, 2.0, 1.0, &BOUNDS);
        assert!((wait.as_secs_f64() - 1800.0).abs() < 1e-6, "{wait:?}");
    }

    #[test]
    fn a_stream_without_changes_is_polled_as_rarely_as_allowed() {
        for (rate, weight) in [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)] {
            assert_eq!(Forecast::steady(rate).wait(DateTime::UNIX_EPOCH, weight, 1.0, &BOUNDS), BOUNDS.max);
        }
        let asleep = Forecast { rate: 0.0, week: office(), ..Forecast::steady(0.0) };
        assert_eq!(asleep.wait(DateTime::UNIX_EPOCH, 1.0, 1.0, &BOUNDS), BOUNDS.max);
    }

    #[test]
    fn a_burst_brings_the_next_poll_near_and_its_absence_puts_it_off() {
        let steady = Forecast::steady(1.0);
        let now = DateTime::UNIX_EPOCH;
        let usual = steady.wait(now, 1.0, 0.05, &BOUNDS);
        let burst = Forecast { bursts: one(10.0, 1.0), ..steady }.wait(now, 1.0, 0.05, &BOUNDS);
        let quiet = Forecast { bursts: one(-0.7, 1.0), ..steady }.wait(now, 1.0, 0.05, &BOUNDS);
        assert!(burst < usual / 2 && usual < quiet, "{burst:?} {usual:?} {quiet:?}");
    }

    #[test]
    fn nights_are_polled_less_and_mornings_at_once() {
        let forecast = Forecast { week: office(), ..Forecast::steady(1.0) };
        let monday = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(4);
        let wait = |hour| forecast.wait(monday + chrono::TimeDelta::hours(hour), 1.0, 0.05, &BOUNDS);
        assert!(wait(11) * 4 < wait(22), "{:?} {:?}", wait(11), wait(22));
        // The poll at seven does not skip the morning.
        assert!(wait(7) < Duration::from_secs(3 * 3600), "{:?}", wait(7));
    }

    /// Compares with the optimum over a whole fortnight, found by dynamic programming in steps of five minutes.
    #[test]
    fn waits_over_office_hours_cost_little_more_than_the_best_possible() {
        const STEPS: usize = 14 * 288;
        let (forecast, price) = (Forecast { week: office(), ..Forecast::steady(0.5) }, 0.15);
        let monday = DateTime::UNIX_EPOCH + chrono::TimeDelta::days(4);
        let time = |step: usize| step as f64 / 12.0;
        // Cumulative changes, and cumulative changes times their time.
        let (mut changes, mut times) = (vec![0.0; STEPS + 1], vec![0.0; STEPS + 1]);
        for step in 0..STEPS {
            let rate = forecast.rate * forecast.week.factor(step / 12) / 12.0;
            changes[step + 1] = changes[step] + rate;
            times[step + 1] = times[step] + rate * (time(step) + 1.0 / 24.0);
        }
        let delay = |from: usize, to: usize| time(to) * (changes[to] - changes[from]) - (times[to] - times[from]);
        let mut best = vec![0.0; STEPS + 1];
        for to in 1..=STEPS {
            let costs = (to.saturating_sub(120)..to).map(|from| best[from] + delay(from, to) + price);
            best[to] = costs.fold(f64::INFINITY, f64::min);
        }
        let (mut at, mut cost) = (0, 0.0);
        while at < STEPS {
            let now = monday + chrono::TimeDelta::minutes(5 * at as i64);
            let hours = forecast.wait(now, 1.0, price, &BOUNDS).as_secs_f64() / 3600.0;
            let to = (at + (hours * 12.0).round().max(1.0) as usize).min(STEPS);
            cost += delay(at, to) + price;
            at = to;
        }
        assert!(cost < 1.03 * best[STEPS], "{cost} where {} is possible", best[STEPS]);
    }

    proptest! {
        #[test]
        fn the_wait_stays_within_its_bounds(
            rate in 0.0f64..1e9, burst in 0.0f64..1e3, fade in 0.1f64..10.0, weight in 0.0f64..1e6, price in 1e-9f64..1e6, hour in 0i64..168,
        ) {
            for week in [Week::FLAT, office()] {
                let forecast = Forecast { rate, bursts: one(burst, fade), week };
                let wait = forecast.wait(DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hour), weight, price, &BOUNDS);
                prop_assert!(wait >= BOUNDS.min && wait <= BOUNDS.max);
            }
        }

        #[test]
        fn more_changes_never_mean_later_polls(a in 0.001f64..100.0, b in 0.001f64..100.0, hour in 0i64..168) {
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::hours(hour);
            for week in [Week::FLAT, office()] {
                let wait = |rate| Forecast { week, ..Forecast::steady(rate) }.wait(now, 1.0, 0.05, &BOUNDS);
                prop_assert!(wait(high) <= wait(low));
            }
        }

        #[test]
        fn the_delay_expected_at_the_poll_is_the_price(
            rate in 0.1f64..10.0, share in -0.9f64..20.0, fade in 0.2f64..4.0, price in 0.05f64..0.3, hour in 0i64..168,
        ) {
            let now = DateTime::UNIX_EPOCH + chrono::TimeDelta::minutes(hour * 61);
            let free = Bounds { min: Duration::from_micros(1), max: Duration::from_secs(7 * 86_400), ..BOUNDS };
            for week in [Week::FLAT, office()] {
                let forecast = Forecast { rate, bursts: one(share * rate, fade), week };
                let hours = forecast.wait(now, 1.0, price, &free).as_secs_f64() / 3600.0;
                // Numerically, by midpoints.
                let steps = 20_000;
                let delay: f64 = (0..steps).map(|step| {
                    let gone = hours * (f64::from(step) + 0.5) / f64::from(steps);
                    let at = now + chrono::TimeDelta::microseconds((gone * 3.6e9) as i64);
                    week.at(at) * (rate + share * rate * (-fade * gone).exp()) * (hours - gone) * hours / f64::from(steps)
                }).sum();
                prop_assert!((delay / price - 1.0).abs() < 0.01, "{} of {} after {} h", delay, price, hours);
            }
        }
    }
}
