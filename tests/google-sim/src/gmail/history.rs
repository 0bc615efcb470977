//! `history.list`: what changed since a history id.

use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ask::{Ask, not_found, token};
use super::labels::Names;
use super::mailbox::{Change, Record};
use crate::errors;
use crate::place::{Refusal, bad};
use crate::schema;
use crate::state::{User, lock};

const TYPES: [&str; 4] = ["messageAdded", "messageDeleted", "labelAdded", "labelRemoved"];

/// Where a page continues, in a pass from `start`.
#[derive(Serialize, Deserialize)]
struct Place {
    start: u64,
    after: u64,
}

pub async fn list(ask: Ask) -> Response {
    ask.answer(("history.list", 2), &schema::HISTORY, |user| page(&ask, user)).await
}

fn page(ask: &Ask, user: &User) -> Result<Value, Refusal> {
    let invalid = |why: &str| Box::new(errors::google(400, "invalidArgument", &format!("Invalid startHistoryId: {why}")));
    let start = ask.get("startHistoryId").ok_or_else(|| invalid("it is required"))?;
    let start: u64 = start.parse().map_err(|_| invalid("not a number"))?;
    let limit = ask.limit()?;
    let types: Vec<&str> = ask.all("historyTypes").collect();
    if let Some(unknown) = types.iter().find(|name| !TYPES.contains(name)) {
        return Err(bad("historyTypes", unknown));
    }
    let mailbox = lock(&user.mailbox);
    let label = match ask.get("labelId") {
        Some(id) => Some(mailbox.labels.find(id).ok_or_else(|| bad("labelId", id))?),
        None => None,
    };
    let after = match ask.place::<Place>()? {
        Some(place) if place.start != start => return Err(bad("pageToken", "belongs to another startHistoryId")),
        Some(place) => place.after,
        None => start,
    };
    // The pass itself may have expired between two pages.
    if mailbox.since(start).is_none() {
        return Err(not_found());
    }
    let mut rest = mailbox
        .since(after)
        .ok_or_else(not_found)?
        .filter(|record| types.is_empty() || types.contains(&kind(&record.change)))
        .filter(|record| label.is_none_or(|label| concerns(record, label)))
        .peekable();
    let limit = if ask.get("pageToken").is_none() && ask.comes_empty() { 0 } else { limit };
    let mut last = after;
    let mut records = Vec::new();
    while let Some(record) = rest.next_if(|_| records.len() < limit) {
        last = record.id;
        records.push(shown(record, &mailbox.labels));
    }
    let mut body = Map::new();
    if !records.is_empty() {
        body.insert("history".into(), Value::Array(records));
    }
    if rest.peek().is_some() {
        body.insert("nextPageToken".into(), json!(token(&Place { start, after: last })));
    }
    body.insert("historyId".into(), json!(mailbox.now().to_string()));
    Ok(Value::Object(body))
}

fn kind(change: &Change) -> &'static str {
    match change {
        Change::Added => TYPES[0],
        Change::Deleted => TYPES[1],
        Change::LabelsAdded(_) => TYPES[2],
        Change::LabelsRemoved(_) => TYPES[3],
    }
}

/// Whether the message had or has the label, or lost it with this change.
fn concerns(record: &Record, label: u16) -> bool {
    let lost = matches!(&record.change, Change::LabelsRemoved(labels) if labels.contains(&label));
    lost || record.labels.contains(&label)
}

fn shown(record: &Record, names: &Names) -> Value {
    let (id, thread) = (format!("{:016x}", record.message), format!("{:016x}", record.thread));
    let mut message = json!({ "id": id, "threadId": thread });
    if !record.labels.is_empty() {
        message["labelIds"] = json!(names.ids(&record.labels));
    }
    let (list, change) = match &record.change {
        Change::Added => ("messagesAdded", json!([{ "message": message }])),
        Change::Deleted => ("messagesDeleted", json!([{ "message": message }])),
        Change::LabelsAdded(labels) => ("labelsAdded", json!([{ "message": message, "labelIds": names.ids(labels) }])),
        Change::LabelsRemoved(labels) => ("labelsRemoved", json!([{ "message": message, "labelIds": names.ids(labels) }])),
    };
    let mut record = json!({ "id": record.id.to_string(), "messages": [{ "id": id, "threadId": thread }] });
    record[list] = change;
    record
}
