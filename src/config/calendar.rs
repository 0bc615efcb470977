//! Calendar settings.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DAY, HOUR, MINUTE};

/// Google Calendar.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// Whether to sync this service and request its OAuth scope.
    pub enabled: bool,
    /// How far the first pass reaches into the past.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub window_past: Duration,
    /// How far the first pass reaches into the future.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub window_future: Duration,
    /// Maximum interval between full passes, since the window moves. A full pass also runs whenever half of `window_future` has passed.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub full_pass_every: Duration,
    /// How far `calendar_instances` reaches into the past: at most as far as `window_past`, or events are missing.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub instances_past: Duration,
    /// How far `calendar_instances` reaches into the future: the occurrences of series until then are stored. Events are missing in what exceeds
    /// `window_future` when a full pass is long ago.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub instances_future: Duration,
    /// Events per page, 1 to 2500.
    pub page_size: u32,
    /// IDs of the calendars to sync. Empty: the primary calendar and those the user has selected.
    pub calendars: Vec<String>,
    /// Words in the title that mark an event as a meeting.
    pub meeting_words: Vec<String>,
    /// How long before its start a meeting is announced by `calendar.meeting.starting`: 1min to 1h.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub meeting_notice: Duration,
    /// Minimum interval between polls of a calendar.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub min_interval: Duration,
    /// Maximum interval between polls of a calendar.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub max_interval: Duration,
    /// Interval between polls of a user's calendar list.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub list_interval: Duration,
}

impl Default for Calendar {
    fn default() -> Self {
        Self {
            enabled: true,
            window_past: Duration::from_secs(90 * DAY),
            window_future: Duration::from_secs(440 * DAY),
            full_pass_every: Duration::from_secs(30 * DAY),
            instances_past: Duration::from_secs(90 * DAY),
            instances_future: Duration::from_secs(400 * DAY),
            page_size: 2500,
            calendars: Vec::new(),
            meeting_words: ["meeting", "call", "sync", "standup", "review", "planning"].map(str::to_owned).into(),
            meeting_notice: Duration::from_secs(5 * MINUTE),
            min_interval: Duration::from_secs(5 * MINUTE),
            max_interval: Duration::from_secs(HOUR),
            list_interval: Duration::from_secs(6 * HOUR),
        }
    }
}

impl Calendar {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 5] {
        let years = |count: u64| Duration::from_secs(count * 366 * DAY);
        [
            (self.instances_past <= years(10), "calendar.instances_past", "at most 10 years (3660d)"),
            (self.instances_future <= years(10), "calendar.instances_future", "at most 10 years (3660d)"),
            ((MINUTE..=HOUR).contains(&self.meeting_notice.as_secs()), "calendar.meeting_notice", "1min to 1h"),
            ((1..=2500).contains(&self.page_size), "calendar.page_size", "1 to 2500"),
            (self.min_interval <= self.max_interval, "calendar.min_interval", "at most calendar.max_interval"),
        ]
    }
}
