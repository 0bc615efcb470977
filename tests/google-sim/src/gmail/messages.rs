//! `messages.list` and `messages.get`.

use std::sync::atomic::Ordering;

use axum::response::Response;
use data_encoding::BASE64URL;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ask::{Ask, not_found, token};
use super::labels::{SPAM, TRASH};
use super::payload::{self, Format};
use super::query;
use crate::place::{Refusal, bad};
use crate::schema;
use crate::state::{User, lock};

/// The last message of a page. Its time, not its number: concurrent mail does not shift pages.
#[derive(Serialize, Deserialize)]
struct Place {
    at: i64,
    id: u64,
}

pub async fn list(ask: Ask) -> Response {
    ask.answer(("messages.list", 5), &schema::MESSAGES, |user| page(&ask, user)).await
}

fn page(ask: &Ask, user: &User) -> Result<Value, Refusal> {
    let limit = ask.limit()?;
    let window = query::window(ask.get("q").unwrap_or_default(), ask.world.now()).map_err(|word| bad("q", &word))?;
    let place = ask.place::<Place>()?;
    let mailbox = lock(&user.mailbox);
    let wanted = ask
        .all("labelIds")
        .map(|id| mailbox.labels.find(id).ok_or_else(|| bad("labelIds", id)))
        .collect::<Result<Vec<_>, _>>()?;
    // Spam and trash are left out, unless requested in either way.
    let hidden: Vec<u16> = match ask.get("includeSpamTrash") {
        Some("true") => Vec::new(),
        _ => [SPAM, TRASH].into_iter().filter(|label| !wanted.contains(label)).collect(),
    };
    let end = (window.before, 0);
    let before = place.as_ref().map_or(end, |place| end.min((place.at, place.id)));
    let mut rest = mailbox
        .newest(before, window.after)
        .filter(|(_, _, message)| wanted.iter().all(|label| message.labels.contains(label)))
        .filter(|(_, _, message)| !hidden.iter().any(|label| message.labels.contains(label)))
        .peekable();
    let mut last = Place { at: before.0, id: before.1 };
    let limit = if place.is_none() && ask.comes_empty() { 0 } else { limit };
    let mut messages = Vec::new();
    while let Some((at, id, message)) = rest.next_if(|_| messages.len() < limit) {
        last = Place { at, id };
        messages.push(json!({ "id": format!("{id:016x}"), "threadId": format!("{:016x}", message.thread) }));
    }
    let more = rest.peek().is_some();
    let mut body = Map::new();
    // Google's estimate is inaccurate too: for a long list it is 201.
    let estimate = if more { 201.max(messages.len()) } else { messages.len() };
    if !messages.is_empty() {
        body.insert("messages".into(), Value::Array(messages));
    }
    if more {
        body.insert("nextPageToken".into(), json!(token(&last)));
    }
    body.insert("resultSizeEstimate".into(), json!(estimate));
    Ok(Value::Object(body))
}

pub async fn get(ask: Ask) -> Response {
    ask.answer(("messages.get", 20), &schema::MESSAGE, |user| one(&ask, user)).await
}

fn one(ask: &Ask, user: &User) -> Result<Value, Refusal> {
    let format = match ask.get("format").map(str::to_ascii_lowercase).as_deref() {
        None | Some("full") => Format::Full,
        Some("metadata") => Format::Metadata,
        Some("minimal") => Format::Minimal,
        Some("raw") => Format::Raw,
        Some(other) => return Err(bad("format", other)),
    };
    let id = ask.message().ok_or_else(not_found)?;
    let (message, labels) = {
        let mailbox = lock(&user.mailbox);
        let message = mailbox.get(id).ok_or_else(not_found)?.clone();
        let labels = mailbox.labels.ids(&message.labels);
        (message, labels)
    };
    let text = message.bytes();
    let mut body = json!({ "id": format!("{id:016x}"), "threadId": format!("{:016x}", message.thread) });
    if !labels.is_empty() {
        body["labelIds"] = json!(labels);
    }
    let wanted: Vec<&str> = ask.all("metadataHeaders").collect();
    let (snippet, payload) = payload::of(&text, format, &wanted, ask.world.decoded_headers.load(Ordering::Relaxed));
    body["snippet"] = json!(snippet);
    if let Some(payload) = payload {
        body["payload"] = payload;
    }
    if format == Format::Raw {
        body["raw"] = json!(BASE64URL.encode(&text));
    }
    body["sizeEstimate"] = json!(text.len());
    body["historyId"] = json!(message.history.to_string());
    body["internalDate"] = json!(message.at.to_string());
    Ok(body)
}
