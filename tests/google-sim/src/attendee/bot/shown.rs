//! A bot as the API shows it.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{Bot, Event};
use crate::attendee::course::Transcript;
use crate::attendee::speech::{self, Utterance};

impl Bot {
    pub fn transcription_state(&self, now: DateTime<Utc>) -> &'static str {
        // The first utterance starts it. If no one speaks, it never starts.
        if !speech::began(self, now) {
            return "not_started";
        }
        let has_failed = self.course.transcript == Transcript::Failed && self.is_done();
        match self.transcribed_at() {
            _ if has_failed => "failed",
            Some(at) if at <= now => "complete",
            _ => "in_progress",
        }
    }

    fn recording_state(&self) -> &'static str {
        match self.state {
            _ if self.recorded_from.is_none() => "not_started",
            "joined_recording" | "leaving" => "in_progress",
            "fatal_error" => "failed",
            _ => "complete",
        }
    }

    /// The reported state: the course may override it.
    pub fn shown_state(&self) -> &str {
        let odd = self.course.state.as_deref().filter(|_| !matches!(self.state, "scheduled" | "staged") && !self.is_done());
        odd.unwrap_or(self.state)
    }

    /// Utterances available by now.
    pub fn utterances(&self, now: DateTime<Utc>) -> Vec<Utterance> {
        let gone = self.state == "data_deleted";
        speech::utterances(self).into_iter().filter(|utterance| !gone && utterance.updated_at(now).is_some()).collect()
    }

    /// Its representation in the API.
    pub fn shown(&self, now: DateTime<Utc>) -> Value {
        let events: Vec<Value> = self.events.iter().map(Event::shown).collect();
        json!({ "id": self.id, "metadata": self.metadata, "meeting_url": self.meeting_url, "state": self.shown_state(), "events": events,
            "transcription_state": self.transcription_state(now), "recording_state": self.recording_state(),
            "join_at": self.join_at.map(time), "deduplication_key": self.deduplication_key })
    }
}

impl Event {
    fn shown(&self) -> Value {
        let mut shown = json!({ "type": self.kind, "created_at": time(self.at) });
        if let Some(sub_type) = self.sub_type {
            shown["sub_type"] = json!(sub_type);
        }
        shown
    }
}

/// A time in the API's format.
pub fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(if at.timestamp_subsec_micros() == 0 { SecondsFormat::Secs } else { SecondsFormat::Micros }, true)
}
