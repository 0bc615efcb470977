//! Sends an answer: complete, compressed, or corrupted by a fault.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, HeaderValue, Response, header};
use futures_util::stream;
use serde_json::Value;

use crate::errors;
use crate::faults::{Fault, Kind};
use crate::state::World;

type Answer = Response<Body>;

/// Google does not compress answers below this size.
const COMPRESS_FROM: usize = 1_000;

/// A JSON answer, compressed if the client requests it in both headers that Google checks.
pub fn json(body: String, request_headers: &HeaderMap) -> Answer {
    whole_as(body.into_bytes(), HeaderValue::from_static("application/json; charset=UTF-8"), request_headers)
}

/// An answer of this content type, compressed like `json`.
pub fn whole_as(body: Vec<u8>, kind: HeaderValue, request_headers: &HeaderMap) -> Answer {
    let says = |name| request_headers.get(name).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("gzip"));
    let mut response = if body.len() >= COMPRESS_FROM && says(header::ACCEPT_ENCODING) && says(header::USER_AGENT) {
        let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(body.len() / 6), flate2::Compression::fast());
        match encoder.write_all(&body).and_then(|()| encoder.finish()) {
            Ok(compressed) => {
                let mut response = Answer::new(Body::from(compressed));
                response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                response
            }
            Err(_) => Answer::new(Body::from(body)),
        }
    } else {
        Answer::new(Body::from(body))
    };
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Answers with the fault that struck, or with the result of `answer`, corrupted as the fault says.
pub async fn with_fault(world: &Arc<World>, fault: Option<Fault>, answer: impl AsyncFnOnce() -> Answer) -> Answer {
    with_fault_as(world, fault, refusal, answer).await
}

/// The same, for an API with its own refusal format.
pub async fn with_fault_as(
    world: &Arc<World>,
    fault: Option<Fault>,
    refusal: fn(&World, &Fault) -> Answer,
    answer: impl AsyncFnOnce() -> Answer,
) -> Answer {
    let Some(fault) = fault else { return answer().await };
    match fault.fault {
        Kind::Stall => {
            world.faults.stall().await;
            answer().await
        }
        Kind::StallAnswer => {
            let answer = answer().await;
            world.faults.stall().await;
            answer
        }
        Kind::AnswerLost => {
            drop(answer().await);
            broken(Bytes::new(), 1_000)
        }
        Kind::SlowHeaders => {
            tokio::time::sleep(Kind::pause(&fault)).await;
            answer().await
        }
        Kind::SlowBody => slow(answer().await, Kind::pause(&fault)).await,
        Kind::ConnectionReset => broken(Bytes::new(), 1_000),
        Kind::CutBody => {
            let body = full_body(answer().await).await;
            broken(body.slice(..body.len() / 2), body.len())
        }
        Kind::CutJson => {
            let response = answer().await;
            let (mut parts, body) = response.into_parts();
            let body = full_body(Answer::new(body)).await;
            let half = match parts.headers.remove(header::CONTENT_ENCODING) {
                Some(_) => Bytes::from_static(b"{\"items\":[{\"id\":\"half"),
                None => body.slice(..body.len() / 2),
            };
            Answer::from_parts(parts, Body::from(half))
        }
        Kind::Repeated => repeated(answer().await).await,
        _ => refusal(world, &fault),
    }
}

/// The answer with the items of its lists duplicated at the end.
async fn repeated(response: Answer) -> Answer {
    let (mut parts, body) = response.into_parts();
    let body = full_body(Answer::new(body)).await;
    let mut plain = Vec::new();
    let unpacked = if parts.headers.contains_key(header::CONTENT_ENCODING) {
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).map(|_| &plain[..])
    } else {
        Ok(&body[..])
    };
    let json = unpacked.ok().and_then(|text| serde_json::from_slice::<serde_json::Map<String, Value>>(text).ok());
    let Some(mut json) = json else { return Answer::from_parts(parts, Body::from(body)) };
    for list in json.values_mut().filter_map(Value::as_array_mut) {
        list.extend_from_within(..);
    }
    parts.headers.remove(header::CONTENT_ENCODING);
    parts.headers.remove(header::CONTENT_LENGTH);
    Answer::from_parts(parts, Body::from(Value::Object(json).to_string()))
}

/// Faults that replace the answer.
fn refusal(world: &World, fault: &Fault) -> Answer {
    let wish = match (fault.retry_after, fault.hint.as_deref()) {
        (Some(seconds), Some("message")) => {
            let at = world.now() + chrono::Duration::seconds(i64::try_from(seconds).unwrap_or(0));
            format!("  Retry after {}", at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
        }
        _ => String::new(),
    };
    let google = |status, reason, message: &str| errors::google(status, reason, &format!("{message}{wish}"));
    let mut response = match fault.fault {
        Kind::Answer => given(fault),
        Kind::AuthError => errors::auth_error(),
        Kind::InvalidGrant => errors::oauth(400, "invalid_grant", "Token has been expired or revoked."),
        Kind::InsufficientPermissions => errors::insufficient_permissions(),
        Kind::AccessNotConfigured => errors::not_configured(),
        Kind::RateLimit403 => google(403, "rateLimitExceeded", "Rate Limit Exceeded"),
        Kind::RateLimit429 => google(429, "rateLimitExceeded", "Rate Limit Exceeded"),
        Kind::DailyQuota403 => errors::quota(403, "rateLimitExceeded", &errors::DAY),
        Kind::DailyQuota429 => google(429, "rateLimitExceeded", &errors::DAY.words()),
        Kind::NotACalendarUser => google(403, "notACalendarUser", "The user must be signed up for Google Calendar."),
        Kind::MailNotEnabled => errors::stated(400, "failedPrecondition", "Mail service not enabled", "FAILED_PRECONDITION"),
        Kind::DriveSession => errors::session("Active session is invalid. Error code: 4"),
        Kind::DomainPolicy => google(403, "domainPolicy", "The domain administrators have disabled Drive apps."),
        Kind::UserRateLimit => google(403, "userRateLimitExceeded", "User Rate Limit Exceeded"),
        Kind::QuotaMetric => google(
            403,
            "forbidden",
            "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service 'calendar-json.googleapis.com'",
        ),
        Kind::QuotaExceeded => google(403, "quotaExceeded", "Calendar usage limits exceeded."),
        Kind::DailyLimit => google(403, "dailyLimitExceeded", "Daily Limit Exceeded"),
        Kind::CursorExpired => google(410, "fullSyncRequired", "Sync token is no longer valid, a full sync is required."),
        Kind::CursorExpiredUpdatedMin => {
            google(410, "updatedMinTooLongAgo", "The requested minimum modification time lies too far in the past.")
        }
        Kind::NotFound => google(404, "notFound", "Not Found"),
        Kind::GoneDeleted => google(410, "deleted", "Resource has been deleted"),
        Kind::BadRequest400 => google(400, "badRequest", "Bad Request"),
        Kind::Timeout408 => google(408, "timeout", "Request Timeout"),
        Kind::Server500 => google(500, "backendError", "Backend Error"),
        Kind::Unavailable503 => google(503, "backendError", "Service unavailable. Please try again"),
        Kind::GatewayTimeout504 => google(504, "backendError", "Gateway Timeout"),
        Kind::BadGateway502 => page(502, "Error 502 (Server Error)!!1"),
        Kind::NotFoundPage => page(404, "Error 404 (Not Found)!!1"),
        _ => google(500, "internalError", "Internal Error"),
    };
    if let (Some(seconds), None | Some("header")) = (fault.retry_after, fault.hint.as_deref()) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The answer specified in the fault.
pub fn given(fault: &Fault) -> Answer {
    let (body, kind) = match &fault.body {
        Some(Value::String(text)) if !text.trim_start().starts_with('{') => (text.clone(), "text/html; charset=UTF-8"),
        Some(Value::String(text)) => (text.clone(), "application/json; charset=UTF-8"),
        Some(json) => (json.to_string(), "application/json; charset=UTF-8"),
        None => (String::new(), "text/html; charset=UTF-8"),
    };
    errors::with(fault.status.unwrap_or(400), body, kind)
}

/// An answer of a front end.
fn page(status: u16, title: &str) -> Answer {
    let page = format!("<!DOCTYPE html><html lang=en><title>{title}</title><p><b>{status}.</b> That’s an error.");
    errors::with(status, page, "text/html; charset=UTF-8")
}

/// Announces `length` bytes, sends `part`, and breaks the connection.
pub fn broken(part: Bytes, length: usize) -> Answer {
    let cut = std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut on purpose");
    let parts = [
        Some(Ok(part)).filter(|part: &Result<Bytes, std::io::Error>| part.as_ref().is_ok_and(|part| !part.is_empty())),
        Some(Err(cut)),
    ];
    let mut response = Answer::new(Body::from_stream(stream::iter(parts.into_iter().flatten())));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length.max(2)));
    response
}

async fn slow(response: Answer, pause: std::time::Duration) -> Answer {
    let (parts, body) = response.into_parts();
    let body = full_body(Answer::new(body)).await;
    let halves = [body.slice(..body.len() / 2), body.slice(body.len() / 2..)];
    let slowed = stream::unfold(halves.into_iter().enumerate(), move |mut halves| async move {
        let (position, half) = halves.next()?;
        if position > 0 {
            tokio::time::sleep(pause).await;
        }
        Some((Ok::<_, std::io::Error>(half), halves))
    });
    Answer::from_parts(parts, Body::from_stream(slowed))
}

async fn full_body(response: Answer) -> Bytes {
    axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default()
}
