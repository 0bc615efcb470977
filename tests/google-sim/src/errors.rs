//! Google's error bodies.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

/// An error as the APIs word it.
pub fn google(status: u16, reason: &str, message: &str) -> Response {
    let body = json!({ "error": { "code": status, "message": message,
        "errors": [{ "domain": "global", "reason": reason, "message": message }] } });
    with(status, body.to_string(), "application/json; charset=UTF-8")
}

/// An error as the token endpoint words it.
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
