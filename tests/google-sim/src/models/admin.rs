//! The test's side, under `/admin/models`: the endpoint's behaviour and the requests it received.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, State};
use axum::routing::{get, post};
use serde_json::{Map, Value, json};

use super::store::Control;
use crate::admin::{Answer, Shared, Wrong};
use crate::state::{World, lock};

pub fn routes() -> Router<Arc<World>> {
    Router::new().route("/models", post(configure).get(settings)).route("/models/ledger", get(ledger).delete(forget))
}

/// Changes the settings named in the body; the rest stays.
async fn configure(State(world): Shared, Json(change): Json<Map<String, Value>>) -> Answer {
    let mut store = lock(&world.models.store);
    let mut control = json!(store.control);
    if let Value::Object(control) = &mut control {
        control.extend(change);
    }
    store.control = serde_json::from_value::<Control>(control.clone()).map_err(|error| Wrong(error.to_string()))?;
    Ok(Json(control))
}

async fn settings(State(world): Shared) -> Json<Value> {
    Json(json!(lock(&world.models.store).control))
}

/// Every request as received, with totals.
async fn ledger(State(world): Shared) -> Json<Value> {
    let store = lock(&world.models.store);
    let mut by_status = BTreeMap::<String, u64>::new();
    for entry in &store.ledger {
        *by_status.entry(entry.status.to_string()).or_default() += 1;
    }
    Json(json!({
        "requests": store.ledger.len(),
        "by_status": by_status,
        "prompt_tokens": store.ledger.iter().map(|entry| entry.prompt_tokens).sum::<u64>(),
        "completion_tokens": store.ledger.iter().map(|entry| entry.completion_tokens).sum::<u64>(),
        "calls": store.ledger,
    }))
}

async fn forget(State(world): Shared) {
    lock(&world.models.store).ledger.clear();
}
