//! A record of requests and their answers, for later checks. Off by default.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;
use serde_json::{Value, json};

use crate::reply;
use crate::state::{World, lock};

/// API calls, those within batches individually, as JSON lines.
#[derive(Default)]
pub struct Requests {
    on: AtomicBool,
    lines: Mutex<String>,
}

impl Requests {
    pub fn switch(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    pub fn lines(&self) -> String {
        lock(&self.lines).clone()
    }

    pub fn forget(&self) {
        lock(&self.lines).clear();
    }
}

/// Counts a request to the APIs, a batch as one, as in flight.
pub async fn at_once(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    let _request = world.ledger.request();
    next.run(request).await
}

/// Records a call: method, path, query, body, scopes of its token (null: unknown token); status and answer (null: not JSON).
pub async fn record(State(world): State<Arc<World>>, request: Request, next: Next) -> Response {
    if !world.requests.on.load(Ordering::Relaxed) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let mut line = json!({ "method": parts.method.as_str(), "path": parts.uri.path(), "query": parts.uri.query().unwrap_or_default(),
        "body": String::from_utf8_lossy(&body), "scopes": scopes(&world, &parts.headers) });
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    let (parts, body) = response.into_parts();
    line["status"] = json!(parts.status.as_u16());
    let answer = to_bytes(body, usize::MAX).await;
    line["answer"] = answer.as_ref().map_or(Value::Null, |body| readable(&parts.headers, body));
    lock(&world.requests.lines).push_str(&format!("{line}\n"));
    match answer {
        Ok(body) => Response::from_parts(parts, Body::from(body)),
        // It was broken on purpose; break it for the client too.
        Err(_) => reply::broken(Bytes::new(), 1_000),
    }
}

fn scopes(world: &World, headers: &HeaderMap) -> Option<Vec<String>> {
    let secret = headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
    let tokens = world.tokens.read().unwrap_or_else(PoisonError::into_inner);
    tokens.get(secret).map(|token| token.scopes.clone())
}

fn readable(headers: &HeaderMap, body: &Bytes) -> Value {
    let mut plain = Vec::new();
    let unpacked = if headers.contains_key(header::CONTENT_ENCODING) {
        flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).map(|_| &plain[..])
    } else {
        Ok(&body[..])
    };
    unpacked.ok().and_then(|text| serde_json::from_slice(text).ok()).unwrap_or_default()
}
