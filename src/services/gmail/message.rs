//! A message as Gmail gives it, a change of its labels, or its deletion: the items of a mailbox. Knows no network and no database.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::headers::{self, Headers};
use super::mail::{self, Attachment, Kind, Mail};
use crate::db::items::Poison;
use crate::engine::Item;

/// What a page of a mailbox names.
pub enum Change {
    Message(Box<Message>),
    /// The labels that a stored message has now.
    Labels {
        history_id: i64,
        labels: Vec<String>,
    },
    Deleted,
}

/// A message that is there.
pub struct Message {
    pub thread_id: String,
    pub history_id: Option<i64>,
    pub labels: Vec<String>,
    pub received_at: Option<DateTime<Utc>>,
    pub snippet: Option<String>,
    pub size: Option<i64>,
    /// As they were sent, in their order.
    pub headers: Vec<(String, String)>,
    pub mail: Mail,
    /// Whether text and attachments were read too.
    pub whole: bool,
}

/// The JSON of an item: Gmail's `Message`, or what the history tells of one that is not asked for. syncctl's own fields tell them apart.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resource {
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thread_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub label_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_estimate: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Payload>,
    /// What was read of the whole message, which itself is not kept.
    #[serde(rename = "syncctl.whole", skip_serializing_if = "Option::is_none")]
    pub whole: Option<Content>,
    /// What the history told of it, where it told no more.
    #[serde(rename = "syncctl.told", skip_serializing_if = "Option::is_none")]
    pub told: Option<HistoryChange>,
}

/// The part of `MessagePart` that `format=metadata` fills.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Payload {
    pub headers: Headers,
}

/// Text and attachments of a message that was read whole.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Content {
    pub text: Option<String>,
    pub attachments: Vec<Attachment>,
    pub kind: Kind,
    pub note: Option<String>,
    /// Headers of which Gmail gives U+FFFD, since they are not UTF-8: name and value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

/// What a history record says of a message that needs not be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryChange {
    Labels,
    Deleted,
}

impl Resource {
    /// As an item's JSON.
    ///
    /// # Errors
    /// Never with what Gmail sends; a failed serialization is told as poison.
    pub fn to_raw(&self) -> Result<Box<RawValue>, Poison> {
        serde_json::value::to_raw_value(self).map_err(|error| Poison {
            item_id: self.id.clone(),
            raw: String::new(),
            error: error.to_string(),
            unfetched: None,
        })
    }

    /// Why headers are missing, if some are.
    pub fn headers_note(&self) -> Option<&'static str> {
        self.payload.as_ref().is_some_and(|payload| payload.headers.is_cut).then_some(headers::CUT)
    }
}

/// Makes an item of its JSON.
pub fn decode(raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    let resource: Resource =
        serde_json::from_str(raw.get()).map_err(|error| Poison::of(&raw, format!("not a message: {error}")))?;
    item(resource, raw)
}

/// Makes an item of a resource; `raw`: its JSON.
pub fn item(resource: Resource, raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    if resource.id.is_empty() {
        return Err(Poison::of(&raw, "not a message: no id"));
    }
    let number = |name: &str, text: &Option<String>| -> Result<Option<i64>, Poison> {
        let parsed = text.as_deref().map(str::parse::<i64>).transpose();
        parsed.map_err(|_| Poison::of(&raw, format!("not a message: {name} is no number")))
    };
    let history_id = number("historyId", &resource.history_id)?;
    let id = resource.id.clone();
    let (changed_at, change) = match resource.told {
        Some(HistoryChange::Deleted) => (None, Change::Deleted),
        Some(HistoryChange::Labels) => {
            (None, Change::Labels { history_id: history_id.unwrap_or_default(), labels: labels(resource.label_ids) })
        }
        None => {
            let received_at = number("internalDate", &resource.internal_date)?.and_then(DateTime::from_timestamp_millis);
            (received_at, Change::Message(Box::new(message(resource, history_id, received_at))))
        }
    };
    Ok(Item { id, raw, changed_at, change })
}

fn message(resource: Resource, history_id: Option<i64>, received_at: Option<DateTime<Utc>>) -> Message {
    let of_headers = resource.headers_note().map(str::to_owned);
    let headers = resource.payload.into_iter().flat_map(|payload| payload.headers.kept);
    let mut headers: Vec<(String, String)> = headers.map(|header| (header.name, header.value)).collect();
    if let Some(whole) = &resource.whole {
        restore(&mut headers, &whole.headers);
    }
    let mut mail = mail::of_headers(&headers);
    let whole = resource.whole.is_some();
    // That of a whole message has it.
    let note = resource.whole.as_ref().map_or(of_headers, |whole| whole.note.clone());
    let notes: Vec<String> = note.into_iter().chain(mail.note).collect();
    mail.note = (!notes.is_empty()).then(|| notes.join("; "));
    if let Some(Content { text, attachments, kind, .. }) = resource.whole {
        mail = Mail { text, attachments, kind, ..mail };
    }
    Message {
        thread_id: resource.thread_id.unwrap_or_default(),
        history_id,
        labels: labels(resource.label_ids),
        received_at,
        // Gmail escapes it as HTML.
        snippet: resource.snippet.map(|snippet| mail::plain(&snippet)),
        size: resource.size_estimate,
        headers,
        mail,
        whole,
    }
}

/// Puts values that are known into the place of those with U+FFFD, name by name in their order.
fn restore(headers: &mut [(String, String)], known: &[(String, String)]) {
    let mut lost: Vec<_> = headers.iter_mut().filter(|(_, value)| value.contains('\u{fffd}')).collect();
    for (name, value) in known {
        let place = lost.iter().position(|(own, _)| own.eq_ignore_ascii_case(name));
        if let Some((_, own)) = place.map(|place| lost.remove(place)) {
            own.clone_from(value);
        }
    }
}

/// In one order, so that the same labels are the same.
fn labels(mut labels: Vec<String>) -> Vec<String> {
    labels.sort_unstable();
    labels.dedup();
    labels
}
