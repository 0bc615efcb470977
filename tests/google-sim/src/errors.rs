//! Google's error bodies.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::state::PROJECT;

/// Domains of reasons, except for the general ones.
const DOMAINS: [(&str, &[&str]); 2] = [
    (
        "usageLimits",
        &["rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "quotaExceeded", "accessNotConfigured"],
    ),
    ("calendar", &["fullSyncRequired", "updatedMinTooLongAgo", "notACalendarUser"]),
];

/// An error in the APIs' format.
pub fn google(status: u16, reason: &str, message: &str) -> Response {
    with(status, json!({ "error": error(status, reason, message) }).to_string(), "application/json; charset=UTF-8")
}

/// The same with the name of a google.rpc code, which Gmail adds.
pub fn stated(status: u16, reason: &str, message: &str, code: &str) -> Response {
    let mut error = error(status, reason, message);
    error["status"] = json!(code);
    with(status, json!({ "error": error }).to_string(), "application/json; charset=UTF-8")
}

fn error(status: u16, reason: &str, message: &str) -> Value {
    let domain = DOMAINS.iter().find(|(_, reasons)| reasons.contains(&reason)).map_or("global", |(domain, _)| domain);
    json!({ "code": status, "message": message, "errors": [{ "domain": domain, "reason": reason, "message": message }] })
}

/// A limit of an API, as the common front end names it.
pub struct Limit {
    /// In `quota_limit`, after `default`.
    id: &'static str,
    /// In the message, after "Queries".
    words: &'static str,
    unit: &'static str,
}

pub const DAY: Limit = Limit { id: "PerDayPerProject", words: "per day", unit: "1/d/{project}" };
pub const MINUTE: Limit = Limit { id: "PerMinutePerProject", words: "per minute", unit: "1/min/{project}" };
pub const USER_MINUTE: Limit = Limit { id: "PerMinutePerUser", words: "per minute per user", unit: "1/min/{project}/{user}" };

impl Limit {
    pub fn words(&self) -> String {
        format!(
            "Quota exceeded for quota metric 'Queries' and limit 'Queries {}' of service 'calendar-json.googleapis.com' for consumer 'project_number:{PROJECT}'.",
            self.words
        )
    }
}

/// An exceeded limit, with details that identify it.
pub fn quota(status: u16, reason: &str, limit: &Limit) -> Response {
    let mut error = error(status, reason, &limit.words());
    error["status"] = json!(if status == 429 { "RESOURCE_EXHAUSTED" } else { "PERMISSION_DENIED" });
    error["details"] = json!([
        { "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "googleapis.com",
          "metadata": { "consumer": format!("projects/{PROJECT}"), "service": "calendar-json.googleapis.com",
            "quota_metric": "calendar-json.googleapis.com/default", "quota_limit": format!("default{}", limit.id),
            "quota_location": "global", "quota_unit": limit.unit } },
        { "@type": "type.googleapis.com/google.rpc.Help",
          "links": [{ "description": "Request a higher quota limit.", "url": "https://cloud.google.com/docs/quotas/help/request_increase" }] }
    ]);
    with(status, json!({ "error": error }).to_string(), "application/json; charset=UTF-8")
}

/// A 401 that is unrelated to the token.
pub fn session(message: &str) -> Response {
    let mut error = error(401, "authError", message);
    error["errors"][0]["locationType"] = json!("header");
    error["errors"][0]["location"] = json!("Authorization");
    with(401, json!({ "error": error }).to_string(), "application/json; charset=UTF-8")
}

/// An error in the token endpoint's format.
pub fn oauth(status: u16, error: &str, description: &str) -> Response {
    with(status, json!({ "error": error, "error_description": description }).to_string(), "application/json; charset=utf-8")
}

pub fn auth_error() -> Response {
    let mut response = google(401, "authError", "Invalid Credentials");
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"https://accounts.google.com/\", error=\"invalid_token\""),
    );
    response
}

pub fn insufficient_permissions() -> Response {
    let body = json!({ "error": { "code": 403, "message": "Request had insufficient authentication scopes.", "status": "PERMISSION_DENIED",
        "errors": [{ "domain": "global", "reason": "insufficientPermissions", "message": "Insufficient Permission" }],
        "details": [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com" }] } });
    with(403, body.to_string(), "application/json; charset=UTF-8")
}

pub fn not_configured() -> Response {
    google(403, "accessNotConfigured", "Google Calendar API has not been used in project 123456789012 before or it is disabled.")
}

pub fn with(status: u16, body: String, kind: &'static str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, kind)], body).into_response()
}
