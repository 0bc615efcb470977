//! Undecided documents for people to review (table `document_judgements`), and lookup of documents by id.

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::queue::SERVICE;
use crate::db::Pool;

/// A document on which the model was unsure.
#[derive(Debug, Clone, Serialize)]
pub struct Undecided {
    pub document_id: Uuid,
    /// The user's address.
    pub email: String,
    pub title: Option<String>,
    pub author: Option<String>,
    pub occurred_at: Option<DateTime<Utc>>,
    /// The name of the best candidate; `None` if there is no candidate or it is "none of them".
    pub best: Option<String>,
    /// Confidence of the best candidate, from 0 to 1.
    pub confidence: Option<f32>,
    /// The confidence the model would have needed.
    pub threshold: Option<f32>,
    pub reason: String,
    /// `[{"project_id": uuid or null, "confidence": number}]`, best first.
    pub candidates: Value,
}

/// Undecided documents of one user or of all, closest to the threshold first, and their total number.
pub async fn undecided(pool: &Pool, user: Option<Uuid>, limit: i64) -> anyhow::Result<(Vec<Undecided>, i64)> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT d.id, u.email, d.title, d.author, d.occurred_at, p.name, j.confidence, m.threshold, j.reason, j.candidates, count(*) OVER ()
             FROM document_judgements j JOIN documents d ON d.id = j.document_id JOIN users u ON u.id = j.user_id
             LEFT JOIN project_models m ON m.user_id = j.user_id LEFT JOIN projects p ON p.id::text = j.candidates #>> '{0,project_id}'
             WHERE NOT j.is_decided AND d.status <> 'deleted' AND d.project_id IS NULL AND ($1::uuid IS NULL OR j.user_id = $1)
             ORDER BY m.threshold - j.confidence, j.confidence DESC NULLS LAST, d.id LIMIT $2",
            &[(&user, Type::UUID), (&limit, Type::INT8)],
        )
        .await
        .context("reading undecided documents")?;
    let total = rows.first().map_or(Ok(0), |row| row.try_get(10))?;
    let undecided = rows
        .iter()
        .map(|row| {
            Ok(Undecided {
                document_id: row.try_get(0)?,
                email: row.try_get(1)?,
                title: row.try_get(2)?,
                author: row.try_get(3)?,
                occurred_at: row.try_get(4)?,
                best: row.try_get(5)?,
                confidence: row.try_get(6)?,
                threshold: row.try_get(7)?,
                reason: row.try_get(8)?,
                candidates: row.try_get(9)?,
            })
        })
        .collect::<anyhow::Result<_>>()?;
    Ok((undecided, total))
}

/// A document that was looked up by id.
#[derive(Debug, Clone)]
pub struct Named {
    pub id: Uuid,
    pub user: Uuid,
    /// The stream in which its user's documents are judged; `None` if the user has no projects.
    pub stream: Option<i64>,
    /// It is waiting to be judged.
    pub is_queued: bool,
    /// Who decided on it, if anyone.
    pub decided_by: Option<String>,
    /// The project named by its source, if there is no other decision.
    pub by_source: Option<Uuid>,
}

/// Whether the judgement on a document `d`, with `p` of `document_projects`, is up to date with its text, the model and the open projects.
const JUDGED: &str = "EXISTS (
  SELECT FROM document_judgements j LEFT JOIN project_models m ON m.user_id = j.user_id
  WHERE j.document_id = d.id AND j.content_hash = d.content_hash AND j.model_version = coalesce(m.version, 0) AND (p.document_id IS NOT NULL
    OR j.judged_at >= (SELECT max(o.opened_at) FROM projects o WHERE o.user_id = d.user_id AND o.status = 'active')))";

/// Returns the documents with these ids; unknown ids are left out.
pub async fn existing(pool: &Pool, ids: &[Uuid]) -> anyhow::Result<Vec<Named>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!(
                "SELECT d.id, d.user_id, s.id, q.document_id IS NOT NULL OR (NOT {JUDGED} AND EXISTS (
                   SELECT FROM classify_passes c WHERE c.user_id = d.user_id AND c.looked_to < d.id)), p.decided_by,
               CASE WHEN p.document_id IS NULL THEN d.project_id END
             FROM documents d LEFT JOIN streams s ON s.user_id = d.user_id AND s.service = $2 AND s.state <> 'removed'
             LEFT JOIN classify_queue q ON q.document_id = d.id LEFT JOIN document_projects p ON p.document_id = d.id
             WHERE d.id = ANY ($1)"
            ),
            &[(&ids, Type::UUID_ARRAY), (&SERVICE, Type::TEXT)],
        )
        .await
        .context("looking for documents")?;
    rows.iter()
        .map(|row| {
            Ok(Named {
                id: row.try_get(0)?,
                user: row.try_get(1)?,
                stream: row.try_get(2)?,
                is_queued: row.try_get(3)?,
                decided_by: row.try_get(4)?,
                by_source: row.try_get(5)?,
            })
        })
        .collect()
}
