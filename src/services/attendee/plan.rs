//! A plan: meetings, their bots, and the steps from one to the other. `planner` makes it. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::bot::SCHEDULED;
use crate::state::BotState;

/// The identity of an occurrence in its calendar. It does not change when the occurrence is moved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// `streams.id`
    pub stream: i64,
    /// The event, or its series.
    pub id: String,
    /// Its original start in the series; the epoch for a single event.
    pub original_start: DateTime<Utc>,
}

/// How a user takes part in an event. Addresses are in lower case.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The identity of the event, the same in all calendars (see `audience::identity`).
    pub identity: String,
    /// The user's addresses in it.
    pub goes_by: Vec<String>,
    /// The participants, by the organizer's own copy of the event, or else by the copy in the user's calendar.
    pub guests: Arc<BTreeSet<String>>,
    /// `guests` is from the organizer's own copy.
    pub is_decided: bool,
    /// The user organizes the event, or has accepted the invitation.
    pub is_sure: bool,
}

impl Part {
    /// Whether the user is the organizer or an attendee.
    pub fn takes_part(&self) -> bool {
        self.is_in(&self.guests)
    }

    /// Whether the user is one of these.
    pub fn is_in(&self, guests: &BTreeSet<String>) -> bool {
        self.goes_by.iter().any(|address| guests.contains(address))
    }
}

/// An occurrence for which a user wants a bot.
#[derive(Debug, Clone)]
pub struct Occurrence {
    pub user: Uuid,
    pub event: Event,
    /// `meetings.id`
    pub meeting: Uuid,
    /// The event of its row in `meetings`.
    pub shown_by: String,
    pub title: Option<String>,
    pub link: String,
    pub room: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    /// `setting` or `address`
    pub wanted_by: &'static str,
    /// The project that the user names, if any.
    pub project: Option<String>,
    /// How the user takes part.
    pub part: Part,
    /// Identifies the users who share the bot (`audience::assign`).
    pub audience: String,
}

/// One real meeting, regardless of the number of calendars that show it: one room, one time, and the participants of one event.
#[derive(Debug, Clone)]
pub struct Meeting {
    pub project: Uuid,
    pub room: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub link: String,
    pub title: Option<String>,
    pub audience: String,
    /// At least one.
    pub occurrences: Vec<Occurrence>,
}

impl Meeting {
    /// The users its bot is for.
    pub fn users(&self) -> BTreeSet<Uuid> {
        self.occurrences.iter().map(|one| one.user).collect()
    }
}

/// A bot that exists, or that was requested.
#[derive(Debug, Clone)]
pub struct ExistingBot {
    /// `attendee_bots.id`
    pub id: Uuid,
    pub project: Uuid,
    pub dedup_key: String,
    pub state: BotState,
    pub room: String,
    pub start: DateTime<Utc>,
    pub title: Option<String>,
    pub bot_id: Option<String>,
    pub raw_state: Option<String>,
    /// Attendee has refused to create it, and is not asked again before then.
    pub refused_until: Option<DateTime<Utc>>,
    /// Identifies the users who share it; `None` if an older version without audiences requested it.
    pub audience: Option<String>,
    /// The users and events it is for.
    pub links: BTreeSet<(Uuid, Event)>,
}

impl ExistingBot {
    /// Whether it has not joined yet, by its last known state.
    pub fn is_ahead(&self) -> bool {
        self.state == BotState::Creating || (self.state == BotState::Open && self.raw_state.as_deref() == Some(SCHEDULED))
    }

    /// Whether it must be moved to another time or room for its meeting.
    pub fn is_elsewhere(&self, meeting: &Meeting) -> bool {
        self.is_ahead() && (self.start != meeting.start || self.room != meeting.room)
    }

    /// The users it is for.
    pub fn users(&self) -> BTreeSet<Uuid> {
        self.links.iter().map(|(user, _)| *user).collect()
    }
}

/// Why a bot is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    Unwanted,
    /// Its meeting moved to this time, beyond the window. It gets a new bot once the window reaches it.
    MovedTo(DateTime<Utc>),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Unwanted => f.write_str("it is no longer wanted"),
            Self::MovedTo(at) => {
                write!(
                    f,
                    "the meeting moved to {}, beyond attendee.window; it gets a bot when its time comes",
                    at.format("%F %R UTC")
                )
            }
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone)]
pub enum Step {
    Create(Meeting),
    /// Keep a bot that exists or was requested: find it again, update its users, and move it if the meeting was moved.
    Keep(ExistingBot, Meeting),
    /// Remove a bot that no meeting in the window needs.
    Remove(ExistingBot, Why),
}

impl Step {
    /// When its meeting begins.
    pub fn start(&self) -> DateTime<Utc> {
        match self {
            Self::Create(meeting) | Self::Keep(_, meeting) => meeting.start,
            Self::Remove(bot, _) => bot.start,
        }
    }

    /// The step for display.
    pub fn shown(&self) -> Value {
        let of = |meeting: &Meeting| {
            let ids: Vec<Uuid> = meeting.occurrences.iter().map(|one| one.meeting).collect();
            let whys: Vec<&str> = meeting.occurrences.iter().map(|one| one.wanted_by).collect();
            json!({ "meeting_ids": ids, "title": meeting.title, "start_at": meeting.start, "wanted_by": whys })
        };
        let (action, mut shown) = match self {
            Self::Create(meeting) => ("create", of(meeting)),
            Self::Keep(bot, meeting) if bot.is_elsewhere(meeting) => ("move", of(meeting)),
            Self::Keep(_, meeting) => ("keep", of(meeting)),
            Self::Remove(bot, why) => ("remove", json!({ "title": bot.title, "start_at": bot.start, "why": why.to_string() })),
        };
        shown["action"] = json!(action);
        if let Self::Keep(ExistingBot { bot_id, .. }, _) | Self::Remove(ExistingBot { bot_id, .. }, _) = self {
            shown["bot_id"] = json!(bot_id);
        }
        shown
    }
}

/// The deduplication key of the bot for an audience in a room at a time. `turn` counts the bots with the same three, from 0; a further one is
/// requested only if the meeting returns to a time at which it has had a bot.
pub fn dedup_key(room: &str, start: DateTime<Utc>, audience: &str, turn: u32) -> String {
    let digest = Sha256::digest(format!("{room}\n{}\n{audience}", start.to_rfc3339_opts(SecondsFormat::Secs, true)));
    let key = format!("syncctl-{}", HEXLOWER.encode(&digest[..16]));
    if turn == 0 { key } else { format!("{key}-{turn}") }
}
