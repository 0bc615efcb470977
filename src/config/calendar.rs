//! The settings of Calendar.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DAY, HOUR, MINUTE};

/// Google Calendar.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Whether it is synced at all; its scope is asked for only then.
    pub enabled: bool,
    /// How far the first pass looks back.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub window_past: Duration,
    /// How far the first pass looks ahead.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub window_future: Duration,
    /// A full pass at least this often, because the window moves on; and whenever half of window_future has passed.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub full_pass_every: Duration,
    /// Events a page, 1 to 2500.
    pub page_size: u32,
    /// Calendar ids to sync; empty: the primary one and those that the user has selected.
    pub calendars: Vec<String>,
    /// Title words that make an event a meeting.
    pub meeting_words: Vec<String>,
    /// Shortest time between two polls of a calendar.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub min_interval: Duration,
    /// Longest time between two polls of a calendar.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub max_interval: Duration,
    /// Time between two polls of a user's list of calendars.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub list_interval: Duration,
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            enabled: true,
            window_past: Duration::from_secs(30 * DAY),
            window_future: Duration::from_secs(365 * DAY),
            full_pass_every: Duration::from_secs(30 * DAY),
            page_size: 2500,
            calendars: Vec::new(),
            meeting_words: ["meeting", "call", "sync", "standup", "review", "planning"].map(str::to_owned).into(),
            min_interval: Duration::from_secs(5 * MINUTE),
            max_interval: Duration::from_secs(HOUR),
            list_interval: Duration::from_secs(6 * HOUR),
        }
    }
}

impl Calendar {
    /// Bounds that types cannot say: whether each holds, its key, and what it must be.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 2] {
        [
            ((1..=2500).contains(&self.page_size), "calendar.page_size", "1 to 2500"),
            (self.min_interval <= self.max_interval, "calendar.min_interval", "at most calendar.max_interval"),
        ]
    }
}
