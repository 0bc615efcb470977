//! Documents that are to be judged (table `classify_queue`).

use anyhow::Context;
use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{TRAITS, Traits, label, traits};
use crate::classify::Label;
use crate::db::Pool;

/// `streams.service` and `streams.kind` of the stream that every user with projects has; its resource is empty.
pub const SERVICE: &str = "classify";
pub const KIND: &str = "documents";

/// Characters that are read of a text: its features come from its first 32 KiB.
const MOST_TEXT: i32 = 32 << 10;

/// A document as a judge sees it.
#[derive(Debug, Clone)]
pub struct Queued {
    /// `documents.id`
    pub id: Uuid,
    pub content_hash: Vec<u8>,
    /// Nothing is to be judged: it is gone, a person has decided, its source names a project, or it was judged by this very model.
    pub is_settled: bool,
    pub title: String,
    pub author: String,
    pub text: String,
    pub traits: Traits,
    /// What holds, by whom (`document_projects.decided_by`).
    pub decision: Option<(Label, String)>,
    /// What a person took away from it.
    pub refused: Vec<Label>,
}

fn select(from: &str) -> String {
    format!(
        "SELECT d.id, d.content_hash,
           d.status = 'deleted' OR coalesce(p.decided_by = 'human', d.project_id IS NOT NULL)
             OR coalesce(j.content_hash = d.content_hash AND j.model_version = $2, false),
           coalesce(d.title, ''), coalesce(d.author, ''), left(coalesce(d.body, d.snippet, ''), $3), p.decided_by, p.project_id,
           ARRAY(SELECT c.was_project_id FROM project_corrections c WHERE c.document_id = d.id AND c.was_decided_by IS NOT NULL), {TRAITS}
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
        traits: traits(row, 9)?,
    })
}

/// Where documents to judge come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The user's queue.
    Queue,
    /// All of the user's documents, as they are queued for a model that has learnt more.
    Documents,
}

/// The next documents of a user to judge, by id, after `after`. `version`: of the model that will judge them.
pub async fn next(pool: &Pool, user: Uuid, from: From, version: i32, after: Uuid, limit: i64) -> anyhow::Result<Vec<Queued>> {
    let from = match from {
        From::Queue => {
            "(SELECT document_id FROM classify_queue WHERE user_id = $1 AND document_id > $4 ORDER BY document_id LIMIT $5) q
             JOIN documents d ON d.id = q.document_id"
        }
        From::Documents => {
            "(SELECT id FROM documents WHERE user_id = $1 AND id > $4 AND status <> 'deleted' ORDER BY id LIMIT $5) q JOIN documents d ON d.id = q.id"
        }
    };
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!("{} ORDER BY d.id", select(from)),
            &[(&user, Type::UUID), (&version, Type::INT4), (&MOST_TEXT, Type::INT4), (&after, Type::UUID), (&limit, Type::INT8)],
        )
        .await
        .context("reading documents to judge")?;
    rows.iter().map(queued).collect()
}

/// One document of a user, queued or not. What was judged by any model is not settled.
pub async fn one(pool: &Pool, user: Uuid, document: Uuid) -> anyhow::Result<Option<Queued>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            &format!("{} WHERE d.id = $4 AND d.user_id = $1", select("documents d")),
            &[(&user, Type::UUID), (&-1_i32, Type::INT4), (&MOST_TEXT, Type::INT4), (&document, Type::UUID)],
        )
        .await
        .context("reading a document to judge")?;
    row.as_ref().map(queued).transpose()
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

/// Queues all documents of a user on which no person has decided.
pub async fn add_all(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<u64> {
    tx.execute_typed(
        "INSERT INTO classify_queue (document_id, user_id)
         SELECT d.id, d.user_id FROM documents d LEFT JOIN document_projects p ON p.document_id = d.id
         WHERE d.user_id = $1 AND d.status <> 'deleted' AND p.decided_by IS DISTINCT FROM 'human'
         ORDER BY d.id ON CONFLICT DO NOTHING",
        &[(&user, Type::UUID)],
    )
    .await
    .context("queueing a user's documents")
}

/// Queues the kin of documents that people have spoken of, and what came from the same senders.
pub async fn add_near(tx: &Transaction<'_>, user: Uuid, spoken_of: &[Uuid]) -> anyhow::Result<u64> {
    tx.execute_typed(
        &format!(
            "WITH t (id, thread, series, folder, sender) AS (SELECT d.id, {TRAITS} FROM documents d WHERE d.user_id = $1 AND d.status <> 'deleted'),
               s AS (SELECT * FROM t WHERE id = ANY ($2))
             INSERT INTO classify_queue (document_id, user_id)
             SELECT t.id, $1 FROM t LEFT JOIN document_projects p ON p.document_id = t.id
             WHERE p.decided_by IS DISTINCT FROM 'human' AND (t.thread IN (SELECT thread FROM s) OR t.series IN (SELECT series FROM s)
               OR t.folder IN (SELECT folder FROM s) OR t.sender IN (SELECT sender FROM s))
             ORDER BY t.id ON CONFLICT DO NOTHING"
        ),
        &[(&user, Type::UUID), (&spoken_of, Type::UUID_ARRAY)],
    )
    .await
    .context("queueing documents near those that were spoken of")
}

/// Makes the streams due of users whose queue is not empty, or who have said something that was not learnt.
pub async fn wake(pool: &Pool) -> anyhow::Result<u64> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE streams s SET due_at = now()
             WHERE s.service = $1 AND s.due_at > now() AND s.failures = 0 AND s.state NOT IN ('removed', 'revoked', 'off')
               AND (EXISTS (SELECT FROM classify_queue q WHERE q.user_id = s.user_id)
                 OR EXISTS (SELECT FROM project_corrections c WHERE c.user_id = s.user_id
                      AND c.id > coalesce((SELECT m.learnt_to FROM project_models m WHERE m.user_id = s.user_id), 0)))",
            &[(&SERVICE, Type::TEXT)],
        )
        .await
        .context("making users due whose documents are to be judged")
}
