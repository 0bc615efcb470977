//! Events for external targets (table `outbox_events`), written in the transaction of the data they describe. Independent of the services; does not
//! use the network.

use anyhow::Context;
use chrono::{SecondsFormat, Utc};
use deadpool_postgres::Transaction;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::nul;

/// Version of the payload's format, which `schemas/event.json` describes.
const VERSION: u32 = 1;
/// Maximum number of characters of a text of a provider in the event of an item.
const MAX_TEXT: usize = 1_000;

/// An event of a document.
#[derive(Debug, Clone)]
pub struct Event {
    /// Event type, such as `drive.file.modified`.
    pub kind: &'static str,
    /// The affected document. Events of one document are delivered in order.
    pub document: Uuid,
    pub user: Uuid,
    pub project: Option<Uuid>,
    /// Additional fields of the service: `file_id`, `action`, `file`.
    pub about: Map<String, Value>,
}

/// An event of an item that is not a document.
#[derive(Debug, Clone)]
pub struct ItemEvent {
    /// Event type, such as `calendar.event.moved`.
    pub kind: &'static str,
    /// The stream, and the provider's id of the affected item in it. Events of one item are delivered in order.
    pub stream: i64,
    pub item: String,
    pub user: Uuid,
    /// An id by which the event is written at most once. `None`: a new one.
    pub id: Option<Uuid>,
    /// Additional fields of the service.
    pub about: Map<String, Value>,
}

/// A row of `outbox_events`.
struct Row {
    id: Uuid,
    kind: &'static str,
    subject: Uuid,
    user: Uuid,
    payload: Value,
}

/// Writes events. The next run delivers them after the transaction.
pub async fn emit(tx: &Transaction<'_>, events: &[Event]) -> anyhow::Result<()> {
    let row = |event: &Event, now: &str| {
        // Increasing ids, so that the index grows at its end.
        let id = Uuid::now_v7();
        let mut about = event.about.clone();
        about.insert("document_id".into(), json!(event.document));
        about.insert("project_id".into(), json!(event.project));
        let payload = payload(id, event.kind, event.user, about, now);
        Row { id, kind: event.kind, subject: event.document, user: event.user, payload }
    };
    let now = now();
    write(tx, events.iter().map(|event| row(event, &now)).collect()).await
}

/// Writes events of items that are not documents.
pub async fn emit_of_items(tx: &Transaction<'_>, events: &[ItemEvent]) -> anyhow::Result<()> {
    let row = |event: &ItemEvent, now: &str| {
        let id = event.id.unwrap_or_else(Uuid::now_v7);
        let payload = payload(id, event.kind, event.user, event.about.clone(), now);
        Row { id, kind: event.kind, subject: subject(event.stream, &event.item), user: event.user, payload }
    };
    let now = now();
    write(tx, events.iter().map(|event| row(event, &now)).collect()).await
}

async fn write(tx: &Transaction<'_>, rows: Vec<Row>) -> anyhow::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let kinds: Vec<&str> = rows.iter().map(|row| row.kind).collect();
    let subjects: Vec<Uuid> = rows.iter().map(|row| row.subject).collect();
    let users: Vec<Uuid> = rows.iter().map(|row| row.user).collect();
    let payloads: Vec<&Value> = rows.iter().map(|row| &row.payload).collect();
    tx.execute_typed(
        "INSERT INTO outbox_events (id, type, subject, user_id, payload)
         SELECT e.id, e.type, e.subject, e.user_id,
           -- The decided project, whatever project the document's source names.
           CASE WHEN d.id IS NULL THEN e.payload ELSE e.payload || jsonb_build_object('project_id', d.project_id) END
         FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::jsonb[]) WITH ORDINALITY AS e (id, type, subject, user_id, payload, ordinal)
         LEFT JOIN documents d ON d.id = e.subject ORDER BY e.ordinal
         ON CONFLICT (id) DO NOTHING",
        &[
            (&ids, Type::UUID_ARRAY),
            (&kinds, Type::TEXT_ARRAY),
            (&subjects, Type::UUID_ARRAY),
            (&users, Type::UUID_ARRAY),
            (&payloads, Type::JSONB_ARRAY),
        ],
    )
    .await
    .context("writing outbox events")?;
    Ok(())
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn payload(id: Uuid, kind: &str, user: Uuid, about: Map<String, Value>, now: &str) -> Value {
    let mut payload = about;
    payload.insert("id".into(), json!(id));
    payload.insert("version".into(), json!(VERSION));
    payload.insert("type".into(), json!(kind));
    payload.insert("occurred_at".into(), json!(now));
    payload.insert("user_id".into(), json!(user));
    payload.insert("source".into(), json!("syncctl"));
    Value::Object(payload)
}

/// The subject of an item's events: a hash of the stream and the item (a UUID of version 8).
fn subject(stream: i64, item: &str) -> Uuid {
    let hash = Sha256::new().chain_update(stream.to_le_bytes()).chain_update(item).finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// The beginning of a provider's text, for the event of an item.
pub fn short(text: &str) -> String {
    nul::replaced(text).chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_of_an_item_depends_on_its_stream_and_its_id() {
        let one = subject(1, "a");
        assert_eq!((one, one.get_version_num()), (subject(1, "a"), 8));
        assert!(one != subject(1, "b") && one != subject(2, "a"));
    }

    #[test]
    fn a_long_text_is_cut_and_has_no_nul() {
        assert_eq!(short(&"ü".repeat(5_000)).chars().count(), MAX_TEXT);
        assert_eq!(short("a\0b"), "a\u{fffd}b");
    }
}
