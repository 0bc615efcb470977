//! The test's side of labels: create, change and delete them, and read the true state.

use std::fmt::Write as _;

use axum::extract::{Json, Query, State};
use serde::Deserialize;
use serde_json::json;

use super::{Color, Names};
use crate::admin::{Answer, Params, Shared, Wrong, user};
use crate::state::lock;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Put {
    user: String,
    /// Absent: a new label.
    id: Option<String>,
    name: Option<String>,
    color: Option<Color>,
    label_list_visibility: Option<String>,
    message_list_visibility: Option<String>,
}

/// Creates or changes a label. Google's history has no record of either.
pub async fn put(State(world): Shared, Json(put): Json<Put>) -> Answer {
    let user = user(&world, &put.user)?;
    let labels = &mut lock(&user.mailbox).labels;
    let taken = put.name.as_deref().is_some_and(|name| labels.all().any(|index| labels.shown(index)["name"] == name));
    if taken {
        return Err(Wrong("Label name exists or conflicts".into()));
    }
    let index = match (&put.id, &put.name) {
        (Some(id), _) => labels.find(id).ok_or_else(|| unknown(&put.user, id))?,
        (None, Some(name)) => labels.named(name).ok_or_else(|| Wrong("too many labels".into()))?,
        (None, None) => return Err(Wrong("give an id or a name".into())),
    };
    let id = labels.id(index);
    let own = labels.own_mut(index).ok_or_else(|| Wrong(format!("{id} is a system label")))?;
    own.name = put.name.unwrap_or_else(|| std::mem::take(&mut own.name));
    own.color = put.color.or_else(|| own.color.take());
    own.list_visibility = put.label_list_visibility.or_else(|| own.list_visibility.take());
    own.message_visibility = put.message_list_visibility.or_else(|| own.message_visibility.take());
    Ok(Json(json!({ "id": id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delete {
    user: String,
    id: String,
    /// Without records in the history: Google does not document whether there are any.
    #[serde(default)]
    silent: bool,
}

/// Deletes a label, and removes it from all messages.
pub async fn delete(State(world): Shared, Json(gone): Json<Delete>) -> Answer {
    let user = user(&world, &gone.user)?;
    let mut mailbox = lock(&user.mailbox);
    let index = mailbox.labels.find(&gone.id).ok_or_else(|| unknown(&gone.user, &gone.id))?;
    mailbox.remove_label(index, gone.silent);
    let own = mailbox.labels.own_mut(index).ok_or_else(|| Wrong(format!("{} is a system label", gone.id)))?;
    own.is_deleted = true;
    Ok(Json(json!({ "deleted": gone.id })))
}

fn unknown(user: &str, id: &str) -> Wrong {
    Wrong(format!("{user} has no label {id}"))
}

/// Every label, as JSON lines.
pub async fn state(State(world): Shared, Query(params): Params) -> String {
    let mut lines = String::new();
    for user in world.all_users() {
        if params.get("user").is_some_and(|given| *given != user.email) {
            continue;
        }
        let labels: &Names = &lock(&user.mailbox).labels;
        for index in labels.all() {
            let mut line = labels.shown(index);
            line["user"] = json!(user.email);
            line["color"] = json!(labels.color(index));
            let _ = writeln!(lines, "{line}");
        }
    }
    lines
}
