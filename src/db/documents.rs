//! Documents (table `documents`): the readable content of every service, stored by one function. Independent of the services.

use std::borrow::Cow;

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::nul;

/// A document as a service found it.
#[derive(Debug, Clone)]
pub struct Document<'a> {
    /// The id of the document if it is new; `None` to generate one.
    pub id: Option<Uuid>,
    /// The user who may read it (`users.id`).
    pub user: Uuid,
    /// The service that found it: `gmail`, `drive`.
    pub source: &'a str,
    /// Its id at the source; unique within user and source.
    pub source_id: &'a str,
    /// `email`, `drive_share`, `invitation`, `file`.
    pub kind: &'a str,
    pub project: Option<Uuid>,
    pub title: Option<&'a str>,
    pub author: Option<&'a str>,
    /// When it was received or last modified.
    pub occurred_at: Option<DateTime<Utc>>,
    pub mime_type: Option<&'a str>,
    pub snippet: Option<&'a str>,
    /// Its text. `None` keeps the stored text.
    pub body: Option<&'a str>,
    /// Fields specific to this source.
    pub details: Value,
    /// Why something is missing.
    pub note: Option<&'a str>,
}

/// The stored state of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// `documents.id`
    pub id: Uuid,
    pub version: i32,
    pub change: Change,
}

/// How it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Created,
    Updated,
    Unchanged,
}

fn clean(text: Option<&str>) -> Option<Cow<'_, str>> {
    text.map(nul::replaced)
}

/// Creates or updates a document. Its version increases if its content has changed or if it was deleted before. New and changed documents are queued to
/// be judged if their user has projects.
pub async fn put(tx: &Transaction<'_>, document: &Document<'_>) -> anyhow::Result<Stored> {
    let [title, author, mime, snippet, body, note] =
        [document.title, document.author, document.mime_type, document.snippet, document.body, document.note].map(clean);
    let text = document.details.to_string();
    let about = [document.title, document.author, document.mime_type, Some(&text), document.note].map(Option::unwrap_or_default);
    let row = tx
        .query_typed_opt(
            "WITH put AS (
             INSERT INTO documents AS d (id, user_id, source, source_id, kind, project_id, title, author, occurred_at, mime_type, snippet,
               body, details, note, content_hash)
             VALUES (coalesce($1, gen_random_uuid()), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15 || coalesce($16, ''))
             ON CONFLICT (source, source_id, user_id) DO UPDATE SET changed_xid = DEFAULT, kind = excluded.kind,
               -- A decision about the document overrides the project named by its source, and a project that a person removed is not set again.
               project_id = CASE WHEN excluded.project_id IS NULL OR EXISTS (SELECT FROM document_projects p WHERE p.document_id = d.id)
                   OR EXISTS (SELECT FROM project_corrections c WHERE c.document_id = d.id AND c.was_project_id = excluded.project_id)
                 THEN d.project_id ELSE excluded.project_id END,
               title = excluded.title, author = excluded.author, occurred_at = excluded.occurred_at, mime_type = excluded.mime_type,
               snippet = excluded.snippet, body = coalesce(excluded.body, d.body), details = excluded.details, note = excluded.note,
               content_hash = $15 || coalesce($16, substring(d.content_hash FROM 33)), version = d.version + 1, status = 'updated', updated_at = now()
             WHERE d.content_hash <> $15 || coalesce($16, substring(d.content_hash FROM 33)) OR d.status = 'deleted'
             RETURNING id, version, xmax = 0 AS is_new, user_id
             ), queued AS (
             INSERT INTO classify_queue (document_id, user_id)
             SELECT id, user_id FROM put WHERE EXISTS (SELECT FROM projects p WHERE p.user_id = put.user_id) ON CONFLICT DO NOTHING)
             SELECT id, version, is_new FROM put",
            &[
                (&document.id, Type::UUID),
                (&document.user, Type::UUID),
                (&document.source, Type::TEXT),
                (&document.source_id, Type::TEXT),
                (&document.kind, Type::TEXT),
                (&document.project, Type::UUID),
                (&title, Type::TEXT),
                (&author, Type::TEXT),
                (&document.occurred_at, Type::TIMESTAMPTZ),
                (&mime, Type::TEXT),
                (&snippet, Type::TEXT),
                (&body, Type::TEXT),
                (&document.details, Type::JSONB),
                (&note, Type::TEXT),
                (&hash(&about), Type::BYTEA),
                (&document.body.map(|body| hash(&[body])), Type::BYTEA),
            ],
        )
        .await
        .context("storing a document")?;
    if let Some(row) = row {
        let change = if row.try_get(2)? { Change::Created } else { Change::Updated };
        return Ok(Stored { id: row.try_get(0)?, version: row.try_get(1)?, change });
    }
    let row = tx
        .query_typed_one(
            "SELECT id, version FROM documents WHERE source = $1 AND source_id = $2 AND user_id = $3",
            &[(&document.source, Type::TEXT), (&document.source_id, Type::TEXT), (&document.user, Type::UUID)],
        )
        .await
        .context("reading an unchanged document")?;
    Ok(Stored { id: row.try_get(0)?, version: row.try_get(1)?, change: Change::Unchanged })
}

/// Whether a document has exactly this text.
pub async fn holds(tx: &Transaction<'_>, user: Uuid, source: &str, source_id: &str, body: &str) -> anyhow::Result<bool> {
    let row = tx
        .query_typed_opt(
            "SELECT 1 FROM documents WHERE source = $1 AND source_id = $2 AND user_id = $3 AND substring(content_hash FROM 33) = $4",
            &[(&source, Type::TEXT), (&source_id, Type::TEXT), (&user, Type::UUID), (&hash(&[body]), Type::BYTEA)],
        )
        .await
        .context("comparing the text of a document")?;
    Ok(row.is_some())
}

/// Marks documents of a source as deleted, for one user or for all users; their text stays. Returns those that were not marked before.
pub async fn retire(tx: &Transaction<'_>, source: &str, source_ids: &[&str], user: Option<Uuid>) -> anyhow::Result<Vec<Retired>> {
    let rows = tx
        .query_typed(
            "UPDATE documents SET status = 'deleted', version = version + 1, updated_at = now(), changed_xid = DEFAULT
             WHERE source = $1 AND source_id = ANY ($2) AND ($3::uuid IS NULL OR user_id = $3) AND status <> 'deleted'
             RETURNING id, version, source_id, user_id, project_id",
            &[(&source, Type::TEXT), (&source_ids, Type::TEXT_ARRAY), (&user, Type::UUID)],
        )
        .await
        .context("marking documents as deleted")?;
    rows.iter()
        .map(|row| {
            Ok(Retired {
                id: row.try_get(0)?,
                version: row.try_get(1)?,
                source_id: row.try_get(2)?,
                user: row.try_get(3)?,
                project: row.try_get(4)?,
            })
        })
        .collect()
}

/// A document that was marked as deleted.
#[derive(Debug, Clone)]
pub struct Retired {
    /// `documents.id`
    pub id: Uuid,
    pub version: i32,
    pub source_id: String,
    pub user: Uuid,
    pub project: Option<Uuid>,
}

/// Sets the project of a document. Its version stays, because its content is the same.
pub async fn set_project(tx: &Transaction<'_>, document: Uuid, project: Option<Uuid>) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE documents SET project_id = $2, changed_xid = DEFAULT WHERE id = $1",
        &[(&document, Type::UUID), (&project, Type::UUID)],
    )
    .await
    .context("setting the project of a document")?;
    Ok(())
}

/// Returns the SHA-256 hash of the texts.
fn hash(parts: &[&str]) -> Vec<u8> {
    let mut hasher = Sha256::new();
    for part in parts {
        // Length-prefixed, so that different lists never hash the same bytes.
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_vec()
}
