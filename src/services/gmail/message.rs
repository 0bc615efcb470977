//! The items of a mailbox: messages in Gmail's JSON, changes of labels, and deletions. No network or database access.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::attachments::File;
use super::attachments::memory::Held;
use super::headers::{self, Headers};
use super::labels::{Label, ListFailure, Listing};
use super::mail::{self, Attachment, Kind, Mail};
use crate::db::items::Poison;
use crate::engine::Item;

/// One change in a page of a mailbox.
pub enum Change {
    Message(Box<Message>),
    /// The current labels of a stored message.
    Labels {
        history_id: i64,
        labels: Vec<String>,
    },
    Deleted,
    /// All labels of the mailbox, or why they could not be listed.
    LabelList(Listing),
}

/// An existing message.
pub struct Message {
    pub thread_id: String,
    pub history_id: Option<i64>,
    pub labels: Vec<String>,
    pub received_at: Option<DateTime<Utc>>,
    pub snippet: Option<String>,
    pub size: Option<i64>,
    /// In the order in which they were sent.
    pub headers: Vec<(String, String)>,
    pub mail: Mail,
    /// Whether text and attachments were read too.
    pub is_complete: bool,
    pub html: Option<String>,
    /// In the order of the attachments; empty if none are to be stored.
    pub files: Vec<File>,
    /// The memory of their contents, unless the message comes from quarantine.
    pub held: Option<Held>,
}

impl Message {
    /// Gives back memory that the contents of its attachments do not need.
    pub fn fit_memory(&mut self) {
        if let Some(held) = &mut self.held {
            held.shrink(self.files.iter().map(|file| file.content.held()).sum());
        }
    }
}

/// The JSON of an item: Gmail's `Message`, a change from the history for which the message is not fetched, or the list of labels. syncctl's own
/// fields distinguish them.
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
    /// What was parsed from the raw message, which is not kept.
    #[serde(rename = "syncctl.whole", skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// The change from the history, if the message was not fetched.
    #[serde(rename = "syncctl.told", skip_serializing_if = "Option::is_none")]
    pub history_change: Option<HistoryChange>,
    /// The labels of the mailbox, if the item is their list.
    #[serde(rename = "syncctl.labels", skip_serializing_if = "Option::is_none")]
    pub label_list: Option<Vec<Label>>,
    /// Why the labels, or their colours, could not be listed.
    #[serde(rename = "syncctl.labelsFailed", skip_serializing_if = "Option::is_none")]
    pub label_failure: Option<ListFailure>,
}

/// The part of `MessagePart` that `format=metadata` fills.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Payload {
    pub headers: Headers,
}

/// Text and attachments of a completely read message.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Content {
    pub text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
    /// In the order of the attachments; empty if none are to be stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
    pub kind: Kind,
    pub note: Option<String>,
    /// Headers that are not UTF-8, for which Gmail returns U+FFFD: name and value.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
}

/// A change that a history record describes completely, so that the message need not be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HistoryChange {
    Labels,
    Deleted,
}

impl Resource {
    /// The JSON of the item.
    ///
    /// # Errors
    /// Returns `Poison` if serialization fails, which does not happen with data from Gmail.
    pub fn to_raw(&self) -> Result<Box<RawValue>, Poison> {
        serde_json::value::to_raw_value(self).map_err(|error| Poison {
            item_id: self.id.clone(),
            raw: String::new(),
            error: error.to_string(),
            unfetched: None,
        })
    }

    /// The note on dropped headers, if there are any.
    pub fn headers_note(&self) -> Option<&'static str> {
        self.payload.as_ref().is_some_and(|payload| payload.headers.is_cut).then_some(headers::CUT)
    }
}

/// Parses the JSON of an item.
pub fn decode(raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    let resource: Resource =
        serde_json::from_str(raw.get()).map_err(|error| Poison::of(&raw, format!("not a message: {error}")))?;
    item(resource, raw)
}

/// Converts a resource to an item. `raw`: its JSON.
pub fn item(resource: Resource, raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    if resource.id.is_empty() {
        return Err(Poison::of(&raw, "not a message: no id"));
    }
    if resource.label_list.is_some() || resource.label_failure.is_some() {
        let listing = Listing { labels: resource.label_list, failure: resource.label_failure };
        return Ok(Item { id: resource.id, raw, changed_at: None, change: Change::LabelList(listing) });
    }
    let number = |name: &str, text: &Option<String>| -> Result<Option<i64>, Poison> {
        let parsed = text.as_deref().map(str::parse::<i64>).transpose();
        parsed.map_err(|_| Poison::of(&raw, format!("not a message: {name} is not a number")))
    };
    let history_id = number("historyId", &resource.history_id)?;
    let id = resource.id.clone();
    let (changed_at, change) = match resource.history_change {
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
    if let Some(content) = &resource.content {
        restore(&mut headers, &content.headers);
    }
    let mut mail = mail::of_headers(&headers);
    let is_complete = resource.content.is_some();
    // The note on the content includes the one on the headers.
    let note = resource.content.as_ref().map_or(of_headers, |content| content.note.clone());
    let notes: Vec<String> = note.into_iter().chain(mail.note).collect();
    mail.note = (!notes.is_empty()).then(|| notes.join("; "));
    let (mut html, mut files) = (None, Vec::new());
    if let Some(content) = resource.content {
        let Content { text, attachments, kind, .. } = content;
        (html, files) = (content.html, content.files);
        mail = Mail { text, attachments, kind, ..mail };
    }
    Message {
        thread_id: resource.thread_id.unwrap_or_default(),
        history_id,
        labels: labels(resource.label_ids),
        received_at,
        // Gmail returns it HTML-escaped.
        snippet: resource.snippet.map(|snippet| mail::plain(&snippet)),
        size: resource.size_estimate,
        headers,
        mail,
        is_complete,
        html,
        files,
        held: None,
    }
}

/// Replaces values with U+FFFD by known ones, matching headers by name and order.
fn restore(headers: &mut [(String, String)], known: &[(String, String)]) {
    let mut lost: Vec<_> = headers.iter_mut().filter(|(_, value)| value.contains('\u{fffd}')).collect();
    for (name, value) in known {
        let index = lost.iter().position(|(own, _)| own.eq_ignore_ascii_case(name));
        if let Some((_, own)) = index.map(|index| lost.remove(index)) {
            own.clone_from(value);
        }
    }
}

/// Sorts labels, so that equal sets compare equal.
fn labels(mut labels: Vec<String>) -> Vec<String> {
    labels.sort_unstable();
    labels.dedup();
    labels
}
