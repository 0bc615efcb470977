//! Attendee's error bodies: those of the views, and those of the framework below them.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use serde_json::{Value, json};

use crate::errors::with;
use crate::faults::{Fault, Kind};
use crate::reply;
use crate::state::World;

pub type Refusal = Box<Response<Body>>;

pub const KEY_IN_USE: &str = "Deduplication key already in use. A bot in a non-terminal state with this deduplication key already exists. Please use a different deduplication key or wait for that bot to terminate.";

/// An error in the format of the views.
pub fn error(status: u16, message: &str) -> Response<Body> {
    body(status, &json!({ "error": message }))
}

/// An error in the format of the framework.
pub fn detail(status: u16, message: &str) -> Response<Body> {
    body(status, &json!({ "detail": message }))
}

/// A refused field.
pub fn field(name: &str, why: &str) -> Refusal {
    Box::new(body(400, &json!({ name: [why] })))
}

pub fn no_bot() -> Refusal {
    Box::new(error(404, "Bot not found"))
}

pub fn bad_time(name: &str) -> Refusal {
    Box::new(error(400, &format!("Invalid {name} format. Use ISO 8601 format (e.g., 2024-01-18T12:34:56Z)")))
}

pub fn bad_key(given: bool) -> Response<Body> {
    let message = if given { "Invalid or disabled API key" } else { "Authentication credentials were not provided." };
    let mut response = detail(401, message);
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Token"));
    response
}

pub fn throttled(seconds: u64) -> Response<Body> {
    let mut response = detail(429, &format!("Request was throttled. Expected available in {seconds} seconds."));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

fn body(status: u16, value: &Value) -> Response<Body> {
    with(status, value.to_string(), "application/json")
}

/// The answer that a fault produces.
pub fn refusal(_: &World, fault: &Fault) -> Response<Body> {
    let page = |status, title: &str| with(status, format!("<html><head><title>{title}</title></head></html>"), "text/html");
    let mut response = match fault.fault {
        Kind::Answer => reply::given(fault),
        Kind::AuthError | Kind::InvalidGrant => bad_key(true),
        Kind::InsufficientPermissions | Kind::AccessNotConfigured => {
            detail(403, "You do not have permission to perform this action.")
        }
        Kind::RateLimit403
        | Kind::RateLimit429
        | Kind::UserRateLimit
        | Kind::QuotaMetric
        | Kind::QuotaExceeded
        | Kind::DailyLimit => return throttled(fault.retry_after.unwrap_or(1)),
        Kind::CursorExpired | Kind::CursorExpiredUpdatedMin => detail(404, "Invalid cursor"),
        Kind::NotFound | Kind::GoneDeleted => error(404, "Bot not found"),
        Kind::BadRequest400 => {
            error(400, "Organization has run out of credits. Please add more credits in the Account -> Billing page.")
        }
        Kind::InternalError400 => {
            error(400, "An error occurred while creating the bot. Error ID: 3f6d1c52-8a34-4d1e-9a3e-5f3a1c0b7d22")
        }
        Kind::Redirect302 => {
            let mut response = page(302, "Found");
            response.headers_mut().insert(header::LOCATION, HeaderValue::from_static("/accounts/login/"));
            response
        }
        Kind::Timeout408 => page(408, "408 Request Timeout"),
        Kind::NotFoundPage => page(404, "404 page not found"),
        Kind::BadGateway502 => page(502, "502 Bad Gateway"),
        Kind::Unavailable503 => page(503, "503 Service Temporarily Unavailable"),
        Kind::GatewayTimeout504 => page(504, "504 Gateway Time-out"),
        _ => page(500, "Server Error (500)"),
    };
    if let Some(seconds) = fault.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
