//! The test's side, under `/admin/mail`: fill mailboxes, change their messages, read the true state.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::json;

use super::envelope::Envelope;
use super::labels::{self, INBOX, Labels, UNREAD};
use super::mailbox::{Mailbox, Text};
use super::{attachments, churn, generate, load};
use crate::admin::{Answer, Params, Shared, Wrong, user};
use crate::state::{World, lock};

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/mail/generate", post(generate))
        .route("/mail/load", post(load))
        .route("/mail/churn", post(churn))
        .route("/mail/messages", post(put_message).delete(delete_message))
        .route("/mail/attachments", post(attachments::put).get(attachments::state))
        .route("/mail/labels", post(relabel).get(labels::state))
        .route("/mail/label", post(labels::put).delete(labels::delete))
        .route("/mail/headers", post(headers))
        .route("/mail/state", get(state))
}

/// Not on the threads that answer calls: hundreds of megabytes take a while.
async fn load(State(world): Shared, Json(order): Json<load::Order>) -> Answer {
    let loaded = tokio::task::spawn_blocking(move || load::load(&world, &order)).await;
    let loaded = loaded.map_err(|error| Wrong(format!("loading: {error}")))?;
    Ok(Json(json!(loaded.map_err(|error| Wrong(format!("{error:#}")))?)))
}

async fn churn(State(world): Shared, Json(order): Json<churn::Order>) -> Answer {
    Ok(Json(json!(churn::churn(&world, &order)?)))
}

async fn generate(State(world): Shared, Json(order): Json<generate::Order>) -> Answer {
    let made = tokio::task::spawn_blocking(move || generate::generate(&world, &order)).await;
    let made = made.map_err(|error| Wrong(format!("generating: {error}")))??;
    Ok(Json(json!(made)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutMessage {
    user: String,
    /// The text in RFC 5322 format.
    raw: Option<String>,
    /// The same, for bytes that are not UTF-8.
    raw_base64: Option<String>,
    /// Ids or names; absent: those of `X-Gmail-Labels`, else INBOX and UNREAD.
    labels: Option<Vec<String>>,
    /// Absent: the text's `Date`, else now.
    internal_date: Option<DateTime<Utc>>,
}

async fn put_message(State(world): Shared, Json(put): Json<PutMessage>) -> Answer {
    let user = user(&world, &put.user)?;
    let text = match (put.raw, put.raw_base64) {
        (Some(raw), None) => raw.into_bytes(),
        (None, Some(raw)) => BASE64.decode(raw.as_bytes()).map_err(|error| Wrong(format!("raw_base64: {error}")))?,
        _ => return Err(Wrong("give either raw or raw_base64".into())),
    };
    let mut mailbox = lock(&user.mailbox);
    let envelope = Envelope::of(&text);
    let labels = match put.labels.as_ref().or(envelope.labels.as_ref()) {
        Some(names) => places(&mut mailbox, names)?,
        None => [INBOX, UNREAD].into(),
    };
    let at = put.internal_date.map(|at| at.timestamp_millis()).or(envelope.date).unwrap_or(world.now().timestamp_millis());
    let id = deliver(&mut mailbox, text, &envelope, at, labels);
    Ok(Json(json!({ "id": format!("{id:016x}") })))
}

/// Adds a given message to the thread that it answers or names.
pub fn deliver(mailbox: &mut Mailbox, text: Vec<u8>, envelope: &Envelope, at: i64, labels: Labels) -> u64 {
    let answered = || envelope.answers.iter().find_map(|id| mailbox.known.get(id).copied());
    let thread = envelope.thread.or_else(answered);
    let id = mailbox.add(Text::Given(text.into()), at, labels, thread);
    if let Some(own) = &envelope.id {
        mailbox.known.insert(own.clone(), thread.unwrap_or(id));
    }
    id
}

/// Labels by id or name; unknown ones become the user's.
pub fn places(mailbox: &mut Mailbox, names: &[String]) -> Result<Labels, Wrong> {
    let named = names.iter().map(|name| mailbox.labels.named(name).ok_or_else(|| Wrong("too many labels".into())));
    Ok(labels::labels(named.collect::<Result<_, _>>()?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteMessage {
    user: String,
    id: String,
}

async fn delete_message(State(world): Shared, Json(gone): Json<DeleteMessage>) -> Answer {
    let user = user(&world, &gone.user)?;
    if lock(&user.mailbox).delete(message(&gone.id)?) {
        Ok(Json(json!({ "deleted": gone.id })))
    } else {
        Err(Wrong(format!("{} has no message {}", gone.user, gone.id)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Relabel {
    user: String,
    id: String,
    #[serde(default)]
    add: Vec<String>,
    #[serde(default)]
    remove: Vec<String>,
}

async fn relabel(State(world): Shared, Json(order): Json<Relabel>) -> Answer {
    let user = user(&world, &order.user)?;
    let mut mailbox = lock(&user.mailbox);
    let (add, remove) = (places(&mut mailbox, &order.add)?, places(&mut mailbox, &order.remove)?);
    let id = message(&order.id)?;
    if mailbox.relabel(id, &add, &remove) {
        Ok(Json(json!({ "id": order.id })))
    } else {
        Err(Wrong(format!("{} has no message {}", order.user, order.id)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Headers {
    decoded: bool,
}

/// Whether headers have their encoded words decoded; initially unchanged from the file.
async fn headers(State(world): Shared, Json(order): Json<Headers>) {
    world.decoded_headers.store(order.decoded, Ordering::Relaxed);
}

fn message(id: &str) -> Result<u64, Wrong> {
    u64::from_str_radix(id, 16).map_err(|_| Wrong(format!("no id of a message: {id}")))
}

/// Every live message, as JSON lines in the order of arrival.
async fn state(State(world): Shared, Query(params): Params) -> String {
    let mut lines = String::new();
    for user in world.all_users() {
        if params.get("user").is_some_and(|given| *given != user.email) {
            continue;
        }
        let mailbox = lock(&user.mailbox);
        for (id, message) in mailbox.all() {
            let mut labels = mailbox.labels.ids(&message.labels);
            labels.sort_unstable();
            let line = json!({ "user": user.email, "id": format!("{id:016x}"), "thread": format!("{:016x}", message.thread),
                "labels": labels, "internal_date": message.at });
            let _ = writeln!(lines, "{line}");
        }
    }
    lines
}
