//! Classifies Attendee's error responses. Pure.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Class, Failure};
use crate::http::{retry_after, without_addresses};

/// Phrases in Attendee's errors, which have no codes, and the reason they map to (`Failure::reason`).
const REASONS: [(&[&str], &str); 3] = [
    (&["Deduplication key already in use"], KEY_TAKEN),
    (&["join_at cannot be in the past"], PAST),
    // "Bot is in state … but …"
    (&["Bot is in state", "scheduled state"], TOO_LATE),
];
/// An active bot has the deduplication key.
const KEY_TAKEN: &str = "key_taken";
/// The time at which a bot should join has passed.
const PAST: &str = "join_at_past";
/// The bot to change is no longer in the scheduled state.
const TOO_LATE: &str = "not_scheduled";

/// Phrases of internal errors, which Attendee sends with status 400: "An error occurred while creating the bot. Error ID: …".
const INTERNAL: [&str; 2] = ["An error occurred while", "Error ID"];
/// Advice if another server answers.
const ROOT: &str = "this is not an answer from Attendee: check attendee.root, which must be its origin";

/// Classifies an error response. `what` names the method; `retry` is the `Retry-After` header; `now` converts points in time to durations.
pub fn classify(what: &str, status: u16, retry: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Failure {
    // A front end answers with an HTML page; then the status alone decides.
    let said = serde_json::from_slice::<Value>(body).map(|said| texts(&said).join("; ")).unwrap_or_default();
    let internal = INTERNAL.iter().all(|part| said.contains(part));
    let class = match status {
        // Only an answer from Attendee itself makes a key invalid.
        401 | 403 if !said.is_empty() => Class::AuthRevoked,
        404 if !said.is_empty() => Class::Gone,
        // A front end that cannot reach Attendee answers like this too; it says nothing about the bot.
        401 | 403 | 404 | 407 => Class::Transient,
        429 => Class::RateLimited,
        408 | 500..=599 => Class::Transient,
        400 if internal => Class::Transient,
        _ => Class::Permanent,
    };
    let mut message = format!("{what}: HTTP {status}");
    if !said.is_empty() {
        message.push_str(&format!(": {}", without_addresses(&said)));
    }
    if matches!(status, 300..=399 | 401 | 403 | 404 | 405 | 407) && said.is_empty() {
        message.push_str(&format!("; {ROOT}"));
    }
    if class == Class::AuthRevoked {
        message.push_str("; Attendee refuses the project's key: set a new one with `syncctl attendee project add`");
    }
    let reason = REASONS.iter().find(|(parts, _)| parts.iter().all(|part| said.contains(part))).map_or("", |(_, reason)| reason);
    let retry_after = retry.and_then(|value| retry_after(value, now));
    Failure { status: Some(status), reason: reason.to_owned(), retry_after, ..Failure::new(class, message) }
}

/// The texts of `{"error": …}`, `{"detail": …}`, or of the invalid fields, each with its problem.
fn texts(said: &Value) -> Vec<String> {
    match said {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| {
                let plain = matches!(name.as_str(), "error" | "detail" | "non_field_errors");
                texts(value).into_iter().map(move |text| if plain { text } else { format!("{name}: {text}") })
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Whether an active bot has the key.
pub fn is_key_taken(failure: &Failure) -> bool {
    failure.class == Class::Permanent && failure.reason == KEY_TAKEN
}

/// Whether the time at which the bot should join has passed by Attendee's clock.
pub fn is_past(failure: &Failure) -> bool {
    failure.class == Class::Permanent && failure.reason == PAST
}

/// Whether the bot is no longer in the scheduled state.
pub fn is_too_late(failure: &Failure) -> bool {
    failure.class == Class::Permanent && failure.reason == TOO_LATE
}

/// An HTML page instead of the answer to a call.
pub fn no_attendee(what: &str) -> Failure {
    Failure::new(Class::Transient, format!("{what}: the answer is an HTML page; {ROOT}"))
}

/// A missing key: the project was removed during the run.
pub fn no_key(project: Uuid) -> Failure {
    Failure::new(Class::AuthRevoked, format!("project {project} has no key: add one with `syncctl attendee project add`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(status: u16, body: &str) -> Failure {
        classify("bots.create", status, None, body.as_bytes(), Utc::now())
    }

    #[test]
    fn each_answer_has_its_class() {
        let table = [
            (302, Class::Permanent),
            (401, Class::Transient),
            (403, Class::Transient),
            (407, Class::Transient),
            (404, Class::Transient),
            (429, Class::RateLimited),
            (502, Class::Transient),
            (408, Class::Transient),
            (400, Class::Permanent),
            (402, Class::Permanent),
        ];
        for (status, class) in table {
            assert_eq!(failure(status, "<html>").class, class, "{status}");
        }
        for status in [401, 403] {
            assert_eq!(failure(status, r#"{"detail":"Invalid or disabled API key"}"#).class, Class::AuthRevoked);
        }
        for status in [302, 403, 404] {
            assert!(failure(status, "<html>").message.contains("attendee.root"), "{status}");
        }
        let internal = r#"{"error":"An error occurred while creating the bot. Error ID: 3f6d1c52-0000"}"#;
        assert_eq!(failure(400, internal).class, Class::Transient);
        assert_eq!(failure(404, r#"{"detail":"Not found."}"#).class, Class::Gone);
        let waits = classify("bots.list", 429, Some("7"), b"", Utc::now());
        assert_eq!(waits.retry_after, Some(std::time::Duration::from_secs(7)));
        assert!(failure(401, r#"{"detail":"Invalid token"}"#).message.contains("syncctl attendee project add"));
    }

    #[test]
    fn keys_in_use_and_running_bots_are_distinguished_from_other_refusals() {
        let taken = r#"{"error":"Deduplication key already in use. A bot in a non-terminal state with this deduplication key already exists."}"#;
        assert!(is_key_taken(&failure(400, taken)));
        assert!(!is_key_taken(&failure(500, taken)));
        let late = r#"{"error":"Bot is in state joining but can only be deleted when in scheduled state"}"#;
        assert!(is_too_late(&failure(400, late)));
        let wrong = failure(400, r#"{"meeting_url":["Invalid meeting URL for ann@example.com"]}"#);
        assert!(!is_key_taken(&wrong) && !is_too_late(&wrong) && !is_past(&wrong));
        assert!(is_past(&failure(400, r#"{"join_at":["join_at cannot be in the past"]}"#)));
        assert_eq!(wrong.message, "bots.create: HTTP 400: meeting_url: Invalid meeting URL for <address>");
    }
}
