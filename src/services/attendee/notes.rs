//! A run's notes on bots, in addition to its counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

/// Notes of one run.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// Unknown states, each with its bots.
    strange: BTreeMap<String, Vec<String>>,
    /// Bots that failed or are not allowed to record, each with the reason.
    troubled: BTreeMap<String, String>,
    /// Bots that could not be read, each with the reason.
    unread: BTreeMap<String, String>,
    /// The decision on each meeting.
    meetings: Vec<Value>,
}

impl Notes {
    /// Notes a bot in an unknown state.
    pub fn strange(&self, bot: &str, state: &str) {
        self.add(|noted| noted.strange.entry(state.to_owned()).or_default().push(bot.to_owned()));
    }

    /// Notes a bot that failed or is not allowed to record.
    pub fn problem(&self, bot: &str, why: &str) {
        self.add(|noted| drop(noted.troubled.insert(bot.to_owned(), why.to_owned())));
    }

    /// Notes a bot that could not be read.
    pub fn unread(&self, bot: &str, why: &str) {
        self.add(|noted| drop(noted.unread.insert(bot.to_owned(), why.to_owned())));
    }

    /// Notes the decision on a meeting.
    pub fn meeting(&self, decided: Value) {
        self.add(|noted| noted.meetings.push(decided));
    }

    fn add(&self, add: impl FnOnce(&mut Noted)) {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns all notes; `None` if there are none.
    pub fn to_json(&self) -> Option<Value> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut notes = Map::new();
        if !noted.strange.is_empty() {
            notes.insert("unknown_states".into(), json!(noted.strange));
        }
        if !noted.troubled.is_empty() {
            notes.insert("troubled".into(), json!(noted.troubled));
        }
        if !noted.unread.is_empty() {
            notes.insert("not_read".into(), json!(noted.unread));
        }
        if !noted.meetings.is_empty() {
            notes.insert("meetings".into(), json!(noted.meetings));
        }
        (!notes.is_empty()).then_some(Value::Object(notes))
    }
}
