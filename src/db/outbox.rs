//! Events for external targets (table `outbox_events`), written in the transaction of the data they describe. Independent of the services; does not
//! use the network.

use anyhow::Context;
use chrono::{SecondsFormat, Utc};
use deadpool_postgres::Transaction;
use serde_json::{Map, Value, json};
use tokio_postgres::types::Type;
use uuid::Uuid;

/// Version of the payload's format, which `schemas/event.json` describes.
const VERSION: u32 = 1;

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

/// Writes events. The next run delivers them after the transaction.
pub async fn emit(tx: &Transaction<'_>, events: &[Event]) -> anyhow::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    // Increasing ids, so that the index grows at its end.
    let ids: Vec<Uuid> = events.iter().map(|_| Uuid::now_v7()).collect();
    let payloads: Vec<Value> = events.iter().zip(&ids).map(|(event, id)| payload(event, *id, &now)).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind).collect();
    let documents: Vec<Uuid> = events.iter().map(|event| event.document).collect();
    let users: Vec<Uuid> = events.iter().map(|event| event.user).collect();
    tx.execute_typed(
        "INSERT INTO outbox_events (id, type, subject, user_id, payload)
         SELECT e.id, e.type, e.subject, e.user_id,
           -- The decided project, whatever project the document's source names.
           CASE WHEN d.id IS NULL THEN e.payload ELSE e.payload || jsonb_build_object('project_id', d.project_id) END
         FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::jsonb[]) WITH ORDINALITY AS e (id, type, subject, user_id, payload, ordinal)
         LEFT JOIN documents d ON d.id = e.subject ORDER BY e.ordinal",
        &[
            (&ids, Type::UUID_ARRAY),
            (&kinds, Type::TEXT_ARRAY),
            (&documents, Type::UUID_ARRAY),
            (&users, Type::UUID_ARRAY),
            (&payloads, Type::JSONB_ARRAY),
        ],
    )
    .await
    .context("writing outbox events")?;
    Ok(())
}

fn payload(event: &Event, id: Uuid, now: &str) -> Value {
    let mut payload = event.about.clone();
    payload.insert("id".into(), json!(id));
    payload.insert("version".into(), json!(VERSION));
    payload.insert("type".into(), json!(event.kind));
    payload.insert("occurred_at".into(), json!(now));
    payload.insert("user_id".into(), json!(event.user));
    payload.insert("document_id".into(), json!(event.document));
    payload.insert("project_id".into(), json!(event.project));
    payload.insert("source".into(), json!("syncctl"));
    Value::Object(payload)
}
