//! A receiver of webhooks, as n8n is one: records what comes, and answers as it is told.

use std::sync::Arc;

use axum::Router;

use crate::state::World;

/// What came, and how the next ones are answered.
#[derive(Default)]
pub struct Sink;

/// Where events are POSTed, under `/sink`, and the test's side, under `/admin/sink`.
pub fn routes() -> Router<Arc<World>> {
    Router::new()
}
