//! When a stream is polled next. Pure: time and randomness come in as parameters.

mod forecast;
mod history;
mod profile;
mod shadow_price;
pub mod simulation;
mod weight;

use std::time::Duration;

use crate::error::Class;

pub use forecast::Forecast;
pub use history::History;
pub use profile::{Profile, Week};
pub use shadow_price::{Demand, Fit, Price, Steering};
pub use weight::{faded, in_words};

/// How often a kind of stream may be polled, and the assumption before anything is known.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub min: Duration,
    pub max: Duration,
    /// Changes per hour.
    pub prior: f64,
    /// Minimum frequency of complete passes, if the feed covers a moving window.
    pub full_pass_every: Option<Duration>,
}

/// The interval of a stream whose changes are announced for another `push_left` seconds: the safety interval, but ending at most one usual interval after
/// the channel does.
pub fn with_push(usual: Duration, safety: Duration, push_left: Option<f64>) -> Duration {
    let remaining = push_left.filter(|seconds| *seconds > 0.0).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    match remaining {
        Some(remaining) => safety.min(remaining.saturating_add(usual)).max(usual),
        None => usual,
    }
}

/// Spreads an interval by up to `share` of itself in both directions. `chance` is uniform in 0..1.
pub fn jittered(interval: Duration, share: f64, chance: f64) -> Duration {
    interval.mul_f64(1.0 + share * (2.0 * chance - 1.0))
}

/// The wait after a complete pass: half to one and a half intervals. Complete passes of thousands of streams may end in the same minute; this spreads their
/// polls evenly over the following interval.
pub fn first_wait(interval: Duration, chance: f64) -> Duration {
    interval.mul_f64(0.5 + chance)
}

/// The wait after a failure: an eighth of the time for which the stream has been failing, so that streams recover soon after an outage ends, whatever its
/// cause, and permanent failures are retried ever more rarely. Never shorter than the server's hint.
pub fn after_failure(class: Class, failing_for: Duration, hint: Option<Duration>) -> Duration {
    /// With a cron line that runs each minute, a stream that failed at the end of an outage of some minutes is polled again within 90 seconds.
    const SOON: Duration = Duration::from_secs(20);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let (min, max) = match class {
        Class::RateLimited | Class::Transient | Class::Internal | Class::Settings | Class::LeaseLost | Class::TokenStale => {
            (SOON, HOUR)
        }
        Class::UserQuota => (SOON, 6 * HOUR),
        Class::ScopeMissing | Class::ApiDisabled | Class::Gone | Class::AuthRevoked => (SOON, DAY),
        Class::Permanent | Class::PageExpired | Class::BadAnswer => (SOON, DAY),
        // `accounts.ask_at` determines when the endpoint is called.
        Class::ClientRefused => (10 * MINUTE, HOUR),
        // Too many full passes in one day.
        Class::CursorExpired => (HOUR, DAY),
        // The end of the quota's day is tracked separately, and `streams::turn_off` determines when a service is tried again.
        Class::DailyQuota | Class::ServiceOff | Class::NotGranted => (HOUR, DAY),
    };
    (failing_for / 8).clamp(min, max).max(hint.unwrap_or_default())
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
        let wait = |class, seconds| after_failure(class, Duration::from_secs(seconds), None).as_secs();
        assert_eq!([0, 60, 600, 86_400].map(|age| wait(Class::Transient, age)), [20, 20, 75, 3_600]);
        assert_eq!([0, 600, 30 * 86_400].map(|age| wait(Class::ApiDisabled, age)), [20, 75, 86_400]);
        let hint = Duration::from_secs(7200);
        assert_eq!(after_failure(Class::RateLimited, Duration::ZERO, Some(hint)), hint);
    }

    /// A cron line that runs each minute, and an outage that ends at any second of the first seven minutes.
    #[test]
    fn nothing_is_late_by_more_than_ninety_seconds_after_a_trouble_of_minutes() {
        let jitter = crate::config::Pace::default().jitter;
        for ends in 1..=420 {
            let (mut began, mut due) = (None, 0.0);
            let healed = (0..).map(|minute| f64::from(minute) * 60.0).find(|now| {
                if *now < due || *now >= f64::from(ends) {
                    return *now >= due;
                }
                let age = Duration::from_secs_f64(now - *began.get_or_insert(*now));
                due = now + jittered(after_failure(Class::TokenStale, age, None), jitter, 1.0).as_secs_f64();
                false
            });
            let late = healed.expect("a minute") - f64::from(ends);
            assert!(late <= 90.0, "{late} s late after {ends} s");
        }
    }

    #[test]
    fn what_never_works_is_asked_for_less_than_seventy_times_on_its_first_day() {
        for class in [Class::Transient, Class::ApiDisabled, Class::Permanent] {
            let (mut tries, mut age) = (0, Duration::ZERO);
            while age < Duration::from_secs(86_400) {
                tries += 1;
                age += after_failure(class, age, None).max(Duration::from_secs(60));
            }
            assert!(tries < 70, "{class}: {tries}");
        }
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
        let busiest = polls.into_iter().max().expect("an hour has minutes");
        assert!(2 * busiest <= 3 * mean, "{busiest} polls in one minute, {mean} in the mean");
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_share(chance in 0.0f64..1.0, share in 0.0f64..0.5) {
            let spread = jittered(Duration::from_secs(1000), share, chance).as_secs_f64();
            prop_assert!((spread - 1000.0).abs() <= share * 1000.0 + 1e-6);
        }
    }
}
