//! Virtual addresses found in messages (table `gmail_detections`), and the resulting documents and events. No network access.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::message::{Change, Message};
use crate::address::{Name, Pattern};
use crate::db::Pool;
use crate::db::accounts;
use crate::db::documents::{self, Document};
use crate::db::outbox::{self, Event};
use crate::engine::{Item, Stream};

/// `documents.source`
pub const SOURCE: &str = "gmail";
/// Event types.
const DETECTED: &str = "gmail.message.detected";
const DELETED: &str = "gmail.message.deleted";
/// All standard event types of Gmail.
pub const EVENTS: [&str; 2] = [DETECTED, DELETED];

/// Which detections emit an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    /// Addresses that were not recorded before.
    NewAddresses,
    /// Only those whose document is new too, so that a lost row does not repeat an event.
    NewDocuments,
}

/// A virtual address in a message.
struct Detection<'a> {
    id: &'a str,
    message: &'a Message,
    address: String,
    name: Name,
}

/// Maximum number of virtual addresses per message: each creates a document.
const MAX_ADDRESSES: usize = 100;
/// The note for a message with more.
pub const CUT: &str = "virtual addresses beyond the first 100 were left out";

/// The distinct virtual addresses of a message, in lower case, each with the name that it contains, and whether there are more than the
/// maximum.
pub fn addresses(recipients: &[String], pattern: &Pattern) -> (BTreeMap<String, Name>, bool) {
    let mut names = BTreeMap::new();
    for address in recipients {
        if let Some(name) = pattern.name(address) {
            if names.len() == MAX_ADDRESSES && !names.contains_key(&address.to_lowercase()) {
                return (names, true);
            }
            names.insert(address.to_lowercase(), name);
        }
    }
    (names, false)
}

/// Records the virtual addresses of a page's messages, each once per message. A message to an address that names a user becomes that user's
/// document.
pub async fn apply(tx: &Transaction<'_>, pattern: &Pattern, stream: &Stream, items: &[Item<Change>]) -> anyhow::Result<()> {
    let messages = items.iter().filter_map(|item| match &item.change {
        Change::Message(message) => Some((item.id.as_str(), &**message)),
        Change::Labels { .. } | Change::LabelList(_) | Change::Deleted => None,
    });
    for_messages(tx, pattern, stream, &Vec::from_iter(messages), Announce::NewAddresses).await
}

/// Does the same for these messages.
pub async fn for_messages(
    tx: &Transaction<'_>,
    pattern: &Pattern,
    stream: &Stream,
    messages: &[(&str, &Message)],
    announce: Announce,
) -> anyhow::Result<()> {
    let mut detections = Vec::new();
    for (id, message) in messages {
        let (names, _) = addresses(&message.mail.recipients, pattern);
        detections.extend(names.into_iter().map(|(address, name)| Detection { id, message, address, name }));
    }
    if detections.is_empty() {
        return Ok(());
    }
    let users = accounts::by_names(&**tx, detections.iter().map(|detection| &detection.name)).await?;
    let known = known(tx, stream, &detections).await?;
    let mut events = Vec::new();
    for detection in &detections {
        let user = users.get(&detection.name).copied();
        let document = match user {
            Some(user) => Some(store(tx, stream, user, detection, known.get(&(detection.id.to_owned(), user)).copied()).await?),
            None => None,
        };
        let new = record(tx, stream, detection, user, document.map(|document| document.id)).await?;
        if let (true, Some(user), Some(document)) = (new, user, document)
            && (announce == Announce::NewAddresses || document.change == documents::Change::Created)
        {
            let about = about(detection);
            events.push(Event { kind: DETECTED, document: document.id, user, project: None, about });
        }
    }
    outbox::emit(tx, &events).await
}

/// The ids of the documents of messages, by message and user: a document whose row was lost keeps its id.
async fn known(
    tx: &Transaction<'_>,
    stream: &Stream,
    detections: &[Detection<'_>],
) -> anyhow::Result<HashMap<(String, Uuid), Uuid>> {
    let ids: Vec<&str> = detections.iter().map(|detection| detection.id).collect();
    let rows = tx
        .query_typed(
            "SELECT message_id, user_id, document_id FROM gmail_detections
             WHERE stream_id = $1 AND message_id = ANY ($2) AND user_id IS NOT NULL AND document_id IS NOT NULL",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading which documents messages have")?;
    rows.iter().map(|row| Ok(((row.try_get(0)?, row.try_get(1)?), row.try_get(2)?))).collect()
}

/// Marks the documents of deleted messages and emits events.
pub async fn retire(tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> anyhow::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let source_ids: Vec<String> = ids.iter().map(|id| source_id(stream, id)).collect();
    let source_ids: Vec<&str> = source_ids.iter().map(String::as_str).collect();
    let retired = documents::retire(tx, SOURCE, &source_ids, None).await?;
    let events: Vec<Event> = retired
        .into_iter()
        .map(|gone| {
            let id = gone.source_id.rsplit_once('/').map_or(gone.source_id.as_str(), |(_, id)| id);
            let about = Map::from_iter([("message_id".to_owned(), json!(id))]);
            Event { kind: DELETED, document: gone.id, user: gone.user, project: gone.project, about }
        })
        .collect();
    outbox::emit(tx, &events).await
}

/// Message ids are unique only within a mailbox.
fn source_id(stream: &Stream, id: &str) -> String {
    format!("{}/{id}", stream.user_id)
}

async fn store(
    tx: &Transaction<'_>,
    stream: &Stream,
    user: Uuid,
    detection: &Detection<'_>,
    known: Option<Uuid>,
) -> anyhow::Result<documents::Stored> {
    let Message { thread_id, received_at, snippet, mail, .. } = detection.message;
    let details = json!({
        "mailbox_user_id": stream.user_id,
        "thread_id": thread_id,
        "rfc822_message_id": mail.message_id,
        "from_name": mail.from_name,
        "to": mail.to,
        "cc": mail.cc,
        "sent_at": mail.sent_at,
        "attachments": mail.attachments,
    });
    let source_id = source_id(stream, detection.id);
    let document = Document {
        id: known,
        user,
        source: SOURCE,
        source_id: &source_id,
        kind: mail.kind.name(),
        project: None,
        title: mail.subject.as_deref(),
        author: mail.from_address.as_deref(),
        occurred_at: *received_at,
        mime_type: Some("message/rfc822"),
        snippet: snippet.as_deref(),
        body: mail.text.as_deref(),
        details,
        note: mail.note.as_deref(),
    };
    documents::put(tx, &document).await
}

/// Stores a detection. Returns whether it is new, or names a user that was unknown before.
async fn record(
    tx: &Transaction<'_>,
    stream: &Stream,
    detection: &Detection<'_>,
    user: Option<Uuid>,
    document: Option<Uuid>,
) -> anyhow::Result<bool> {
    let status = if user.is_some() { "found" } else { "user_not_found" };
    let written = tx
        .execute_typed(
            "INSERT INTO gmail_detections AS d (stream_id, message_id, address, username, status, user_id, kind, document_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (stream_id, message_id, address) DO UPDATE
             SET status = excluded.status, user_id = excluded.user_id, document_id = excluded.document_id
             WHERE d.status = 'user_not_found' AND excluded.status = 'found'",
            &[
                (&stream.id, Type::INT8),
                (&detection.id, Type::TEXT),
                (&detection.address, Type::TEXT),
                (&detection.name.username, Type::TEXT),
                (&status, Type::TEXT),
                (&user, Type::UUID),
                (&detection.message.mail.kind.name(), Type::TEXT),
                (&document, Type::UUID),
            ],
        )
        .await
        .context("recording a virtual address")?;
    Ok(written == 1)
}

fn about(detection: &Detection<'_>) -> Map<String, Value> {
    let Detection { id, message, address, .. } = detection;
    let email = json!({
        "subject": message.mail.subject,
        "from": message.mail.from_address,
        "received_at": message.received_at,
        "snippet": message.snippet,
    });
    Map::from_iter([
        ("message_id".to_owned(), json!(id)),
        ("address".to_owned(), json!(address)),
        ("kind".to_owned(), json!(message.mail.kind.name())),
        ("email".to_owned(), email),
    ])
}

/// Streams that received mail at a virtual address in the last week.
pub async fn addressed(pool: &Pool) -> anyhow::Result<HashSet<i64>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT DISTINCT stream_id FROM gmail_detections WHERE status = 'found' AND detected_at > now() - interval '7 days'",
            &[],
        )
        .await
        .context("reading which mailboxes receive mail at virtual addresses")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
