//! When a stream is polled next. Pure: time and randomness come in as parameters.

mod forecast;
mod history;
mod prior;
mod profile;
mod scales;
mod shadow_price;
mod weight;

use std::time::Duration;

pub use forecast::{Burst, Forecast};
pub use history::History;
pub use prior::{Evidence, Fleet, Prior};
pub use profile::{Profile, Week};
pub use scales::{SCALES, Shares};
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_live_channel_leaves_a_safety_poll_and_a_dying_one_does_not_delay_the_poll_after_it() {
        let [usual, safety] = [600, 21_600].map(Duration::from_secs);
        assert_eq!(with_push(usual, safety, None), usual);
        assert_eq!(with_push(usual, safety, Some(-1.0)), usual);
        assert_eq!(with_push(usual, safety, Some(86_400.0)), safety);
        assert_eq!(with_push(usual, safety, Some(60.0)), Duration::from_secs(660));
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_share(chance in 0.0f64..1.0, share in 0.0f64..0.5) {
            let spread = jittered(Duration::from_secs(1000), share, chance).as_secs_f64();
            prop_assert!((spread - 1000.0).abs() <= share * 1000.0 + 1e-6);
        }
    }
}
