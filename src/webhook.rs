//! Webhook intake: stores notifications from Google and Attendee, marks streams as due, and responds within milliseconds.
//!
//! A request is validated (`channel`, `mail`, `attendee`), waits until its row is committed in one batch with concurrent requests (`writer`), and
//! is answered. The intake never polls: `webhook drain` does, which `drainer` may start. It is independent of services and cursors: a
//! lost notification causes delay, never data loss.

mod attendee;
mod channel;
mod connection_slots;
mod decision;
mod drainer;
mod listen;
mod mail;
mod metrics;
mod oidc;
mod write_timeout;
mod writer;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::FutureExt as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Settings};
use crate::db::Pool;
use connection_slots::ConnectionSlots;
use metrics::Metrics;
use writer::Writer;

pub use drainer::Drainer;
pub use listen::{Listener, Tls};

/// Maximum size of a request body, in bytes. Google's bodies are empty or have a few hundred bytes.
const BODY_MAX: usize = 64 << 10;
/// Timeout for receiving headers, a body or a TLS handshake, and for a peer that does not read its response.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum number of connections to the separate listener for health and metrics.
const STATUS_CONNECTIONS: u32 = 16;

/// The outcome of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Outcome {
    Accepted,
    /// Received before: Google repeats notifications that were not answered in time.
    Duplicate,
    Malformed,
    /// A wrong token, signature or key.
    Refused,
    /// A channel, document or path that does not exist, or no longer exists.
    Unknown,
    /// A decision below the required confidence: it changes nothing.
    Unsure,
    /// A decision for a project that was not offered.
    NotOffered,
    /// A decision superseded by a person, another decision or a new text.
    Outdated,
    Slow,
    TooLarge,
    /// The database is unavailable or overloaded: the sender should retry.
    Unavailable,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
            Self::Unsure => "unsure",
            Self::NotOffered => "not_offered",
            Self::Outdated => "outdated",
            Self::Slow => "slow",
            Self::TooLarge => "too_large",
            Self::Unavailable => "unavailable",
        }
    }
}

impl IntoResponse for Outcome {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Accepted | Self::Duplicate | Self::Unsure => StatusCode::OK,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Refused => StatusCode::UNAUTHORIZED,
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::NotOffered => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Outdated => StatusCode::CONFLICT,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unavailable => {
                return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], self.name()).into_response();
            }
        };
        (status, self.name()).into_response()
    }
}

/// Shared state of all requests.
struct Intake {
    writer: Writer,
    metrics: Metrics,
    mail: mail::Authorization,
    attendee: Option<attendee::Key>,
    decisions: Option<decision::Decisions>,
    pool: Pool,
    slots: Arc<ConnectionSlots>,
}

/// Serves until cancelled, then finishes the requests in progress. `status_listener`: a separate listener for health and metrics.
///
/// # Errors
/// Returns an error if the settings are unusable.
pub async fn serve(
    pool: Pool,
    settings: &Settings,
    (listener, status_listener): (Listener, Option<Listener>),
    drainer: Option<Drainer>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let settings = &settings.webhook;
    let pushed = Arc::new(Notify::new());
    let slots = ConnectionSlots::new(settings.max_connections, settings.max_connections_per_address);
    let intake = Arc::new(Intake {
        writer: Writer::start(pool.clone(), Arc::clone(&pushed)),
        metrics: Metrics::new(),
        mail: mail::Authorization::new(settings),
        attendee: attendee::Key::new(&settings.attendee_secret)?,
        decisions: decision::Decisions::new(&settings.classify_secret),
        pool,
        slots: Arc::clone(&slots),
    });
    let router = routes(&intake);
    let draining = async {
        if let Some(drainer) = drainer {
            drainer.run(&pushed, &stop).await;
        }
    };
    let life = settings.connection_life;
    let (router, separate) = match status_listener {
        None => (router.merge(status(&intake)), None),
        Some(listener) => {
            (router, Some((listener, status(&intake), ConnectionSlots::new(STATUS_CONNECTIONS, STATUS_CONNECTIONS))))
        }
    };
    let serving = listen::serve(listener, router, (&slots, life), &intake.metrics, &stop);
    let serving_status = async {
        if let Some((listener, router, slots)) = separate {
            listen::serve(listener, router, (&slots, life), &intake.metrics, &stop).await;
        }
    };
    tokio::join!(serving, serving_status, draining);
    Ok(())
}

/// Routes for senders.
fn routes(intake: &Arc<Intake>) -> Router {
    Router::new()
        .route("/calendar", post(async |state, headers, body| channel_notification(state, "/calendar", headers, body).await))
        .route("/drive", post(async |state, headers, body| channel_notification(state, "/drive", headers, body).await))
        .route("/gmail", post(gmail))
        .route("/attendee", post(bots))
        .route("/classify", post(decided))
        .with_state(Arc::clone(intake))
}

/// Routes for operators.
fn status(intake: &Arc<Intake>) -> Router {
    Router::new().route("/healthz", get(health)).route("/metrics", get(metrics_text)).with_state(Arc::clone(intake))
}

type Shared = State<Arc<Intake>>;

/// Handles a notification of a Calendar or Drive channel.
async fn channel_notification(State(intake): Shared, path: &'static str, headers: HeaderMap, body: Body) -> Outcome {
    measured(&intake, path, async {
        read(&headers, body).await?;
        let arrived = channel::read(path.trim_start_matches('/'), &headers)?;
        Ok(intake.writer.put(arrived).await)
    })
    .await
}

/// Handles a Gmail notification from a Pub/Sub push subscription.
async fn gmail(State(intake): Shared, uri: Uri, headers: HeaderMap, body: Body) -> Outcome {
    measured(&intake, "/gmail", async {
        let body = read(&headers, body).await?;
        intake.mail.check(uri.query(), &headers).await?;
        Ok(intake.writer.put(mail::read(&body)?).await)
    })
    .await
}

/// Handles a notification from Attendee.
async fn bots(State(intake): Shared, headers: HeaderMap, body: Body) -> Outcome {
    measured(&intake, "/attendee", async {
        let body = read(&headers, body).await?;
        let key = intake.attendee.as_ref().ok_or(Outcome::Unknown)?;
        Ok(intake.writer.put(key.read(&headers, &body)?).await)
    })
    .await
}

/// Handles a program's decision on a document.
async fn decided(State(intake): Shared, headers: HeaderMap, body: Body) -> Outcome {
    measured(&intake, "/classify", async {
        let body = read(&headers, body).await?;
        let decisions = intake.decisions.as_ref().ok_or(Outcome::Unknown)?;
        Ok(decisions.take(&intake.pool, &decisions.read(&headers, &body)?).await)
    })
    .await
}

/// Processes a request and records its metrics.
async fn measured(intake: &Intake, path: &'static str, work: impl Future<Output = Result<Outcome, Outcome>>) -> Outcome {
    let started = Instant::now();
    let outcome = work.await.unwrap_or_else(|refused| refused);
    intake.metrics.request(path, outcome.name(), started.elapsed());
    outcome
}

/// Reads the body, limited in size and time.
async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Outcome> {
    let declared = text(headers, "content-length").and_then(|length| length.parse::<usize>().ok());
    if declared.is_some_and(|length| length > BODY_MAX) {
        return Err(Outcome::TooLarge);
    }
    match tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, BODY_MAX)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => {
            match std::error::Error::source(&error).is_some_and(|cause| cause.is::<http_body_util::LengthLimitError>()) {
                true => Err(Outcome::TooLarge),
                false => Err(Outcome::Malformed),
            }
        }
        Err(_) => Err(Outcome::Slow),
    }
}

/// A header value, if it is visible ASCII text.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a text can be stored as a key: short and without characters that PostgreSQL refuses, since they would fail the whole batch.
fn is_key(text: &str) -> bool {
    (1..=512).contains(&text.len()) && !text.chars().any(char::is_control)
}

async fn health(State(intake): Shared) -> (StatusCode, &'static str) {
    match intake.writer.is_alive(&intake.pool).await {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the database is away\n"),
    }
}

async fn metrics_text(State(intake): Shared) -> impl IntoResponse {
    intake.metrics.now(intake.writer.waiting(), intake.slots.taken());
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], intake.metrics.text())
}

/// Parses bytes (headers and body) as a notification from each kind of sender, for `crate::fuzz`.
pub(crate) fn read_any(input: &[u8]) {
    static ALL: LazyLock<(mail::Authorization, attendee::Key)> = LazyLock::new(|| {
        let settings = config::Webhook { gmail_token: "0123456789abcdef".to_owned().into(), ..config::Webhook::default() };
        let key = attendee::Key::new(&"a2V5".to_owned().into()).ok().flatten().unwrap_or_else(|| panic!("no key"));
        (mail::Authorization::new(&settings), key)
    });
    let at = input.windows(2).position(|two| two == b"\n\n").unwrap_or(input.len());
    let (head, body) = (&input[..at], input[at..].trim_ascii_start());
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').take(64) {
        let (name, value) = line.split_at(line.iter().position(|byte| *byte == b':').unwrap_or(0));
        let value = header::HeaderValue::from_bytes(value.trim_ascii_start().strip_prefix(b":").unwrap_or_default().trim_ascii());
        if let (Ok(name), Ok(value)) = (header::HeaderName::from_bytes(name), value) {
            headers.append(name, value);
        }
    }
    let (gmail, attendee) = &*ALL;
    let query = text(&headers, "query");
    std::hint::black_box(gmail.check(query, &headers).now_or_never());
    std::hint::black_box((
        channel::read("any", &headers).is_ok(),
        mail::read(body).is_ok(),
        attendee.read(&headers, body).is_ok(),
        decision::read(body).is_ok(),
    ));
    if let Some(bearer) = text(&headers, "authorization") {
        std::hint::black_box(oidc::read_any(bearer.trim_start_matches("Bearer ")));
    }
}
