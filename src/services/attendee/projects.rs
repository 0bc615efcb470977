//! Attendee projects with their keys (table `attendee_projects`) and streams. No network access.

use std::collections::HashMap;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use uuid::Uuid;

use super::planner::Projects;
use super::{BOTS, SERVICE};
use crate::db::Pool;
use crate::error::Failure;
use crate::seal::{Column, Vault};

/// A project, for `project list`.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    pub id: Uuid,
    pub name: String,
    pub is_default: bool,
    pub created_at: DateTime<Utc>,
    /// Number of unfinished bots.
    pub open_bots: i64,
    /// Why its stream fails; `None` if it does not.
    pub failing: Option<String>,
}

/// The keys of all projects, or why a key cannot be opened.
pub type Keys = HashMap<Uuid, Result<SecretString, Failure>>;

/// Opens the keys.
///
/// # Errors
/// Returns an error if the database fails, or if there is a project but no seal key at all (exit 78).
pub async fn keys(pool: &Pool, vault: &Vault) -> anyhow::Result<Keys> {
    let rows = pool
        .get()
        .await?
        .query_typed("SELECT id, api_key FROM attendee_projects", &[])
        .await
        .context("reading the keys of Attendee's projects")?;
    if !rows.is_empty() {
        vault.writing_key()?;
    }
    let mut keys = Keys::new();
    for row in &rows {
        let (id, sealed): (Uuid, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        keys.insert(id, vault.open(id, Column::AttendeeKey, &sealed).map_err(Failure::from));
    }
    Ok(keys)
}

/// Reads the projects by name, and the default.
pub async fn by_name(pool: &Pool) -> anyhow::Result<Projects> {
    let rows = pool
        .get()
        .await?
        .query_typed("SELECT id, name, is_default FROM attendee_projects", &[])
        .await
        .context("reading Attendee's projects")?;
    let mut projects = Projects { by_name: HashMap::new(), default: None };
    for row in &rows {
        let id = row.try_get(0)?;
        projects.by_name.insert(row.try_get(1)?, id);
        if row.try_get(2)? {
            projects.default = Some(id);
        }
    }
    Ok(projects)
}

/// Adds a project, or sets a new key for the project of this name and makes its stream due. The first project becomes the default. Returns its id
/// and whether it is new.
pub async fn add(
    tx: &Transaction<'_>,
    vault: &Vault,
    name: &str,
    key: &SecretString,
    default: bool,
) -> anyhow::Result<(Uuid, bool)> {
    let known = tx
        .query_typed_opt("SELECT id FROM attendee_projects WHERE name = $1 FOR UPDATE", &[(&name, Type::TEXT)])
        .await
        .context("looking for the project")?;
    let (id, new) = match &known {
        Some(row) => (row.try_get(0)?, false),
        None => (Uuid::new_v4(), true),
    };
    let sealed = vault.seal(id, Column::AttendeeKey, key.expose_secret().as_bytes())?;
    if default {
        tx.execute_typed("UPDATE attendee_projects SET is_default = false WHERE is_default AND id <> $1", &[(&id, Type::UUID)])
            .await
            .context("taking the default from another project")?;
    }
    tx.execute_typed(
        "INSERT INTO attendee_projects (id, name, api_key, is_default)
         VALUES ($1, $2, $3, $4 OR NOT EXISTS (SELECT 1 FROM attendee_projects))
         ON CONFLICT (id) DO UPDATE SET api_key = excluded.api_key, is_default = attendee_projects.is_default OR $4",
        &[(&id, Type::UUID), (&name, Type::TEXT), (&sealed, Type::BYTEA), (&default, Type::BOOL)],
    )
    .await
    .context("storing the project")?;
    tx.execute_typed(
        "INSERT INTO streams (attendee_project, service, kind, resource) VALUES ($1, $2, $3, '')
         ON CONFLICT (attendee_project) WHERE attendee_project IS NOT NULL DO UPDATE SET state = 'active', due_at = now()",
        &[(&id, Type::UUID), (&SERVICE, Type::TEXT), (&BOTS, Type::TEXT)],
    )
    .await
    .context("storing the project's stream")?;
    Ok((id, new))
}

/// Lists all projects.
pub async fn list(pool: &Pool) -> anyhow::Result<Vec<Listed>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT p.id, p.name, p.is_default, p.created_at,
               (SELECT count(*) FROM attendee_bots b WHERE b.project_id = p.id AND b.state IN ('creating', 'open', 'ended')),
               CASE WHEN s.failures > 0 THEN s.failed_message END
             FROM attendee_projects p LEFT JOIN streams s ON s.attendee_project = p.id ORDER BY p.name",
            &[],
        )
        .await
        .context("listing Attendee's projects")?;
    rows.iter()
        .map(|row| {
            Ok(Listed {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                is_default: row.try_get(2)?,
                created_at: row.try_get(3)?,
                open_bots: row.try_get(4)?,
                failing: row.try_get(5)?,
            })
        })
        .collect()
}

/// Deletes a project and its bots; documents stay. Returns false if there is no project of this name.
pub async fn remove(pool: &Pool, name: &str) -> anyhow::Result<bool> {
    let removed = pool
        .get()
        .await?
        .execute_typed("DELETE FROM attendee_projects WHERE name = $1", &[(&name, Type::TEXT)])
        .await
        .context("removing a project")?;
    Ok(removed == 1)
}

/// Seals every key again with the newest seal key; returns the number of keys and the errors.
pub async fn reseal(pool: &Pool, vault: &Vault) -> anyhow::Result<(u64, Vec<String>)> {
    let client = pool.get().await?;
    let rows = client.query_typed("SELECT id, api_key FROM attendee_projects", &[]).await.context("reading sealed keys")?;
    let (mut sealed, mut failed) = (0, Vec::new());
    for row in &rows {
        let (id, old): (Uuid, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        let resealed = vault
            .open(id, Column::AttendeeKey, &old)
            .and_then(|key| vault.seal(id, Column::AttendeeKey, key.expose_secret().as_bytes()));
        match resealed {
            // Unless the key was changed in the meantime.
            Ok(new) => {
                sealed += client
                    .execute_typed(
                        "UPDATE attendee_projects SET api_key = $3 WHERE id = $1 AND api_key = $2",
                        &[(&id, Type::UUID), (&old, Type::BYTEA), (&new, Type::BYTEA)],
                    )
                    .await
                    .context("storing a newly sealed key")?;
            }
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    Ok((sealed, failed))
}
