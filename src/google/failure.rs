//! Classifies error responses by status, reasons and details. Pure.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;

use crate::error::{Class, Failure};
use crate::http::{self, without_addresses};

const DAY: Duration = Duration::from_secs(86_400);

#[derive(Deserialize, Default)]
struct Body {
    #[serde(default)]
    error: Detail,
}

/// Google's two error formats in one: `errors` is the older one, `status` and `details` (google.rpc) the newer one.
#[derive(Deserialize, Default)]
struct Detail {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    errors: Vec<Value>,
    #[serde(default)]
    details: Vec<Value>,
}

impl Detail {
    fn reasons(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().chain(&self.details).filter_map(|entry| entry["reason"].as_str())
    }

    fn has(&self, reasons: &[&str]) -> bool {
        self.reasons().any(|reason| reasons.contains(&reason))
    }

    fn is_limit(&self, status: u16) -> bool {
        const REASONS: [&str; 3] = ["rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"];
        status == 429
            || self.has(&REASONS)
            || self.status == "RESOURCE_EXHAUSTED"
            || self.message.contains("Quota exceeded for quota metric")
    }

    /// The exhausted limits, as named by ErrorInfo and QuotaFailure; if neither is present, the message.
    fn limits(&self) -> Vec<&str> {
        let violations = self.details.iter().filter_map(|entry| entry["violations"].as_array()).flatten();
        let named = violations.filter_map(|violation| violation["quotaId"].as_str().or(violation["description"].as_str()));
        let limits: Vec<&str> =
            self.details.iter().filter_map(|entry| entry["metadata"]["quota_limit"].as_str()).chain(named).collect();
        if limits.is_empty() { vec![&self.message] } else { limits }
    }

    /// Which limit a rate-limit error is about.
    fn limit(&self) -> Class {
        let says = |limit: &str, id: &str, words: &str| limit.contains(id) || limit.to_ascii_lowercase().contains(words);
        let of_a_day = self.limits().into_iter().find(|limit| says(limit, "PerDay", "per day"));
        match of_a_day {
            Some(limit) if says(limit, "PerUser", "per user") => Class::UserQuota,
            Some(_) => Class::DailyQuota,
            None => Class::RateLimited,
        }
    }

    /// Whether the error concerns the URL to which a push channel is to announce (`webhookUrlUnauthorized`, "Unauthorized WebHook callback channel").
    fn is_of_address(&self) -> bool {
        self.reasons().any(|reason| reason.contains("ebhookUrl")) || self.message.contains("WebHook")
    }

    /// Whether the user does not have the service: it is switched off for them, or they never signed up. Drive and Gmail report this only in the message
    /// text.
    fn is_off(&self, status: u16) -> bool {
        match status {
            400 => self.has(&["failedPrecondition"]) && self.message.contains("Mail service not enabled"),
            401 => self.message.contains("Active session is invalid") && self.message.contains("Error code: 4"),
            403 => self.has(&["notACalendarUser", "domainPolicy"]),
            _ => false,
        }
    }
}

fn class(what: &str, status: u16, detail: &Detail) -> Class {
    match status {
        _ if detail.is_off(status) => Class::ServiceOff,
        // A 401 about a channel's URL is not about the token.
        401 if what.ends_with(".watch") && detail.is_of_address() => Class::Permanent,
        401 => Class::TokenStale,
        403 | 429 if detail.has(&["dailyLimitExceeded", "dailyLimitExceededUnreg"]) => Class::DailyQuota,
        // A per-user limit, according to Calendar's error guide.
        403 | 429 if detail.has(&["quotaExceeded"]) => Class::UserQuota,
        403 | 429 if detail.is_limit(status) => detail.limit(),
        403 if detail.has(&["accessNotConfigured", "SERVICE_DISABLED"]) => Class::ApiDisabled,
        403 if detail.has(&["insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"]) => Class::ScopeMissing,
        // A calendar that is no longer shared with this user.
        403 if what == "events.list" && detail.has(&["forbidden", "requiredAccessLevel"]) => Class::Gone,
        410 if detail.has(&["fullSyncRequired", "updatedMinTooLongAgo"]) => Class::CursorExpired,
        404 | 410 if detail.reasons().next().is_some() || !detail.message.is_empty() => Class::Gone,
        // Without the API's own error body: a response from a proxy or front end says nothing about the resource.
        404 | 408 | 409 | 410 | 425 | 499 | 500..=599 => Class::Transient,
        _ => Class::Permanent,
    }
}

/// Classifies an error response of a Google API.
///
/// `what` names the method; `retry_after` is the header; `now` is used for hints that are points in time.
pub fn classify(what: &str, status: u16, retry_after: Option<&str>, body: &[u8], now: DateTime<Utc>) -> Failure {
    // A front end responds with HTML: then only the status counts.
    let detail = serde_json::from_slice::<Body>(body).unwrap_or_default().error;
    let class = class(what, status, &detail);
    let reason = without_addresses(detail.reasons().find(|reason| !reason.is_empty()).unwrap_or_default());
    let mut message = format!("{what}: HTTP {status}");
    if !reason.is_empty() {
        message.push_str(&format!(" {reason}"));
    }
    if !detail.message.is_empty() {
        message.push_str(&format!(": {}", without_addresses(&detail.message)));
    }
    let hint = retry_after.and_then(|value| http::retry_after(value, now)).or_else(|| message_hint(&detail.message, now));
    // Too many users have downloaded this file: Google serves it again within a day.
    let hint = hint.or_else(|| detail.has(&["downloadQuotaExceeded"]).then_some(DAY));
    // The end of the quota's day is tracked separately.
    let retry_after = hint.filter(|_| class != Class::DailyQuota);
    Failure { status: Some(status), reason, retry_after, ..Failure::new(class, message) }
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
    fn every_row_of_the_error_table_is_classified() {
        let table = [
            (401, "authError", Class::TokenStale),
            (403, "insufficientPermissions", Class::ScopeMissing),
            (403, "accessNotConfigured", Class::ApiDisabled),
            (403, "rateLimitExceeded", Class::RateLimited),
            (429, "rateLimitExceeded", Class::RateLimited),
            (403, "userRateLimitExceeded", Class::RateLimited),
            (403, "quotaExceeded", Class::UserQuota),
            (403, "notACalendarUser", Class::ServiceOff),
            (403, "domainPolicy", Class::ServiceOff),
            (409, "conflict", Class::Transient),
            (425, "", Class::Transient),
            (499, "", Class::Transient),
            (403, "dailyLimitExceeded", Class::DailyQuota),
            (410, "fullSyncRequired", Class::CursorExpired),
            (410, "updatedMinTooLongAgo", Class::CursorExpired),
            (403, "forbidden", Class::Gone),
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

    fn of(status: u16, body: &str) -> Class {
        classify("x", status, Some("7"), body.as_bytes(), Utc::now()).class
    }

    #[test]
    fn details_of_a_limit_take_precedence_over_its_message() {
        let limit = |status, details: &str, message: &str| {
            let reason = r#"[{"domain":"usageLimits","reason":"rateLimitExceeded"}]"#;
            of(status, &format!(r#"{{"error":{{"code":{status},"message":"{message}","errors":{reason},"details":{details}}}}}"#))
        };
        let info = |limit: &str| format!(r#"[{{"reason":"RATE_LIMIT_EXCEEDED","metadata":{{"quota_limit":"{limit}"}}}}]"#);
        let per_day = "Quota exceeded for quota metric 'Queries' and limit 'Queries per day' of service 'x.googleapis.com'";
        for status in [403, 429] {
            assert_eq!(limit(status, &info("defaultPerMinutePerUser"), ""), Class::RateLimited);
            assert_eq!(limit(status, &info("defaultPerMinutePerProject"), per_day), Class::RateLimited);
            assert_eq!(limit(status, &info("defaultPerDayPerProject"), ""), Class::DailyQuota);
            assert_eq!(limit(status, &info("defaultPerDayPerUser"), ""), Class::UserQuota);
            assert_eq!(limit(status, r#"[{"violations":[{"quotaId":"QueriesPerDayPerProject"}]}]"#, ""), Class::DailyQuota);
            assert_eq!(limit(status, "[]", per_day), Class::DailyQuota);
            assert_eq!(limit(status, "[]", "Queries per day per user"), Class::UserQuota);
        }
        let failure = classify("x", 429, Some("7"), format!(r#"{{"error":{{"message":"{per_day}"}}}}"#).as_bytes(), Utc::now());
        assert_eq!((failure.class, failure.retry_after), (Class::DailyQuota, None), "the project pauses until the day ends");
    }

    #[test]
    fn a_disabled_service_is_neither_a_stale_token_nor_a_bad_request() {
        let gmail = r#"{"error":{"code":400,"message":"Mail service not enabled","errors":[{"domain":"global","reason":"failedPrecondition","message":"Mail service not enabled"}],"status":"FAILED_PRECONDITION"}}"#;
        assert_eq!(of(400, gmail), Class::ServiceOff);
        let drive = r#"{"error":{"code":401,"message":"Active session is invalid. Error code: 4","errors":[{"domain":"global","reason":"authError","location":"Authorization"}]}}"#;
        assert_eq!(of(401, drive), Class::ServiceOff);
        assert_eq!(of(401, r#"{"error":{"code":401,"message":"Invalid Credentials"}}"#), Class::TokenStale);
    }

    #[test]
    fn a_front_end_page_is_classified_by_its_status() {
        for status in [404, 410, 502] {
            let failure = classify("events.list", status, None, b"<html>No such page</html>", Utc::now());
            assert_eq!(failure.class, Class::Transient, "{status}");
        }
        let said = classify(
            "messages.get",
            404,
            None,
            br#"{"error":{"code":404,"message":"Requested entity was not found."}}"#,
            Utc::now(),
        );
        assert_eq!((said.class, said.status, said.reason.as_str()), (Class::Gone, Some(404), ""));
        let coded = classify("x", 400, None, br#"{"error":{"errors":[{"reason":"channelIdNotUnique"}]}}"#, Utc::now());
        assert_eq!((coded.status, coded.reason.as_str()), (Some(400), "channelIdNotUnique"));
        let refused =
            |what| classify(what, 401, None, br#"{"error":{"errors":[{"reason":"push.webhookUrlUnauthorized"}]}}"#, Utc::now());
        assert_eq!((refused("events.watch").class, refused("events.list").class), (Class::Permanent, Class::TokenStale));
    }

    #[test]
    fn retry_after_is_read_from_header_and_message() {
        let now = DateTime::parse_from_rfc3339("2026-05-01T00:00:00Z").expect("a date").to_utc();
        let header = classify("x", 429, Some("7"), b"", now);
        assert_eq!(header.retry_after, Some(Duration::from_secs(7)));
        let body = br#"{"error":{"message":"User-rate limit exceeded.  Retry after 2026-05-01T00:00:30.000Z"}}"#;
        assert_eq!(classify("x", 429, None, body, now).retry_after, Some(Duration::from_secs(30)));
    }

    #[test]
    fn characters_that_postgres_rejects_stay_out_of_messages() {
        let body = br#"{"error":{"message":"not\u0000so\u001b[31m","errors":[{"reason":"odd\u0000"}]}}"#;
        assert_eq!(classify("x", 400, None, body, Utc::now()).message, "x: HTTP 400 odd: not so [31m");
    }

    #[test]
    fn addresses_stay_out_of_messages() {
        let body = br#"{"error":{"message":"no access to ann@example.com here"}}"#;
        assert!(!classify("x", 403, None, body, Utc::now()).message.contains("ann@"));
    }
}
