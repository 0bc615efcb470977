//! Documents to judge (table `classify_queue`).

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{TRAITS, Traits, label, traits};
use crate::classify::Label;
use crate::db::Pool;

/// `streams.service` and `streams.kind` of the stream of every user with projects. Its resource is empty.
pub const SERVICE: &str = "classify";
pub const KIND: &str = "documents";

/// Maximum number of characters read from a text: its features come from its first 32 KiB.
const MAX_TEXT: i32 = 32 << 10;

/// A document to judge.
#[derive(Debug, Clone)]
pub struct Queued {
    /// `documents.id`
    pub id: Uuid,
    pub content_hash: Vec<u8>,
    /// It needs no judgement: it is gone, a person has decided, its source names a project, or this exact model has judged it.
    pub is_settled: bool,
    pub title: String,
    pub author: String,
    pub text: String,
    pub traits: Traits,
    /// The current decision, and who made it (`document_projects.decided_by`).
    pub decision: Option<(Label, String)>,
    /// Labels that a person removed from it.
    pub refused: Vec<Label>,
    /// The model endpoint has answered for this exact text.
    pub was_asked: bool,
    /// This exact text was offered to programs with all projects that are open now.
    pub was_told: bool,
    /// How often the endpoint gave no usable answer, and seconds until it is asked again.
    pub asks: i32,
    pub asked_again_in: Option<f64>,
    /// The last correction of the document (`project_corrections.id`); 0: none.
    pub said: i64,
    /// It is in a folder or has a label that must not be sent to any endpoint.
    pub is_private: bool,
    /// The project named by its source, if there is no other decision.
    pub by_source: Option<Uuid>,
}

/// Gmail labels and Drive folders whose documents must not be sent to any endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct Private<'a> {
    pub labels: &'a [String],
    pub folders: &'a [String],
}

fn select(from: &str) -> String {
    // Undecided, and judged before the last open project was opened.
    let is_outdated = "coalesce(p.document_id IS NULL AND j.judged_at < $8, false)";
    format!(
        "SELECT d.id, d.content_hash,
           d.status = 'deleted' OR coalesce(p.decided_by = 'human', d.project_id IS NOT NULL)
             OR coalesce(j.content_hash = d.content_hash AND j.model_version = $2 AND (j.ask_at IS NULL OR j.ask_at > now()), false) AND NOT {is_outdated},
           coalesce(d.title, ''), coalesce(d.author, ''), left(coalesce(d.body, d.snippet, ''), $3), p.decided_by, p.project_id,
           ARRAY(SELECT DISTINCT c.was_project_id FROM project_corrections c WHERE c.document_id = d.id
             AND (c.was_decided_by IS NOT NULL OR c.was_project_id IS NOT NULL)
             -- Confirming a decision removes no label, and assigning the label again restores it.
             AND (c.action = 'unassigned' OR c.project_id IS DISTINCT FROM c.was_project_id)
             AND NOT (coalesce(p.decided_by = 'human', false) AND c.was_project_id IS NOT DISTINCT FROM p.project_id)),
           coalesce(j.asked_hash = d.content_hash, false) AND NOT {is_outdated}, CASE WHEN j.content_hash = d.content_hash THEN j.asks ELSE 0 END,
           CASE WHEN j.content_hash = d.content_hash THEN extract(epoch FROM j.ask_at - now()) END::float8,
           coalesce((SELECT max(c.id) FROM project_corrections c WHERE c.document_id = d.id), 0),
           d.source = 'drive' AND coalesce(d.details -> 'parents' ?| $5, false)
             OR d.source = 'gmail' AND cardinality($4) > 0 AND EXISTS (
               SELECT FROM gmail_detections g JOIN gmail_messages m USING (stream_id, message_id) WHERE g.document_id = d.id AND m.labels && $4),
           coalesce(j.told_hash = d.content_hash, false) AND NOT {is_outdated},
           CASE WHEN p.document_id IS NULL THEN d.project_id END,
           {TRAITS}
         FROM {from}
         LEFT JOIN document_projects p ON p.document_id = d.id LEFT JOIN document_judgements j ON j.document_id = d.id"
    )
}

fn queued(row: &Row) -> anyhow::Result<Queued> {
    let refused: Vec<Option<Uuid>> = row.try_get(8)?;
    let decided_by: Option<String> = row.try_get(6)?;
    let project: Option<Uuid> = row.try_get(7)?;
    Ok(Queued {
        id: row.try_get(0)?,
        content_hash: row.try_get(1)?,
        is_settled: row.try_get(2)?,
        title: row.try_get(3)?,
        author: row.try_get(4)?,
        text: row.try_get(5)?,
        decision: decided_by.map(|by| (label(project), by)),
        refused: refused.into_iter().map(label).collect(),
        was_asked: row.try_get(9)?,
        asks: row.try_get::<_, Option<i32>>(10)?.unwrap_or(0),
        asked_again_in: row.try_get(11)?,
        said: row.try_get(12)?,
        is_private: row.try_get(13)?,
        was_told: row.try_get(14)?,
        by_source: row.try_get(15)?,
        traits: traits(row, 16)?,
    })
}

/// Which documents to read, and the model they are read for.
#[derive(Debug, Clone, Copy)]
pub struct Reading<'a> {
    pub user: Uuid,
    /// Version of the model that will judge them.
    pub version: i32,
    /// When the last of the user's open projects was opened; `None` if the user has none.
    pub opened_at: Option<DateTime<Utc>>,
    pub private: Private<'a>,
}

/// Parameter `$6`.
type Which<'a> = (&'a (dyn ToSql + Sync), Type);

impl Reading<'_> {
    async fn query(&self, pool: &Pool, statement: &str, which: Which<'_>, limit: i64) -> anyhow::Result<Vec<Queued>> {
        let rows = pool
            .get()
            .await?
            .query_typed(
                statement,
                &[
                    (&self.user, Type::UUID),
                    (&self.version, Type::INT4),
                    (&MAX_TEXT, Type::INT4),
                    (&self.private.labels, Type::TEXT_ARRAY),
                    (&self.private.folders, Type::TEXT_ARRAY),
                    which,
                    (&limit, Type::INT8),
                    (&self.opened_at, Type::TIMESTAMPTZ),
                ],
            )
            .await
            .context("reading documents to judge")?;
        rows.iter().map(queued).collect()
    }

    /// The next documents of the user's queue, by id, after `after`.
    pub async fn next(&self, pool: &Pool, after: Uuid, limit: i64) -> anyhow::Result<Vec<Queued>> {
        let from =
            "(SELECT document_id FROM classify_queue WHERE user_id = $1 AND document_id > $6 ORDER BY document_id LIMIT $7) q
          JOIN documents d ON d.id = q.document_id";
        self.query(pool, &format!("{} ORDER BY d.id", select(from)), (&after, Type::UUID), limit).await
    }

    /// These documents of the user, queued or not, by id.
    pub async fn these(&self, pool: &Pool, documents: &[Uuid]) -> anyhow::Result<Vec<Queued>> {
        let statement = format!("{} WHERE d.id = ANY ($6) AND d.user_id = $1 ORDER BY d.id LIMIT $7", select("documents d"));
        self.query(pool, &statement, (&documents, Type::UUID_ARRAY), documents.len() as i64).await
    }
}

/// Queues one document.
pub async fn add(tx: &Transaction<'_>, document: Uuid) -> anyhow::Result<()> {
    tx.execute_typed(
        "INSERT INTO classify_queue (document_id, user_id) SELECT id, user_id FROM documents WHERE id = $1 ON CONFLICT DO NOTHING",
        &[(&document, Type::UUID)],
    )
    .await
    .context("queueing a document")?;
    Ok(())
}

/// Whether the user of a stream `s` has pending work: documents, a pass, or corrections that were not learnt.
macro_rules! waits {
    () => {
        "(EXISTS (SELECT FROM classify_queue q WHERE q.user_id = s.user_id) OR EXISTS (SELECT FROM classify_passes p WHERE p.user_id = s.user_id)
  OR EXISTS (SELECT FROM project_corrections c WHERE c.user_id = s.user_id
    AND c.id > coalesce((SELECT m.learnt_to FROM project_models m WHERE m.user_id = s.user_id), 0)))"
    };
}

/// Users whose documents a run would judge after it has executed [`WAKE`].
pub async fn awaited(pool: &Pool) -> anyhow::Result<Vec<Uuid>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            concat!(
                "SELECT s.user_id FROM streams s
                 WHERE s.service = $1 AND s.state NOT IN ('removed', 'revoked', 'off') AND (s.due_at <= now() OR (s.failures = 0 AND ",
                waits!(),
                "))"
            ),
            &[(&SERVICE, Type::TEXT)],
        )
        .await
        .context("looking for users with documents to judge")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Number of documents waiting to be judged, over all users.
pub async fn waiting(pool: &Pool) -> anyhow::Result<i64> {
    let row = pool.get().await?.query_typed_one("SELECT count(*) FROM classify_queue", &[]).await;
    Ok(row.context("counting documents to judge")?.try_get(0)?)
}

/// Queues documents for which the endpoint is due to be asked, and makes the streams of users with pending work due. The parts of a `WITH` clause,
/// for `Source::WAKE`.
pub const WAKE: &str = concat!(
    "to_ask AS (
    INSERT INTO classify_queue (document_id, user_id)
    SELECT document_id, user_id FROM document_judgements WHERE ask_at <= now() ORDER BY ask_at LIMIT 500 ON CONFLICT DO NOTHING
    RETURNING user_id
  ), woken AS (
    -- Locked streams are skipped: this statement writes the run's own row, and a run in progress checks again.
    UPDATE streams SET due_at = now() WHERE id IN (
      SELECT s.id FROM streams s
      WHERE s.service = 'classify' AND s.due_at > now() AND s.failures = 0 AND s.state NOT IN ('removed', 'revoked', 'off')
        AND (s.user_id IN (SELECT user_id FROM to_ask) OR ",
    waits!(),
    ")
      FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id
  )"
);
