//! The model learnt from each user's corrections (table `project_models`).

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::passes::Scope;
use crate::db::Pool;

/// The state of a user's model relative to the corrections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ModelState {
    /// `project_models.version`; 0: nothing learnt yet.
    pub version: i32,
    /// The last correction that was learnt (`project_corrections.id`).
    pub learnt_to: i64,
    /// The last correction.
    pub said_to: i64,
    /// A correction that was not learnt yet withdraws or changes an earlier one.
    pub takes_back: bool,
    /// Number of assignments when all documents were last reviewed.
    pub queued_at_assignments: i32,
    /// Number of open projects, and when the last of them was opened.
    pub open: i64,
    pub opened_at: Option<DateTime<Utc>>,
}

/// Reads the state of a user's model.
pub async fn state(pool: &Pool, user: Uuid) -> anyhow::Result<ModelState> {
    let row = pool
        .get()
        .await?
        .query_typed_one(
            "SELECT coalesce(m.version, 0), coalesce(m.learnt_to, 0), coalesce(c.said_to, m.learnt_to, 0), coalesce(c.takes_back, false),
               coalesce(m.queued_at_assignments, 0), o.count, o.opened_at
             FROM (SELECT $1::uuid AS id) u LEFT JOIN project_models m ON m.user_id = u.id
             CROSS JOIN LATERAL (
               SELECT max(c.id) AS said_to, bool_or(c.was_decided_by IS NOT DISTINCT FROM 'human') AS takes_back
               FROM project_corrections c WHERE c.user_id = u.id AND c.id > coalesce(m.learnt_to, 0)) c
             CROSS JOIN LATERAL (SELECT count(*), max(p.opened_at) AS opened_at FROM projects p WHERE p.user_id = u.id AND p.status = 'active') o",
            &[(&user, Type::UUID)],
        )
        .await
        .context("reading the state of a model")?;
    Ok(ModelState {
        version: row.try_get(0)?,
        learnt_to: row.try_get(1)?,
        said_to: row.try_get(2)?,
        takes_back: row.try_get(3)?,
        queued_at_assignments: row.try_get(4)?,
        open: row.try_get(5)?,
        opened_at: row.try_get(6)?,
    })
}

/// The serialised learner of a user.
pub async fn learner(pool: &Pool, user: Uuid) -> anyhow::Result<Option<Vec<u8>>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt("SELECT learner FROM project_models WHERE user_id = $1", &[(&user, Type::UUID)])
        .await
        .context("reading a model")?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// A model after a lesson.
#[derive(Debug, Clone)]
pub struct Learnt {
    pub version: i32,
    pub learnt_to: i64,
    pub learner: Vec<u8>,
    pub assignments: i32,
    pub projects: i32,
    pub threshold: Option<f32>,
    /// All documents are to be reviewed with it.
    pub queues_all: bool,
}

impl Learnt {
    /// Which documents to review with it. `new`: the documents of the newly learnt corrections.
    pub fn looks_at(&self, new: &[Uuid]) -> Scope {
        if self.queues_all { Scope::everything() } else { Scope::near(new) }
    }
}

/// Stores a model.
pub async fn save(tx: &Transaction<'_>, user: Uuid, learnt: &Learnt) -> anyhow::Result<()> {
    tx.execute_typed(
        "INSERT INTO project_models AS m (user_id, version, learnt_to, learner, assignments, projects, threshold, queued_at_assignments)
         VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $8 THEN $5 ELSE 0 END)
         ON CONFLICT (user_id) DO UPDATE SET version = excluded.version, learnt_to = excluded.learnt_to, learner = excluded.learner,
           assignments = excluded.assignments, projects = excluded.projects, threshold = excluded.threshold, learnt_at = now(),
           queued_at_assignments = CASE WHEN $8 THEN excluded.assignments ELSE m.queued_at_assignments END",
        &[
            (&user, Type::UUID),
            (&learnt.version, Type::INT4),
            (&learnt.learnt_to, Type::INT8),
            (&learnt.learner, Type::BYTEA),
            (&learnt.assignments, Type::INT4),
            (&learnt.projects, Type::INT4),
            (&learnt.threshold, Type::FLOAT4),
            (&learnt.queues_all, Type::BOOL),
        ],
    )
    .await
    .context("storing a model")?;
    Ok(())
}
