//! An OpenAI-compatible model endpoint under `/v1`: keys, limits and errors like those of public servers, and a model that answers as
//! configured. It reads the prompt like a model: the projects by their lines, the document by its tags.

mod admin;
mod errors;
mod mind;
mod reading;
mod store;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, Response, header};
use axum::routing::{get, post};
use serde_json::{Value, json};

pub use admin::routes as admin_routes;

use crate::errors::with;
use crate::reply;
use crate::state::{World, lock};
use errors::{Refusal, refused};
use store::{Entry, Key, Store};

/// The state of the model endpoint.
#[derive(Default)]
pub struct Models {
    store: Mutex<Store>,
}

/// The method, for faults and the ledger of calls.
const METHOD: &str = "chat.completions";

pub fn routes() -> Router<Arc<World>> {
    Router::new().route("/v1/chat/completions", post(complete)).route("/v1/models", get(list)).layer(DefaultBodyLimit::disable())
}

async fn list(State(world): State<Arc<World>>, headers: HeaderMap) -> Response<Body> {
    let store = lock(&world.models.store);
    if let Some(refusal) = store.key_of(&headers).refusal() {
        return refused(store.control.dialect, &refusal);
    }
    let created = world.now().timestamp();
    let models = store.control.models.iter();
    let data: Value =
        models.map(|id| json!({ "id": id, "object": "model", "created": created, "owned_by": "simulator" })).collect();
    with(200, json!({ "object": "list", "data": data }).to_string(), "application/json")
}

async fn complete(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response<Body> {
    let _call = world.ledger.begin(METHOD, None, None, ("models", 1));
    let fault = world.faults.strike(METHOD, None, false);
    let refusal = |world: &World, fault: &_| errors::of_fault(lock(&world.models.store).control.dialect, fault);
    let response = reply::with_fault_as(&world, fault, refusal, async || answer(&world, &headers, &body)).await;
    world.ledger.answered(response.status().as_u16());
    response
}

/// The answer of a working server, and the entry in the ledger of prompts.
fn answer(world: &World, headers: &HeaderMap, body: &[u8]) -> Response<Body> {
    let now = world.now();
    let mut store = lock(&world.models.store);
    let key = store.key_of(headers);
    let request: Value = serde_json::from_slice(body).unwrap_or_default();
    let mut entry = Entry { at: now, key, body: request, status: 200, prompt_tokens: 0, completion_tokens: 0, content: None };
    let result = match key.refusal() {
        Some(refusal) => Err(refusal),
        None => store.answer(&mut entry, now),
    };
    let response = match result {
        Ok(value) => with(200, value.to_string(), "application/json"),
        Err(refusal) => refused(store.control.dialect, &refusal),
    };
    entry.status = response.status().as_u16();
    store.ledger.push(entry);
    response
}

impl Key {
    fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Good => None,
            Self::Bad => Some(Refusal::BadKey),
            Self::Absent => Some(Refusal::NoKey),
        }
    }
}

/// The bearer token of a request.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
