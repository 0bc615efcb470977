//! What an error answer of Attendee means. Pure.

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::error::{Class, Failure};
use crate::http::{retry_after, without_addresses};

/// What Attendee says, which has no codes, and the code that stands for it here (`Failure::reason`).
const REASONS: [(&[&str], &str); 3] = [
    (&["Deduplication key already in use"], KEY_TAKEN),
    (&["join_at cannot be in the past"], PAST),
    // "Bot is in state … but …"
    (&["Bot is in state", "scheduled state"], TOO_LATE),
];
/// A living bot has the deduplication key.
const KEY_TAKEN: &str = "key_taken";
/// The time at which a bot is to join is over.
const PAST: &str = "join_at_past";
/// A bot is to be changed that has left its schedule.
const TOO_LATE: &str = "not_scheduled";

/// What it says where a server of Django answers with 500: "An error occurred while creating the bot. Error ID: …".
const INTERNAL: [&str; 2] = ["An error occurred while", "Error ID"];
/// What to look at where something else answers.
const ROOT: &str = "that is no answer of Attendee: check attendee.root, which must be its origin";

/// Classifies an error answer. `what` names the method; `retry` is the header; `now` serves hints that are points in time.
pub fn classify(what: &str, status: u16, retry: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Failure {
    // A front end answers with a page: the status alone decides then.
    let said = serde_json::from_slice::<Value>(body).map(|said| texts(&said).join("; ")).unwrap_or_default();
    let internal = INTERNAL.iter().all(|part| said.contains(part));
    let class = match status {
        // Only Attendee's own word condemns a key.
        401 | 403 if !said.is_empty() => Class::AuthRevoked,
        404 if !said.is_empty() => Class::Gone,
        // A front end that has lost its Attendee says so too: that is no word on a bot.
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
        message.push_str("; the project's key is refused: give it a new one with `syncctl attendee project add`");
    }
    let reason = REASONS.iter().find(|(parts, _)| parts.iter().all(|part| said.contains(part))).map_or("", |(_, reason)| reason);
    let retry_after = retry.and_then(|value| retry_after(value, now));
    Failure { status: Some(status), reason: reason.to_owned(), retry_after, ..Failure::new(class, message) }
}

/// `{"error": …}`, `{"detail": …}`, or the wrong fields, each with what is wrong with it.
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

/// Whether a living bot has the key.
pub fn is_key_taken(failure: &Failure) -> bool {
    failure.class == Class::Permanent && failure.reason == KEY_TAKEN
}

/// Whether the time at which a bot was to join is over by Attendee's clock.
pub fn is_past(failure: &Failure) -> bool {
    failure.class == Class::Permanent && failure.reason == PAST
}

/// Whether the bot has left its schedule.
pub fn is_too_late(failure: &Failure) -> bool {
    failure.class == Class::Permanent && failure.reason == TOO_LATE
}

/// A page where the answer to a call should be.
pub fn no_attendee(what: &str) -> Failure {
    Failure::new(Class::Transient, format!("{what}: the answer is a page; {ROOT}"))
}

/// The key of a project that was removed while the run went on.
pub fn no_key(project: Uuid) -> Failure {
    Failure::new(Class::AuthRevoked, format!("there is no key of project {project}: add it with `syncctl attendee project add`"))
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
    fn a_key_in_use_and_a_bot_that_is_under_way_are_told_from_other_refusals() {
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
