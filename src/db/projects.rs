//! Projects of users (table `projects`).

use std::collections::BTreeSet;

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::classify::passes::{self, Scope};
use super::classify::queue;
use super::reads::Reads;
use super::{Pool, streams};

/// A project to add or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewProject {
    /// `users.id`
    pub user: Uuid,
    /// Unique within the user.
    pub name: String,
    pub description: Option<String>,
    pub keywords: Vec<String>,
    /// Addresses or names of people who work on it.
    pub people: Vec<String>,
}

/// A project in a list.
#[derive(Debug, Clone, Serialize)]
pub struct Project {
    pub id: Uuid,
    pub user_id: Uuid,
    /// The user's address.
    pub email: String,
    pub name: String,
    pub description: Option<String>,
    pub keywords: Vec<String>,
    pub people: Vec<String>,
    /// `active` or `closed`.
    pub status: String,
    /// Documents assigned to it, and how many of them by people.
    pub documents: i64,
    pub by_people: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Adds a project. Returns `None` if the user already has one of that name.
pub async fn add(pool: &Pool, project: &NewProject) -> anyhow::Result<Option<Uuid>> {
    let mut client = pool.get().await?;
    let tx = client.begin("beginning to add a project").await?;
    let row = tx
        .query_typed_opt(
            "INSERT INTO projects (user_id, name, description, keywords, people) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (user_id, name) DO NOTHING RETURNING id",
            &columns(project),
        )
        .await
        .context("adding a project")?;
    let Some(row) = row else { return Ok(None) };
    follow(&tx, project.user).await?;
    tx.commit().await.context("committing a project")?;
    Ok(Some(row.try_get(0)?))
}

/// Enables classification for a user and starts a review of undecided documents, because they may belong to the new project.
async fn follow(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<()> {
    streams::ensure(tx, user, queue::SERVICE, queue::KIND, &[""]).await?;
    passes::begin(tx, user, &Scope::undecided()).await
}

/// Adds projects, or updates those that their users already have by name; closed ones are reopened. Returns how many are new.
pub async fn import(pool: &Pool, projects: &[NewProject]) -> anyhow::Result<u64> {
    let mut client = pool.get().await?;
    let tx = client.begin("beginning to import projects").await?;
    let (mut added, mut users) = (0, BTreeSet::new());
    for project in projects {
        let row = tx
            .query_typed_one(
                "INSERT INTO projects AS p (user_id, name, description, keywords, people) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (user_id, name) DO UPDATE SET description = excluded.description, keywords = excluded.keywords,
                   people = excluded.people, opened_at = CASE p.status WHEN 'closed' THEN now() ELSE p.opened_at END, status = 'active',
                   updated_at = now()
                 RETURNING xmax = 0, opened_at = now()",
                &columns(project),
            )
            .await
            .context("importing a project")?;
        added += u64::from(row.try_get::<_, bool>(0)?);
        if row.try_get(1)? {
            users.insert(project.user);
        }
    }
    for user in users {
        follow(&tx, user).await?;
    }
    tx.commit().await.context("committing imported projects")?;
    Ok(added)
}

/// Values for `user_id, name, description, keywords, people`.
fn columns(project: &NewProject) -> [(&(dyn ToSql + Sync), Type); 5] {
    [
        (&project.user, Type::UUID),
        (&project.name, Type::TEXT),
        (&project.description, Type::TEXT),
        (&project.keywords, Type::TEXT_ARRAY),
        (&project.people, Type::TEXT_ARRAY),
    ]
}

/// Projects of one user or of all, by user and name. `closed`: include closed ones.
pub async fn list(pool: &Pool, user: Option<Uuid>, closed: bool) -> anyhow::Result<Vec<Project>> {
    select(pool, "($1::uuid IS NULL OR p.user_id = $1) AND ($2 OR p.status = 'active')", user, closed).await
}

/// Whether any user has projects.
pub async fn are_there(pool: &Pool) -> anyhow::Result<bool> {
    let row =
        pool.get().await?.query_typed_one("SELECT EXISTS (SELECT FROM projects)", &[]).await.context("looking for projects")?;
    Ok(row.try_get(0)?)
}

/// One project by its id.
pub async fn get(pool: &Pool, id: Uuid) -> anyhow::Result<Option<Project>> {
    Ok(select(pool, "p.id = $1 AND $2", Some(id), true).await?.pop())
}

async fn select(pool: &Pool, condition: &str, id: Option<Uuid>, closed: bool) -> anyhow::Result<Vec<Project>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!(
                "SELECT p.id, p.user_id, u.email, p.name, p.description, p.keywords, p.people, p.status, count(d.document_id),
                   count(*) FILTER (WHERE d.decided_by = 'human'), p.created_at, p.updated_at
                 FROM projects p JOIN users u ON u.id = p.user_id LEFT JOIN document_projects d ON d.project_id = p.id
                 WHERE {condition} GROUP BY p.id, u.email ORDER BY u.email, p.name"
            ),
            &[(&id, Type::UUID), (&closed, Type::BOOL)],
        )
        .await
        .context("listing projects")?;
    rows.iter()
        .map(|row| {
            Ok(Project {
                id: row.try_get(0)?,
                user_id: row.try_get(1)?,
                email: row.try_get(2)?,
                name: row.try_get(3)?,
                description: row.try_get(4)?,
                keywords: row.try_get(5)?,
                people: row.try_get(6)?,
                status: row.try_get(7)?,
                documents: row.try_get(8)?,
                by_people: row.try_get(9)?,
                created_at: row.try_get(10)?,
                updated_at: row.try_get(11)?,
            })
        })
        .collect()
}

/// Closes a project: nothing is assigned to it from now on. Returns `false` if it does not exist.
pub async fn close(pool: &Pool, id: Uuid) -> anyhow::Result<bool> {
    let closed = pool
        .get()
        .await?
        .execute_typed(
            "UPDATE projects SET updated_at = CASE status WHEN 'closed' THEN updated_at ELSE now() END, status = 'closed' WHERE id = $1",
            &[(&id, Type::UUID)],
        )
        .await
        .context("closing a project")?;
    Ok(closed > 0)
}

/// Reopens a closed project; an open one stays open. Returns `false` if it does not exist.
pub async fn reopen(pool: &Pool, id: Uuid) -> anyhow::Result<bool> {
    let mut client = pool.get().await?;
    let tx = client.begin("beginning to reopen a project").await?;
    let row = tx
        .query_typed_opt("SELECT user_id, status = 'closed' FROM projects WHERE id = $1 FOR UPDATE", &[(&id, Type::UUID)])
        .await
        .context("looking for a project")?;
    let Some(row) = row else { return Ok(false) };
    if row.try_get(1)? {
        tx.execute_typed(
            "UPDATE projects SET status = 'active', opened_at = now(), updated_at = now() WHERE id = $1",
            &[(&id, Type::UUID)],
        )
        .await
        .context("reopening a project")?;
        follow(&tx, row.try_get(0)?).await?;
    }
    tx.commit().await.context("committing a reopened project")?;
    Ok(true)
}

/// A project as needed by an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    pub id: Uuid,
    pub name: String,
    pub is_closed: bool,
}

/// Finds a project of a user by name or id.
pub async fn find(client: &impl Reads, user: Uuid, name: &str) -> anyhow::Result<Option<Named>> {
    let rows = client
        .query_typed(
            "SELECT id, name, status = 'closed' FROM projects WHERE user_id = $1 AND (name = $2 OR id::text = lower($2)) ORDER BY name = $2 DESC LIMIT 1",
            &[(&user, Type::UUID), (&name, Type::TEXT)],
        )
        .await
        .context("looking for a project")?;
    rows.first().map(|row| Ok(Named { id: row.try_get(0)?, name: row.try_get(1)?, is_closed: row.try_get(2)? })).transpose()
}
