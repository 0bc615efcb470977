//! A bot as Attendee describes it, and the meaning of its states. Pure.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::transcript::{Participant, Utterance};
use crate::db::items::Poison;
use crate::engine::Item;

/// States of a bot that is not finished, by Attendee's names.
pub const LIVING: [&str; 13] = [
    SCHEDULED,
    "staged",
    "ready",
    "joining",
    "waiting_room",
    "joined_not_recording",
    "joined_recording",
    "joined_recording_paused",
    "joined_recording_permission_denied",
    "joining_breakout_room",
    "leaving_breakout_room",
    "leaving",
    "post_processing",
];
/// The state in which a bot can be moved and deleted.
pub const SCHEDULED: &str = "scheduled";

/// A bot (`GET /bots/{id}`).
#[derive(Debug, Clone, Deserialize)]
pub struct Bot {
    pub id: String,
    pub state: String,
    #[serde(default)]
    pub transcription_state: Option<String>,
    #[serde(default)]
    pub recording_state: Option<String>,
    #[serde(default)]
    events: Vec<Event>,
}

/// An event of a bot.
#[derive(Debug, Clone, Deserialize)]
struct Event {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    sub_type: Option<String>,
    created_at: DateTime<Utc>,
}

/// An item of a page.
pub enum Change {
    Bot(Bot, Heard),
    /// Attendee no longer has the bot.
    Gone,
}

/// What the bot has heard of the meeting.
pub enum Heard {
    /// Not requested.
    Unasked,
    /// New utterances, up to a time by the local clock.
    News(Vec<Utterance>, DateTime<Utc>),
    /// All utterances.
    Transcript(Transcript),
    /// Nothing more will come, and why.
    Over(&'static str),
    /// Nothing has come yet, and why; utterances may still come.
    Late(&'static str),
    /// The transcript was deleted at Attendee, so it is not kept here either.
    Deleted,
}

/// A transcript.
pub struct Transcript {
    pub said: Vec<Utterance>,
    /// The participants.
    pub present: Vec<Participant>,
    /// Why something is missing.
    pub note: Option<&'static str>,
    /// Whether no better version will come.
    pub is_final: bool,
}

impl Bot {
    /// Decodes a bot.
    pub fn read(raw: &RawValue) -> Result<Self, Poison> {
        let bot: Self = serde_json::from_str(raw.get()).map_err(|error| Poison::of(raw, format!("not a bot: {error}")))?;
        if bot.id.is_empty() { Err(Poison::of(raw, "not a bot: no id")) } else { Ok(bot) }
    }

    /// The time of its last event, if it has any.
    pub fn changed_at(&self) -> Option<DateTime<Utc>> {
        self.events.iter().map(|event| event.created_at).max()
    }

    /// Whether its meeting is over for it.
    pub fn is_over(&self) -> bool {
        matches!(self.state.as_str(), "ended" | "fatal_error" | "data_deleted")
    }

    /// Whether it failed.
    pub fn has_failed(&self) -> bool {
        self.state == "fatal_error"
    }

    /// Why it failed or is not allowed to record: type and sub-type of the last event that gives a reason, such as
    /// `could_not_join_meeting: waiting_room_timeout_exceeded`.
    pub fn reason(&self) -> Option<String> {
        let kinds = ["fatal_error", "could_not_join_meeting", "recording_permission_denied", "recording_permission_granted"];
        let last = self.events.iter().rfind(|event| kinds.contains(&event.kind.as_str()))?;
        if !self.has_failed() && last.kind != "recording_permission_denied" {
            return None;
        }
        Some(match &last.sub_type {
            Some(sub_type) => format!("{}: {sub_type}", last.kind),
            None => last.kind.clone(),
        })
    }

    /// Whether utterances may have come by now.
    pub fn hears(&self) -> bool {
        matches!(
            self.state.as_str(),
            "joined_recording"
                | "joined_recording_paused"
                | "joining_breakout_room"
                | "leaving_breakout_room"
                | "leaving"
                | "post_processing"
        )
    }

    /// The value for `meetings.bot_status`; an unknown state is returned unchanged.
    pub fn status(&self) -> &str {
        status(&self.state).unwrap_or(&self.state)
    }

    /// Whether its state is unknown to this version of syncctl.
    pub fn is_strange(&self) -> bool {
        status(&self.state).is_none()
    }
}

fn status(state: &str) -> Option<&'static str> {
    Some(match state {
        SCHEDULED | "staged" | "ready" | "joining" | "waiting_room" => "bot_scheduled",
        "joined_not_recording" | "joined_recording_permission_denied" => "bot_joined",
        "joined_recording" | "joined_recording_paused" | "joining_breakout_room" | "leaving_breakout_room" | "leaving" => {
            "transcribing"
        }
        "post_processing" => "post_processing",
        "ended" | "data_deleted" => "completed",
        "fatal_error" => "failed",
        _ => return None,
    })
}

/// Decodes a bot, without anything heard.
pub fn decode(raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    let bot = Bot::read(&raw)?;
    Ok(item(bot, raw, Heard::Unasked))
}

/// Creates an item of a bot and what it has heard.
pub fn item(bot: Bot, raw: Box<RawValue>, heard: Heard) -> Item<Change> {
    Item { id: bot.id.clone(), changed_at: bot.changed_at(), raw, change: Change::Bot(bot, heard) }
}

/// Creates an item for a bot that no longer exists.
pub fn gone(id: &str) -> anyhow::Result<Item<Change>> {
    let raw = serde_json::value::to_raw_value(&serde_json::json!({ "id": id }))?;
    Ok(Item { id: id.to_owned(), changed_at: None, raw, change: Change::Gone })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bot(state: &str) -> Bot {
        Bot { id: "bot_1".into(), state: state.into(), transcription_state: None, recording_state: None, events: Vec::new() }
    }

    #[test]
    fn every_state_maps_to_a_status_and_unknown_ones_are_kept() {
        for state in LIVING.into_iter().chain(["ended", "fatal_error", "data_deleted"]) {
            assert!(!bot(state).is_strange(), "{state}");
        }
        let table = [
            ("waiting_room", "bot_scheduled"),
            ("joined_recording_permission_denied", "bot_joined"),
            ("leaving", "transcribing"),
            ("post_processing", "post_processing"),
            ("data_deleted", "completed"),
            ("fatal_error", "failed"),
        ];
        for (state, status) in table {
            assert_eq!(bot(state).status(), status);
        }
        assert!(bot("dancing").is_strange());
        assert_eq!(bot("dancing").status(), "dancing");
        assert!(!bot("dancing").is_over(), "a bot in an unknown state may still be active");
    }

    #[test]
    fn the_reason_comes_from_the_last_event_that_has_one() {
        let reason = |state: &str, events: &str| {
            let text = format!(r#"{{"id":"bot_1","state":"{state}","events":[{events}]}}"#);
            serde_json::from_str::<Bot>(&text).expect("a bot").reason()
        };
        let event =
            |kind: &str, sub: &str| format!(r#"{{"type":"{kind}","sub_type":{sub},"created_at":"2026-11-28T10:00:00Z"}}"#);
        let timeout = event("could_not_join_meeting", r#""waiting_room_timeout_exceeded""#);
        assert_eq!(reason("fatal_error", &timeout).as_deref(), Some("could_not_join_meeting: waiting_room_timeout_exceeded"));
        assert_eq!(reason("fatal_error", &event("fatal_error", "null")).as_deref(), Some("fatal_error"));
        assert_eq!(reason("ended", &event("leave_requested", r#""auto_leave_silence""#)), None);
        let denied = event("recording_permission_denied", r#""host_denied_permission""#);
        assert_eq!(reason("ended", &denied).as_deref(), Some("recording_permission_denied: host_denied_permission"));
        let granted = event("recording_permission_granted", "null");
        assert_eq!(reason("joined_recording", &format!("{denied},{granted}")).as_deref(), None);
    }

    #[test]
    fn a_bot_without_id_or_state_is_quarantined() {
        for text in [r#"{"id":"","state":"ended"}"#, r#"{"id":"bot_1"}"#, "[]"] {
            assert!(decode(RawValue::from_string(text.into()).expect("JSON")).is_err(), "{text}");
        }
    }
}
