//! The settings of the pace: how often streams are polled.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DAY, HOUR};

/// When a stream is polled again.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Least price of a poll (mu), in hours: a stream with `l` changes an hour is polled every sqrt(2*price/l) hours. Where all polls together
    /// would pass the budget, the price rises until they do not.
    pub price: f64,
    /// Polls a day that each service may make with a project; 0: as many as `quota_share` of the project's quota gives.
    pub calls_per_day: u64,
    /// Polls a day that each service may make for one user; 0: as many as `quota_share` of a user's quota gives.
    pub user_calls_per_day: u64,
    /// Share of Google's quota that polls may use, 0 to 1; the rest is for what they find, first syncs and others' programs.
    pub quota_share: f64,
    /// How often the price is made anew.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub reprice_every: Duration,
    /// How long until what a user did counts half.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub activity_half_life: Duration,
    /// Age at which a change counts half.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub half_life: Duration,
    /// Share of the interval by which polls are spread, 0 to 0.5.
    pub jitter: f64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            price: 0.05,
            calls_per_day: 0,
            user_calls_per_day: 0,
            quota_share: 0.5,
            reprice_every: Duration::from_secs(HOUR),
            activity_half_life: Duration::from_secs(HOUR),
            half_life: Duration::from_secs(3 * DAY),
            jitter: 0.15,
        }
    }
}

impl Pace {
    /// Bounds that types cannot say: whether each holds, its key, and what it must be.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 6] {
        [
            (self.price > 0.0, "pace.price", "more than 0"),
            (self.quota_share > 0.0 && self.quota_share <= 1.0, "pace.quota_share", "more than 0, at most 1"),
            (!self.reprice_every.is_zero(), "pace.reprice_every", "more than 0s"),
            (!self.activity_half_life.is_zero(), "pace.activity_half_life", "more than 0s"),
            ((0.0..=0.5).contains(&self.jitter), "pace.jitter", "0 to 0.5"),
            (!self.half_life.is_zero(), "pace.half_life", "more than 0s"),
        ]
    }
}
