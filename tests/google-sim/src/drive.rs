//! Drive: files that users share, shared drives, change feeds, and the API over them.

use std::sync::Arc;

use axum::Router;

use crate::state::World;

/// The files of everybody.
#[derive(Default)]
pub struct Store;

pub fn routes() -> Router<Arc<World>> {
    Router::new()
}

/// The test's side, under `/admin`.
pub fn admin_routes() -> Router<Arc<World>> {
    Router::new()
}
