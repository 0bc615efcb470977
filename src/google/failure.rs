//! What an error answer means: status and reason to a class. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::error::{Class, Failure};
use crate::http::{self, without_addresses};

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: Detail,
}

#[derive(Deserialize, Default)]
struct Detail {
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: Vec<Reason>,
    #[serde(default)]
    details: Vec<Reason>,
}

#[derive(Deserialize, Default)]
struct Reason {
    #[serde(default)]
    reason: String,
}

/// Classifies an error answer of a Google API.
///
/// `what` names the method; `retry_after` is the header; `now` serves hints that are points in time.
pub fn classify(what: &str, status: u16, retry_after: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Failure {
    // A front end answers with HTML: the status alone decides then.
    let detail = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
    let reasons = || detail.errors.iter().chain(&detail.details).map(|entry| entry.reason.as_str());
    let has = |wanted: &[&str]| reasons().any(|reason| wanted.contains(&reason));
    let class = match status {
        401 => Class::TokenStale,
        403 | 429 if has(&["quotaExceeded", "dailyLimitExceeded", "dailyLimitExceededUnreg"]) => Class::DailyQuota,
        429 => Class::RateLimited,
        403 if has(&["rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"])
            || detail.message.contains("Quota exceeded for quota metric") =>
        {
            Class::RateLimited
        }
        403 if has(&["accessNotConfigured", "SERVICE_DISABLED"]) => Class::ApiDisabled,
        403 if has(&["insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"]) => Class::ScopeMissing,
        410 if has(&["fullSyncRequired", "updatedMinTooLongAgo"]) => Class::CursorExpired,
        404 | 410 if reasons().next().is_some() || !detail.message.is_empty() => Class::Gone,
        // Without the API's own word: a proxy or front end that knows no such address says nothing of what is there.
        404 | 408 | 410 | 500..=599 => Class::Transient,
        _ => Class::Permanent,
    };
    let reason = reasons().find(|reason| !reason.is_empty()).unwrap_or_default();
    let mut message = format!("{what}: HTTP {status}");
    if !reason.is_empty() {
        message.push_str(&format!(" {}", without_addresses(reason)));
    }
    if !detail.message.is_empty() {
        message.push_str(&format!(": {}", without_addresses(&detail.message)));
    }
    let hint = retry_after.and_then(|value| http::retry_after(value, now)).or_else(|| message_hint(&detail.message, now));
    Failure { class, message, retry_after: hint }
}

/// "Retry after 2026-01-01T00:00:00.000Z" inside a message.
fn message_hint(message: &str, now: DateTime<Utc>) -> Option<Duration> {
    let (_, rest) = message.split_once("Retry after ")?;
    let stamp = rest.split([' ', ')', ',']).next()?.trim_end_matches('.');
    let at = DateTime::parse_from_rfc3339(stamp).ok()?;
    (at.to_utc() - now).to_std().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(status: u16, reason: &str) -> Class {
        let body = format!(r#"{{"error":{{"code":{status},"message":"m","errors":[{{"reason":"{reason}"}}]}}}}"#);
        classify("events.list", status, None, body.as_bytes(), Utc::now()).class
    }

    #[test]
    fn every_row_of_the_error_table_has_its_class() {
        let table = [
            (401, "authError", Class::TokenStale),
            (403, "insufficientPermissions", Class::ScopeMissing),
            (403, "accessNotConfigured", Class::ApiDisabled),
            (403, "rateLimitExceeded", Class::RateLimited),
            (429, "rateLimitExceeded", Class::RateLimited),
            (403, "userRateLimitExceeded", Class::RateLimited),
            (403, "quotaExceeded", Class::DailyQuota),
            (403, "dailyLimitExceeded", Class::DailyQuota),
            (410, "fullSyncRequired", Class::CursorExpired),
            (410, "updatedMinTooLongAgo", Class::CursorExpired),
            (410, "deleted", Class::Gone),
            (404, "notFound", Class::Gone),
            (408, "", Class::Transient),
            (503, "backendError", Class::Transient),
            (400, "invalid", Class::Permanent),
        ];
        for (status, reason, expected) in table {
            assert_eq!(class(status, reason), expected, "{status} {reason}");
        }
    }

    #[test]
    fn a_front_end_page_is_classified_by_its_status() {
        for status in [404, 410, 502] {
            let failure = classify("events.list", status, None, b"<html>No such thing</html>", Utc::now());
            assert_eq!(failure.class, Class::Transient, "{status}");
        }
        let said = classify(
            "messages.get",
            404,
            None,
            br#"{"error":{"code":404,"message":"Requested entity was not found."}}"#,
            Utc::now(),
        );
        assert_eq!(said.class, Class::Gone);
    }

    #[test]
    fn a_wish_to_wait_is_read_from_header_and_message() {
        let now = DateTime::parse_from_rfc3339("2026-05-01T00:00:00Z").expect("a date").to_utc();
        let header = classify("x", 429, Some("7"), b"", now);
        assert_eq!(header.retry_after, Some(Duration::from_secs(7)));
        let body = br#"{"error":{"message":"User-rate limit exceeded.  Retry after 2026-05-01T00:00:30.000Z"}}"#;
        assert_eq!(classify("x", 429, None, body, now).retry_after, Some(Duration::from_secs(30)));
    }

    #[test]
    fn what_no_table_takes_stays_out_of_messages() {
        let body = br#"{"error":{"message":"not\u0000so\u001b[31m","errors":[{"reason":"odd\u0000"}]}}"#;
        assert_eq!(classify("x", 400, None, body, Utc::now()).message, "x: HTTP 400 odd: not so [31m");
    }

    #[test]
    fn addresses_stay_out_of_messages() {
        let body = br#"{"error":{"message":"no access to ann@example.com here"}}"#;
        assert!(!classify("x", 403, None, body, Utc::now()).message.contains("ann@"));
    }
}
