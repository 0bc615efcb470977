//! A receiver of webhooks, like n8n: records requests, and answers as configured.

mod admin;
mod receiver;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::routing::any;
use futures_util::{StreamExt as _, stream};

use crate::reply;
use crate::state::{World, lock};
use receiver::{Outcome, Receiver};

const OK: &str = r#"{"ok":true}"#;
/// Huge answers are sent in chunks of this size.
static PIECE: [u8; 65_536] = [b'x'; 65_536];

/// The receivers by name: recorded requests, and how the next ones are answered.
#[derive(Default)]
pub struct Sink {
    receivers: BTreeMap<String, Arc<Receiver>>,
}

impl Sink {
    /// The receiver of this name, created if necessary.
    fn receiver(&mut self, name: &str) -> Arc<Receiver> {
        match self.receivers.get(name) {
            Some(receiver) => Arc::clone(receiver),
            None => Arc::clone(self.receivers.entry(name.to_owned()).or_default()),
        }
    }

    /// The receiver of this name, or all of them.
    fn named(&self, name: Option<&String>) -> Vec<Arc<Receiver>> {
        let matching = self.receivers.iter().filter(|(known, _)| name.is_none_or(|name| name == *known));
        matching.map(|(_, receiver)| Arc::clone(receiver)).collect()
    }
}

/// Where events are POSTed, under `/sink`, and the test's side, under `/admin/sink`.
pub fn routes() -> Router<Arc<World>> {
    Router::new().route("/sink/{*path}", any(receive)).layer(DefaultBodyLimit::disable()).merge(admin::routes())
}

async fn receive(
    State(world): State<Arc<World>>,
    Path(path): Path<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let name = path.split('/').next().unwrap_or_default();
    let receiver = lock(&world.sink).receiver(name);
    let arrival = receiver.arrived(world.now(), &method, &uri, &headers, &body);
    // A client that hangs up drops this future: it got no answer, and none is counted.
    receiver.hold(&arrival).await;
    if arrival.delay_ms > 0 {
        tokio::time::sleep(Duration::from_millis(arrival.delay_ms)).await;
    }
    receiver.answered(&arrival, &headers);
    let (status, location) = match arrival.outcome {
        Outcome::Drop => return reply::broken(Bytes::new(), 1_000),
        Outcome::Redirect(status, location) => (status, Some(location)),
        Outcome::Status(status) => (status, None),
    };
    let ok = status.is_success();
    let mut response = match arrival.body_bytes {
        Some(size) => huge(size),
        None => Response::new(Body::from(if ok { OK } else { r#"{"ok":false}"# })),
    };
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let (Some(seconds), false) = (arrival.retry_after, ok) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == StatusCode::NO_CONTENT {
        *response.body_mut() = Body::empty();
    }
    response
}

fn huge(size: usize) -> Response<Body> {
    let pieces = stream::iter(std::iter::repeat_n(PIECE.len(), size / PIECE.len()).chain([size % PIECE.len()]));
    let body = Body::from_stream(pieces.map(|length| Ok::<_, std::io::Error>(Bytes::from_static(&PIECE[..length]))));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
    response
}
