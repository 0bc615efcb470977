//! Stored events: JSON text with its etag, its deletion stub, and its time span.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::feed::{Feed, Span};
use crate::instances::{instant, last_start};

/// An end beyond every window, for endless series.
const FOREVER: i64 = i64::MAX;

/// Writes an event as a user's change does: new etag and updated time, with Google's fields filled in.
pub fn put(feed: &mut Feed, calendar: &str, mut event: Value, now: DateTime<Utc>) -> String {
    let id = event["id"].as_str().unwrap_or_default().to_owned();
    let millis = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let defaults = [
        ("kind", json!("calendar#event")),
        ("status", json!("confirmed")),
        ("htmlLink", json!(format!("https://calendar.example.com/event?eid={id}"))),
        ("created", json!(millis(now))),
        ("creator", json!({ "email": calendar })),
        ("organizer", json!({ "email": calendar, "self": true })),
        ("iCalUID", json!(format!("{id}@example.com"))),
        ("sequence", json!(0)),
        ("reminders", json!({ "useDefault": true })),
        ("eventType", json!("default")),
    ];
    for (name, value) in defaults {
        if event.get(name).is_none() {
            event[name] = value;
        }
    }
    if event.get("updated").is_none() || feed.get(&id).is_some() {
        event["updated"] = json!(millis(now));
    }
    event["etag"] = etag(feed, now);
    let cancelled = event["status"] == "cancelled";
    let stub = cancelled.then(|| stub_of(&event));
    let span = span(&event);
    feed.put_exception(&id, event.to_string().into(), stub, event["recurringEventId"].as_str(), span);
    id
}

/// Time of the calendar's last change.
pub fn updated(feed: &Feed, now: DateTime<Utc>) -> Value {
    let last: Option<Value> = feed.newest().and_then(|entry| serde_json::from_str(&entry.text).ok());
    let updated = last.map(|mut event| event["updated"].take()).filter(|updated| !updated.is_null());
    updated.unwrap_or_else(|| json!(now.to_rfc3339_opts(SecondsFormat::Millis, true)))
}

fn etag(feed: &Feed, now: DateTime<Utc>) -> Value {
    json!(format!("\"{}\"", now.timestamp_millis() * 1_000 + i64::try_from(feed.version() % 1_000).unwrap_or(0)))
}

/// Deletes an event, and with a series its exceptions. False: there is no such live event.
pub fn delete(feed: &mut Feed, id: &str, now: DateTime<Utc>) -> bool {
    let Some(entry) = feed.get(id).filter(|entry| entry.stub.is_none()) else { return false };
    let Ok(mut event) = serde_json::from_str::<Value>(&entry.text) else { return false };
    if event.get("recurrence").is_some() {
        let prefix = format!("{id}_");
        let exceptions: Vec<String> = feed.live().map(|(id, _)| id.to_string()).filter(|id| id.starts_with(&prefix)).collect();
        for exception in exceptions {
            delete(feed, &exception, now);
        }
    }
    event["status"] = json!("cancelled");
    put(feed, "", event, now);
    true
}

/// What Google returns for a deletion: little more than the ID, and for an exception its series.
pub fn stub_of(event: &Value) -> Arc<str> {
    let mut stub = json!({ "kind": "calendar#event", "etag": event["etag"], "id": event["id"], "status": "cancelled" });
    for name in ["recurringEventId", "originalStartTime"] {
        if let Some(value) = event.get(name) {
            stub[name] = value.clone();
        }
    }
    stub.to_string().into()
}

/// From the first start to the last end of an event, including its series. `None`: unknown, and the event is in every window.
pub fn span(event: &Value) -> Span {
    let start = instant(&event["start"])?;
    let end = instant(&event["end"]).unwrap_or(start);
    let rules: Vec<&str> = event["recurrence"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if rules.is_empty() {
        return Some((start.timestamp_millis(), end.timestamp_millis()));
    }
    let finite = rules.iter().any(|rule| rule.contains("COUNT=") || rule.contains("UNTIL="));
    let last = if finite { last_start(event) } else { None };
    let end = last.map_or(FOREVER, |last| (last + (end - start)).timestamp_millis());
    Some((start.timestamp_millis(), end))
}
