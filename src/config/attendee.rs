//! Attendee settings.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DAY, HOUR, MINUTE, is_origin};

/// Meeting bots and the connection to Attendee.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attendee {
    /// Origin of the API. Empty: the hosted service.
    pub root: String,
    /// Name of a bot in the meeting.
    pub bot_name: String,
    /// How far ahead bots are scheduled for meetings.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub window: Duration,
    /// Whether meetings in calendars that a user only overlays (shared, or another person's) get bots too. `false`: only meetings the user is invited to.
    pub overlaid_calendars: bool,
    /// Maximum number of bots per user and UTC day.
    pub bots_per_day: u32,
    /// Maximum number of bots per Attendee project and UTC day.
    pub project_bots_per_day: u32,
    /// Maximum number of bots per meeting series and UTC day.
    pub series_bots_per_day: u32,
    /// How long before the start of a meeting its bot joins.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub join_before: Duration,
    /// Interval between polls of a project with an active bot or a pending transcript.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub live_interval: Duration,
    /// Maximum interval between polls of any other project. Usually the next bot joins earlier.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub idle_interval: Duration,
    /// How long to wait for a transcript after its bot has ended.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub transcript_patience: Duration,
}

impl Default for Attendee {
    fn default() -> Self {
        Self {
            root: String::new(),
            bot_name: "Notetaker".into(),
            window: Duration::from_secs(DAY),
            overlaid_calendars: false,
            bots_per_day: 30,
            project_bots_per_day: 2000,
            series_bots_per_day: 10,
            join_before: Duration::from_secs(2 * MINUTE),
            live_interval: Duration::from_secs(MINUTE),
            idle_interval: Duration::from_secs(HOUR),
            transcript_patience: Duration::from_secs(DAY),
        }
    }
}

impl Attendee {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 8] {
        [
            (self.root.is_empty() || is_origin(&self.root), "attendee.root", "an origin such as http://127.0.0.1:8080"),
            (!self.bot_name.trim().is_empty(), "attendee.bot_name", "a name"),
            // Attendee accepts join times up to three years ahead.
            (self.window <= Duration::from_secs(30 * DAY), "attendee.window", "at most 30days"),
            (self.bots_per_day > 0, "attendee.bots_per_day", "at least 1"),
            (self.project_bots_per_day > 0, "attendee.project_bots_per_day", "at least 1"),
            (self.series_bots_per_day > 0, "attendee.series_bots_per_day", "at least 1"),
            (self.join_before <= Duration::from_secs(HOUR), "attendee.join_before", "at most 1h"),
            (
                !self.live_interval.is_zero() && self.live_interval <= self.idle_interval,
                "attendee.live_interval",
                "more than 0s and at most attendee.idle_interval",
            ),
        ]
    }
}
