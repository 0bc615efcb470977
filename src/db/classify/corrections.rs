//! Decisions of people on a user's documents that are still in effect (tables `document_projects`, `project_corrections`), and open projects.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{TRAITS, Traits, label, traits};
use crate::classify::Label;
use crate::db::Pool;

/// A person's decision on a document.
#[derive(Debug, Clone)]
pub struct Correction {
    /// `documents.id`
    pub document: Uuid,
    pub label: Label,
    pub traits: Traits,
    /// `project_corrections.id`
    pub said: i64,
    pub at: DateTime<Utc>,
}

/// All decisions in effect, oldest first.
pub async fn all(pool: &Pool, user: Uuid) -> anyhow::Result<Vec<Correction>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!(
                "SELECT d.id, p.project_id, c.said, p.decided_at, {TRAITS}
                 FROM document_projects p JOIN documents d ON d.id = p.document_id
                 CROSS JOIN LATERAL (SELECT coalesce(max(c.id), 0) AS said FROM project_corrections c WHERE c.document_id = d.id) c
                 WHERE p.user_id = $1 AND p.decided_by = 'human' ORDER BY c.said, d.id"
            ),
            &[(&user, Type::UUID)],
        )
        .await
        .context("reading the decisions of people")?;
    rows.iter()
        .map(|row| {
            Ok(Correction {
                document: row.try_get(0)?,
                label: label(row.try_get(1)?),
                said: row.try_get(2)?,
                at: row.try_get(3)?,
                traits: traits(row, 4)?,
            })
        })
        .collect()
}

/// The content of a document.
#[derive(Debug, Clone)]
pub struct Content {
    pub title: String,
    pub author: String,
    pub text: String,
}

/// The contents of these documents, by id.
pub async fn contents(pool: &Pool, documents: &[Uuid]) -> anyhow::Result<HashMap<Uuid, Content>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT id, coalesce(title, ''), coalesce(author, ''), left(coalesce(body, snippet, ''), 32768) FROM documents WHERE id = ANY ($1)",
            &[(&documents, Type::UUID_ARRAY)],
        )
        .await
        .context("reading documents to learn from")?;
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, Content { title: row.try_get(1)?, author: row.try_get(2)?, text: row.try_get(3)? })))
        .collect()
}

/// An open project.
#[derive(Debug, Clone)]
pub struct Open {
    pub id: Uuid,
    pub name: String,
    pub description: Option<String>,
}

/// The projects of a user: the open ones, most recently changed first, and the names of the closed ones.
pub async fn projects(pool: &Pool, user: Uuid) -> anyhow::Result<(Vec<Open>, HashMap<Uuid, String>)> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT id, name, description, status = 'closed' FROM projects WHERE user_id = $1 ORDER BY updated_at DESC, id",
            &[(&user, Type::UUID)],
        )
        .await
        .context("reading a user's projects")?;
    let (mut open, mut closed) = (Vec::new(), HashMap::new());
    for row in &rows {
        let (id, name) = (row.try_get(0)?, row.try_get(1)?);
        if row.try_get(3)? { drop(closed.insert(id, name)) } else { open.push(Open { id, name, description: row.try_get(2)? }) }
    }
    Ok((open, closed))
}
