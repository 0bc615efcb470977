//! The endpoint's settings, the requests it received, and which it accepts.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use chrono::{DateTime, TimeDelta, Utc};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::bearer;
use super::errors::{Dialect, Refusal};
use super::mind::{self, Mode};
use super::reading::{self, Prompt};
use crate::quota::Window;

/// Behaviour of the endpoint: POST any of it to `/admin/models`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Absent: no key is required.
    pub key: Option<String>,
    pub models: Vec<String>,
    pub dialect: Dialect,
    pub mode: Mode,
    /// Accepted types of `response_format`.
    pub formats: Vec<String>,
    /// A word in a document, and the name of the project that such documents belong to (`none`: to none of them).
    pub truth: BTreeMap<String, String>,
    /// Probability of the right answer.
    pub right: f64,
    /// Maximum number of tokens of prompt and answer together.
    pub context: u64,
    /// Tokens left on the account; absent: unlimited.
    pub credit: Option<u64>,
    pub requests_per_minute: Option<u64>,
    /// Whether answers include their usage.
    pub usage: bool,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            key: None,
            models: vec!["small".into()],
            dialect: Dialect::default(),
            mode: Mode::default(),
            formats: ["text", "json_object", "json_schema"].map(str::to_owned).into(),
            truth: BTreeMap::new(),
            right: 1.0,
            context: 8_192,
            credit: None,
            requests_per_minute: None,
            usage: true,
        }
    }
}

/// Validity of the key of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Key {
    Good,
    Bad,
    Absent,
}

/// One request.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    pub at: DateTime<Utc>,
    pub key: Key,
    /// As received.
    pub body: Value,
    pub status: u16,
    pub prompt_tokens: u64,
    pub completion_tokens: u64,
    /// What the model said.
    pub content: Option<String>,
}

pub struct Store {
    pub control: Control,
    pub ledger: Vec<Entry>,
    minute: Window,
    chance: StdRng,
}

impl Default for Store {
    fn default() -> Self {
        let chance = StdRng::seed_from_u64(20_261_129);
        Self { control: Control::default(), ledger: Vec::new(), minute: Window::default(), chance }
    }
}

impl Store {
    pub fn key_of(&self, headers: &HeaderMap) -> Key {
        match (self.control.key.as_deref(), bearer(headers)) {
            (None, _) => Key::Good,
            (Some(key), Some(given)) if key == given => Key::Good,
            (Some(_), Some(_)) => Key::Bad,
            (Some(_), None) => Key::Absent,
        }
    }

    /// The completion, or the reason for a refusal. Counts are added to the entry.
    pub fn answer(&mut self, entry: &mut Entry, now: DateTime<Utc>) -> Result<Value, Refusal> {
        if let Some(most) = self.control.requests_per_minute {
            let full = |remaining: TimeDelta| Refusal::RateLimited(remaining.num_seconds().max(1).unsigned_abs());
            self.minute.spend(1, most, TimeDelta::minutes(1), now).map_err(full)?;
        }
        let body = &entry.body;
        let prompt = Prompt::of(body).ok_or(Refusal::Malformed)?;
        let model = body["model"].as_str().unwrap_or_default().to_owned();
        if !self.control.models.contains(&model) {
            return Err(Refusal::NoModel(model));
        }
        let format = body["response_format"]["type"].as_str().unwrap_or("text");
        let refuses_schema = self.control.mode == Mode::SchemaRefused && format == "json_schema";
        if refuses_schema || !self.control.formats.iter().any(|known| known == format) {
            return Err(Refusal::NoFormat(format.to_owned()));
        }
        let most_answer = body["max_tokens"].as_u64().unwrap_or(1_024);
        let prompt_tokens = reading::tokens(&prompt.system) + reading::tokens(&prompt.user) + 16;
        if prompt_tokens + most_answer > self.control.context {
            return Err(Refusal::TooLong { asked: prompt_tokens + most_answer, most: self.control.context });
        }
        if self.control.credit == Some(0) {
            return Err(Refusal::NoCredit);
        }
        let said = mind::say(&self.control, &prompt, format == "json_schema", &mut self.chance);
        let (content, is_cut) = reading::cut(&said.content, most_answer);
        let completion_tokens = reading::tokens(&content);
        self.control.credit = self.control.credit.map(|remaining| remaining.saturating_sub(prompt_tokens + completion_tokens));
        let finish = if is_cut || said.is_cut { "length" } else { "stop" };
        let mut completion = json!({
            "id": format!("chatcmpl-{:08x}", self.ledger.len()), "object": "chat.completion", "created": now.timestamp(), "model": model,
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": content, "refusal": null }, "logprobs": null, "finish_reason": finish }],
        });
        if self.control.usage {
            let total = prompt_tokens + completion_tokens;
            completion["usage"] =
                json!({ "prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total });
        }
        (entry.prompt_tokens, entry.completion_tokens, entry.content) = (prompt_tokens, completion_tokens, Some(content));
        Ok(completion)
    }
}
