//! When a stream is polled next. Pure: the time and the chance come in as parameters.

mod forecast;
mod history;
mod price;
mod profile;
pub mod simulation;
mod weight;

use std::time::Duration;

use crate::error::Class;

pub use forecast::Forecast;
pub use history::History;
pub use price::{Demand, Fit, Price, Steering};
pub use profile::{Profile, Week};
pub use weight::{faded, in_words};

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

/// The wait after a complete pass: half to one and a half intervals, which is everywhere alike in the rhythm that follows, because such passes
/// of thousands of streams may end in the same minute.
pub fn first_wait(interval: Duration, chance: f64) -> Duration {
    interval.mul_f64(0.5 + chance)
}

/// The wait after a failure: longer with each in a row, and never shorter than the server asked for.
pub fn after_failure(class: Class, failures_before: u32, hint: Option<Duration>) -> Duration {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    let (first, most) = match class {
        Class::ScopeMissing | Class::ApiDisabled | Class::Gone => (24 * HOUR, 24 * HOUR),
        Class::UserQuota => (HOUR, 6 * HOUR),
        // `streams::turn_off` says when these are asked again.
        Class::ServiceOff | Class::NotGranted => (24 * HOUR, 24 * HOUR),
        Class::ClientRefused => (10 * MINUTE, HOUR),
        Class::AuthRevoked | Class::TokenStale | Class::DailyQuota => (HOUR, 24 * HOUR),
        Class::Permanent | Class::CursorExpired | Class::PageExpired => (HOUR, 24 * HOUR),
        Class::RateLimited | Class::Transient | Class::Internal | Class::Settings | Class::LeaseLost => (MINUTE, HOUR),
    };
    let wait = first.saturating_mul(1 << failures_before.min(16)).min(most);
    Duration::from_secs(wait).max(hint.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::rngs::StdRng;
    use rand::{Rng as _, SeedableRng as _};

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

    /// Ten thousand idle streams that were all due in the same minute, half of them after their first pass, a day later.
    #[test]
    fn no_minute_has_more_than_one_and_a_half_times_the_mean_of_polls_a_day_after_all_were_due_at_once() {
        let hour = Duration::from_secs(3600);
        let share = crate::config::Pace::default().jitter;
        let mut chance = StdRng::seed_from_u64(1);
        let mut polls = [0u32; 60];
        for stream in 0..10_000 {
            let mut at = Duration::ZERO;
            if stream % 2 == 0 {
                at += first_wait(hour, chance.random());
            }
            while at < 25 * hour {
                if at >= 24 * hour {
                    polls[(at - 24 * hour).as_secs() as usize / 60] += 1;
                }
                at += jittered(hour, share, chance.random());
            }
        }
        let mean = polls.iter().sum::<u32>() / 60;
        let most = polls.into_iter().max().expect("an hour has minutes");
        assert!(2 * most <= 3 * mean, "{most} polls in one minute, {mean} in the mean");
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_share(chance in 0.0f64..1.0, share in 0.0f64..0.5) {
            let spread = jittered(Duration::from_secs(1000), share, chance).as_secs_f64();
            prop_assert!((spread - 1000.0).abs() <= share * 1000.0 + 1e-6);
        }
    }
}
