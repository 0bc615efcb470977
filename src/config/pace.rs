//! The settings of the pace: how often streams are polled.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DAY;

/// When a stream is polled again.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Price of a call (mu), in hours: a stream with `l` changes an hour is polled every sqrt(2*price/l) hours.
    pub price: f64,
    /// Age at which a change counts half.
    #[serde(with = "humantime_serde")]
    pub half_life: Duration,
    /// Share of the interval by which polls are spread, 0 to 0.5.
    pub jitter: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self { price: 0.05, half_life: Duration::from_secs(3 * DAY), jitter: 0.15 }
    }
}

impl Pace {
    /// Bounds that types cannot say: whether each holds, its key, and what it must be.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 3] {
        [
            (self.price > 0.0, "pace.price", "more than 0"),
            ((0.0..=0.5).contains(&self.jitter), "pace.jitter", "0 to 0.5"),
            (!self.half_life.is_zero(), "pace.half_life", "more than 0s"),
        ]
    }
}
