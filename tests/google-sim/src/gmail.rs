//! Gmail: a mailbox for each user, its history, and the API over them.

mod admin;
mod ask;
mod attachments;
mod churn;
mod envelope;
mod generate;
mod headers;
mod history;
mod labels;
mod letter;
mod load;
mod mailbox;
mod mbox;
mod messages;
mod payload;
mod query;
mod shapes;
mod watch;
mod words;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

pub use admin::routes as admin_routes;
pub use mailbox::Mailbox;

use crate::schema;
use crate::state::{World, lock};
use ask::Ask;

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/gmail/v1/users/{user}/profile", get(profile))
        .route("/gmail/v1/users/{user}/labels", get(labels::list))
        .route("/gmail/v1/users/{user}/labels/{label}", get(labels::get))
        .route("/gmail/v1/users/{user}/history", get(history::list))
        .route("/gmail/v1/users/{user}/messages", get(messages::list))
        .route("/gmail/v1/users/{user}/messages/{message}", get(messages::get))
        .route("/gmail/v1/users/{user}/watch", post(watch::watch))
        .route("/gmail/v1/users/{user}/stop", post(watch::stop))
}

async fn profile(ask: Ask) -> Response {
    ask.answer(("getProfile", 1), &schema::PROFILE, |user| {
        let mailbox = lock(&user.mailbox);
        Ok(json!({ "emailAddress": user.email, "messagesTotal": mailbox.len(), "threadsTotal": mailbox.threads(),
            "historyId": mailbox.now().to_string() }))
    })
    .await
}
