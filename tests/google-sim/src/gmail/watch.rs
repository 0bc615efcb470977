//! `users.watch` and `users.stop`.

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::json;

use super::ask::Ask;
use crate::errors;
use crate::place::Refusal;
use crate::push;
use crate::schema;
use crate::state::lock;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wish {
    #[serde(default)]
    topic_name: String,
    #[serde(default)]
    label_ids: Vec<String>,
    /// `labelFilterAction` is its old name.
    #[serde(alias = "labelFilterAction")]
    label_filter_behavior: Option<String>,
}

pub async fn watch(ask: Ask, body: Bytes) -> Response {
    ask.answer(("users.watch", 100), &schema::WATCH, |user| {
        let wish: Wish = serde_json::from_slice(&body).map_err(|error| invalid(&format!("Invalid JSON payload: {error}")))?;
        let parts: Vec<&str> = wish.topic_name.split('/').collect();
        if !matches!(parts[..], ["projects", project, "topics", topic] if !project.is_empty() && !topic.is_empty()) {
            return Err(invalid("Invalid topicName does not match projects/*/topics/*"));
        }
        let excludes = match wish.label_filter_behavior.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("include") => false,
            Some("exclude") => true,
            Some(_) => return Err(invalid("Invalid labelFilterBehavior")),
        };
        let mut mailbox = lock(&user.mailbox);
        if let Some(label) = wish.label_ids.iter().find(|label| mailbox.labels.find(label).is_none()) {
            return Err(invalid(&format!("Invalid label: {label}")));
        }
        mailbox.bell.get_or_insert_with(|| ask.world.bell(&user.email));
        let expires = push::watch_mailbox(&ask.world, &user.email, wish.topic_name, (wish.label_ids, excludes), mailbox.now());
        Ok(json!({ "historyId": mailbox.now().to_string(), "expiration": expires.to_string() }))
    })
    .await
}

/// Ends the watch, if any. The body is read first, because a body that arrives after the answer would end the connection.
pub async fn stop(ask: Ask, _: Bytes) -> Response {
    let answer = ask
        .answer(("users.stop", 50), &schema::NOTHING, |user| {
            push::stop_mailbox(&ask.world, &user.email);
            Ok(json!({}))
        })
        .await;
    match answer.status() {
        StatusCode::OK => StatusCode::NO_CONTENT.into_response(),
        _ => answer,
    }
}

fn invalid(message: &str) -> Refusal {
    Box::new(errors::google(400, "invalidArgument", message))
}
