//! When a stream is polled next. Pure: the time and the chance come in as parameters.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::Class;

/// How often a kind of stream may be polled, and what is believed of it before anything is known.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub min: Duration,
    pub max: Duration,
    /// Changes an hour.
    pub prior: f64,
    /// A complete pass at least this often, where the feed covers a window that moves on.
    pub full_pass_every: Option<Duration>,
}

/// Hours of evidence that the prior counts for.
const PRIOR_HOURS: f64 = 24.0;

/// The changes of a stream, exponentially forgotten.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct History {
    /// Sum over all changes of 2^(-age / half-life), as of `at`.
    pub mass: f64,
    /// When `mass` was true.
    pub at: DateTime<Utc>,
}

impl History {
    /// Nothing known.
    pub fn empty(now: DateTime<Utc>) -> Self {
        Self { mass: 0.0, at: now }
    }

    /// The history at `now` with these changes added, each with its own age.
    pub fn observe(self, now: DateTime<Utc>, changes: &[DateTime<Utc>], half_life: Duration) -> Self {
        let mut mass = self.mass * faded(self.at, now, half_life);
        for change in changes {
            mass += faded(*change, now, half_life);
        }
        Self { mass, at: now }
    }

    /// Changes an hour (lambda), drawn towards the prior while there is little evidence.
    pub fn rate(self, now: DateTime<Utc>, half_life: Duration, prior: f64) -> f64 {
        let mass = self.mass * faded(self.at, now, half_life);
        let memory = hours(half_life) / std::f64::consts::LN_2;
        (mass + prior * PRIOR_HOURS) / (memory + PRIOR_HOURS)
    }
}

/// 2^(-age / half-life); a time in the future has age zero.
fn faded(then: DateTime<Utc>, now: DateTime<Utc>, half_life: Duration) -> f64 {
    let age = (now - then).to_std().unwrap_or_default();
    (-age.as_secs_f64() / half_life.as_secs_f64()).exp2()
}

fn hours(duration: Duration) -> f64 {
    duration.as_secs_f64() / 3600.0
}

/// The interval that minimizes weighted delay plus price of calls: sqrt(2 * price / (weight * rate)) hours, within bounds.
pub fn interval(rate: f64, weight: f64, price: f64, bounds: &Bounds) -> Duration {
    let wanted = (2.0 * price / (weight * rate)).sqrt() * 3600.0;
    // No changes at all gives infinity, which the upper bound takes in; NaN comes of 0/0 and is polled as rarely.
    if wanted.is_nan() {
        return bounds.max;
    }
    Duration::from_secs_f64(wanted.clamp(bounds.min.as_secs_f64(), bounds.max.as_secs_f64()))
}

/// The interval of a stream whose changes are announced for so many seconds more: the safety interval, but none that goes on beyond the
/// usual one after the last announcement.
pub fn with_push(usual: Duration, safety: Duration, push_left: Option<f64>) -> Duration {
    let left = push_left.filter(|left| *left > 0.0).and_then(|left| Duration::try_from_secs_f64(left).ok());
    match left {
        Some(left) => safety.min(left.saturating_add(usual)).max(usual),
        None => usual,
    }
}

/// Spreads an interval by up to `share` of itself in both directions. `chance` is uniform in 0..1.
pub fn jittered(interval: Duration, share: f64, chance: f64) -> Duration {
    interval.mul_f64(1.0 + share * (2.0 * chance - 1.0))
}

/// The wait after a failure: longer with each in a row, and never shorter than the server asked for.
pub fn after_failure(class: Class, failures_before: u32, hint: Option<Duration>) -> Duration {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    let (first, most) = match class {
        Class::ScopeMissing | Class::ApiDisabled | Class::Gone => (24 * HOUR, 24 * HOUR),
        Class::AuthRevoked | Class::TokenStale | Class::DailyQuota => (HOUR, 24 * HOUR),
        Class::Permanent | Class::CursorExpired | Class::PageExpired => (HOUR, 24 * HOUR),
        Class::RateLimited | Class::Transient | Class::Internal | Class::LeaseLost => (MINUTE, HOUR),
    };
    let wait = first.saturating_mul(1 << failures_before.min(16)).min(most);
    Duration::from_secs(wait).max(hint.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HALF_LIFE: Duration = Duration::from_secs(3 * 86_400);
    const BOUNDS: Bounds =
        Bounds { min: Duration::from_secs(300), max: Duration::from_secs(3600), prior: 0.1, full_pass_every: None };

    #[test]
    fn a_steady_stream_is_learnt_at_its_rate() {
        let start = DateTime::UNIX_EPOCH;
        let mut history = History::empty(start);
        let mut now = start;
        for _ in 0..60 * 24 * 2 {
            now += chrono::Duration::minutes(30);
            history = history.observe(now, &[now], HALF_LIFE);
        }
        let rate = history.rate(now, HALF_LIFE, 0.1);
        assert!((1.5..=2.0).contains(&rate), "2 changes an hour were learnt as {rate}");
    }

    #[test]
    fn a_stream_that_falls_silent_is_polled_as_rarely_as_allowed() {
        let now = DateTime::UNIX_EPOCH;
        let busy = History { mass: 500.0, at: now };
        let before = interval(busy.rate(now, HALF_LIFE, 0.01), 1.0, 0.05, &BOUNDS);
        let later = now + chrono::Duration::days(60);
        let after = interval(busy.rate(later, HALF_LIFE, 0.01), 1.0, 0.05, &BOUNDS);
        assert!(before < after);
        assert_eq!(after, BOUNDS.max);
    }

    #[test]
    fn a_live_channel_leaves_a_safety_poll_and_a_dying_one_does_not_delay_the_poll_after_it() {
        let [usual, safety] = [600, 21_600].map(Duration::from_secs);
        assert_eq!(with_push(usual, safety, None), usual);
        assert_eq!(with_push(usual, safety, Some(-1.0)), usual);
        assert_eq!(with_push(usual, safety, Some(86_400.0)), safety);
        assert_eq!(with_push(usual, safety, Some(60.0)), Duration::from_secs(660));
    }

    #[test]
    fn a_failure_waits_longer_each_time_and_at_least_as_long_as_asked() {
        let first = after_failure(Class::Transient, 0, None);
        assert!(after_failure(Class::Transient, 3, None) > first);
        assert_eq!(after_failure(Class::Transient, 60, None), Duration::from_secs(3600));
        let hint = Duration::from_secs(7200);
        assert_eq!(after_failure(Class::RateLimited, 0, Some(hint)), hint);
    }

    proptest! {
        #[test]
        fn the_interval_stays_within_its_bounds(rate in 0.0f64..1e9, weight in 0.0f64..1e6, price in 1e-9f64..1e6) {
            let interval = interval(rate, weight, price, &BOUNDS);
            prop_assert!(interval >= BOUNDS.min && interval <= BOUNDS.max);
        }

        #[test]
        fn more_changes_never_mean_fewer_polls(a in 0.001f64..100.0, b in 0.001f64..100.0) {
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(interval(high, 1.0, 0.05, &BOUNDS) <= interval(low, 1.0, 0.05, &BOUNDS));
        }

        #[test]
        fn jitter_stays_within_its_share(chance in 0.0f64..1.0, share in 0.0f64..0.5) {
            let spread = jittered(Duration::from_secs(1000), share, chance).as_secs_f64();
            prop_assert!((spread - 1000.0).abs() <= share * 1000.0 + 1e-6);
        }
    }
}
