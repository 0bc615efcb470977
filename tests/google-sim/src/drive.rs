//! Drive: files that users share, shared drives, change feeds, and the API over them.

mod admin;
mod changes;
mod churn;
mod content;
mod edit;
mod file;
mod generate;
mod get;
mod list;
mod load;
mod notice;
mod params;
mod permission;
mod query;
mod readers;
mod store;
mod watch;
mod workbook;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::state::World;

pub use store::Store;

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/drive/v3/changes/startPageToken", get(changes::start_page_token))
        .route("/drive/v3/changes", get(changes::list))
        .route("/drive/v3/files", get(list::files))
        .route("/drive/v3/files/{file}", get(get::file))
        .route("/drive/v3/files/{file}/export", get(get::export))
        .route("/drive/v3/about", get(get::about))
        .route("/drive/v3/drives", get(list::drives))
        .route("/drive/v3/changes/watch", post(watch::changes))
        .route("/drive/v3/files/{file}/watch", post(watch::file))
        .route("/drive/v3/channels/stop", post(watch::stop))
}

/// The test's side, under `/admin`.
pub fn admin_routes() -> Router<Arc<World>> {
    Router::new().nest("/drive", admin::routes())
}
