//! Gmail: a mailbox for each user, its history, and the API over them.

use std::sync::Arc;

use axum::Router;

use crate::state::World;

/// One user's mail.
#[derive(Default)]
pub struct Mailbox;

pub fn routes() -> Router<Arc<World>> {
    Router::new()
}

/// The test's side, under `/admin`.
pub fn admin_routes() -> Router<Arc<World>> {
    Router::new()
}
