//! The test's side of the sink: behaviour of receivers, and recorded requests.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::http::{HeaderValue, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::receiver::{Behaviour, Counts};
use crate::admin::{Answer, Params, Shared, Wrong};
use crate::state::{World, lock};

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/admin/sink", get(events).post(configure).delete(clear))
        .route("/admin/sink/count", get(count))
        .route("/admin/sink/release", post(release))
}

async fn configure(State(world): Shared, Json(behaviour): Json<Behaviour>) -> Answer {
    if behaviour.name.is_empty() || behaviour.name.contains('/') {
        return Err(Wrong("a name is the first part of the path below /sink".into()));
    }
    if let Some(status) = behaviour.status.filter(|status| *status < 200 || StatusCode::from_u16(*status).is_err()) {
        return Err(Wrong(format!("no status of an answer: {status}")));
    }
    if behaviour.redirect.as_ref().is_some_and(|url| HeaderValue::from_str(url).is_err()) {
        return Err(Wrong("redirect is not a valid header value".into()));
    }
    let shown = json!({ "name": behaviour.name });
    let receiver = lock(&world.sink).receiver(&behaviour.name);
    receiver.configure(behaviour);
    Ok(Json(shown))
}

async fn events(State(world): Shared, Query(params): Params) -> Json<Value> {
    let receivers = lock(&world.sink).named(params.get("name"));
    let requests: u64 = receivers.iter().map(|receiver| receiver.counts().requests).sum();
    let events: Vec<Value> = receivers.iter().flat_map(|receiver| receiver.events()).collect();
    Json(json!({ "requests": requests, "events": events }))
}

async fn count(State(world): Shared, Query(params): Params) -> Json<Counts> {
    let mut sum = Counts::default();
    let receivers = lock(&world.sink).named(params.get("name"));
    for counts in receivers.iter().map(|receiver| receiver.counts()) {
        sum.requests += counts.requests;
        sum.ok += counts.ok;
        sum.distinct_keys += counts.distinct_keys;
        sum.duplicates += counts.duplicates;
        sum.bad_signatures += counts.bad_signatures;
        sum.stalled += counts.stalled;
    }
    Json(sum)
}

async fn release(State(world): Shared, Query(params): Params) {
    let receivers = lock(&world.sink).named(params.get("name"));
    receivers.iter().for_each(|receiver| receiver.release());
}

/// Forgets recorded requests; behaviours stay.
async fn clear(State(world): Shared, Query(params): Params) {
    let receivers = lock(&world.sink).named(params.get("name"));
    receivers.iter().for_each(|receiver| receiver.clear());
}
