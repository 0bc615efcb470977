//! Pace settings: how often streams are polled.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DAY, HOUR};

/// Poll intervals.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pace {
    /// Minimum price of a poll (mu), in hours: a stream with `l` changes per hour is polled every sqrt(2*price/l) hours. The price rises as needed
    /// to keep the total number of polls within the budget.
    pub price: f64,
    /// Maximum polls per day of each service in a Google project. 0: as many as `quota_share` of the project's quota allows.
    pub calls_per_day: u64,
    /// Maximum polls per day of each service for one user. 0: as many as `quota_share` of a user's quota allows.
    pub user_calls_per_day: u64,
    /// Share of Google's quota that polls may use, 0 to 1. The rest is for reading the changes they find, first syncs and other programs.
    pub quota_share: f64,
    /// How often the price is recomputed.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub reprice_every: Duration,
    /// Half-life of the weight of a user's activity.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub activity_half_life: Duration,
    /// Half-life of the weight of a change.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub half_life: Duration,
    /// Random variation of the interval, as a share of it, 0 to 0.5.
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
            half_life: Duration::from_secs(4 * DAY),
            jitter: 0.15,
        }
    }
}

impl Pace {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
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
