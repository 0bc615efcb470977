//! The settings of Attendee.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DAY, HOUR, MINUTE, is_origin};

/// Meeting bots, and how Attendee is reached.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Attendee {
    /// Origin of the API; empty: the hosted service.
    pub root: String,
    /// What a bot is called in the meeting.
    pub bot_name: String,
    /// How far ahead meetings get their bots.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub window: Duration,
    /// Whether meetings of calendars that a user only overlays (of somebody else, or shared) get bots too; `false`: only those to which the user is
    /// invited.
    pub overlaid_calendars: bool,
    /// Most bots for one user on one day of UTC.
    pub bots_per_day: u32,
    /// Most bots of one project on one day of UTC.
    pub project_bots_per_day: u32,
    /// Most bots for one series on one day of UTC.
    pub series_bots_per_day: u32,
    /// How long before the start a bot joins.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub join_before: Duration,
    /// Time between two polls of a project that has a bot at work, or a transcript to wait for.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub live_interval: Duration,
    /// Longest time between two polls of a project that has none: the next bot joins before that, mostly.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub idle_interval: Duration,
    /// How long a transcript is waited for after its bot has ended.
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
    /// Bounds that types cannot say: whether each holds, its key, and what it must be.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 8] {
        [
            (self.root.is_empty() || is_origin(&self.root), "attendee.root", "an origin such as http://127.0.0.1:8080"),
            (!self.bot_name.trim().is_empty(), "attendee.bot_name", "a name"),
            // Attendee takes no join time further ahead than three years.
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
