//! What a run has to tell of bots besides its figures.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

/// Notes of one run.
#[derive(Debug, Default)]
pub struct Notes(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    /// States that are not known here, each with its bots.
    strange: BTreeMap<String, Vec<String>>,
    /// Bots that failed, or may not record, each with why.
    troubled: BTreeMap<String, String>,
    /// Bots that could not be read, each with why.
    unread: BTreeMap<String, String>,
    /// What was decided of each meeting.
    meetings: Vec<Value>,
}

impl Notes {
    /// A bot's state is not known here.
    pub fn strange(&self, bot: &str, state: &str) {
        self.add(|noted| noted.strange.entry(state.to_owned()).or_default().push(bot.to_owned()));
    }

    /// A bot failed, or may not record.
    pub fn trouble(&self, bot: &str, why: &str) {
        self.add(|noted| drop(noted.troubled.insert(bot.to_owned(), why.to_owned())));
    }

    /// A bot could not be read.
    pub fn unread(&self, bot: &str, why: &str) {
        self.add(|noted| drop(noted.unread.insert(bot.to_owned(), why.to_owned())));
    }

    /// What was decided of a meeting.
    pub fn meeting(&self, decided: Value) {
        self.add(|noted| noted.meetings.push(decided));
    }

    fn add(&self, add: impl FnOnce(&mut Noted)) {
        add(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// All of it; `None`: nothing.
    pub fn to_json(&self) -> Option<Value> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = Map::new();
        if !noted.strange.is_empty() {
            told.insert("unknown_states".into(), json!(noted.strange));
        }
        if !noted.troubled.is_empty() {
            told.insert("troubled".into(), json!(noted.troubled));
        }
        if !noted.unread.is_empty() {
            told.insert("not_read".into(), json!(noted.unread));
        }
        if !noted.meetings.is_empty() {
            told.insert("meetings".into(), json!(noted.meetings));
        }
        (!told.is_empty()).then_some(Value::Object(told))
    }
}
