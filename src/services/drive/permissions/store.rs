//! Permissions in `drive_permissions`: one row for each, as each user sees them. No network access.

use std::collections::HashMap;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Differences, Permission, PermissionChange};
use crate::db::reads::Reads;
use crate::engine::Stream;
use crate::services::drive::last_seen::SeenFile;

/// Replaces the permissions of these files, writing only what differs. Returns what has changed: this is what a user is notified of.
pub async fn replace(tx: &Transaction<'_>, stream: &Stream, seen: &[&SeenFile<'_>]) -> anyhow::Result<Vec<PermissionChange>> {
    let known: Vec<&str> = seen.iter().filter(|seen| seen.permissions.is_some()).map(|seen| seen.file.id.as_str()).collect();
    let mut stored = of_files(&**tx, (stream.user_id, stream.id), Some(&known)).await?;
    let (mut gone, mut news, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for seen in seen {
        let id = seen.file.id.as_str();
        let now = seen.file.shown_permissions();
        let differences = Differences::of(&stored.remove(id).unwrap_or_default(), &now.list);
        gone.extend(differences.removed.iter().map(|one| (id, one.id.clone())));
        let changed = differences.changed.iter().map(|(_, now)| now);
        news.extend(differences.added.iter().chain(changed).map(|one| (id, one.clone())));
        changes.extend(PermissionChange::of(id, seen.permissions, &now, differences));
    }
    delete(tx, stream, &gone).await?;
    upsert(tx, stream, &news).await?;
    Ok(changes)
}

/// The stored permissions of these files in a feed of a user, or of all its files, by file.
pub async fn of_files(
    client: &impl Reads,
    (user, stream): (Uuid, i64),
    files: Option<&[&str]>,
) -> anyhow::Result<HashMap<String, Vec<Permission>>> {
    let mut stored: HashMap<String, Vec<Permission>> = HashMap::new();
    if files.is_some_and(<[&str]>::is_empty) {
        return Ok(stored);
    }
    let only = if files.is_some() { "AND file_id = ANY ($3)" } else { "AND $3::text[] IS NULL" };
    let rows = client
        .query_typed(
            &format!(
                "SELECT permission_id, type, role, email, domain, display_name, allow_file_discovery, expires_at, deleted, pending_owner, inherited, file_id
                 FROM drive_permissions WHERE user_id = $1 AND stream_id = $2 {only} ORDER BY file_id, permission_id COLLATE \"C\""
            ),
            &[(&user, Type::UUID), (&stream, Type::INT8), (&files, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading the permissions of files")?;
    for row in &rows {
        stored.entry(row.try_get(11)?).or_default().push(permission(row)?);
    }
    Ok(stored)
}

/// A permission in the first columns of a row.
fn permission(row: &Row) -> anyhow::Result<Permission> {
    Ok(Permission {
        id: row.try_get(0)?,
        grantee: row.try_get(1)?,
        role: row.try_get(2)?,
        email: row.try_get(3)?,
        domain: row.try_get(4)?,
        display_name: row.try_get(5)?,
        allow_file_discovery: row.try_get(6)?,
        expires_at: row.try_get(7)?,
        deleted: row.try_get(8)?,
        pending_owner: row.try_get(9)?,
        inherited: row.try_get(10)?,
    })
}

/// Deletes the permissions of files that a user no longer sees, each by feed and id.
pub async fn forget(tx: &Transaction<'_>, user: Uuid, files: &[(i64, &str)]) -> anyhow::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let (streams, ids): (Vec<i64>, Vec<&str>) = files.iter().copied().unzip();
    tx.execute_typed(
        "DELETE FROM drive_permissions p USING unnest($2::bigint[], $3::text[]) AS t (stream_id, file_id)
         WHERE p.user_id = $1 AND p.stream_id = t.stream_id AND p.file_id = t.file_id",
        &[(&user, Type::UUID), (&streams, Type::INT8_ARRAY), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("forgetting permissions of files")?;
    Ok(())
}

async fn delete(tx: &Transaction<'_>, stream: &Stream, gone: &[(&str, String)]) -> anyhow::Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    let (files, ids): (Vec<&str>, Vec<&str>) = gone.iter().map(|(file, id)| (*file, id.as_str())).unzip();
    tx.execute_typed(
        "DELETE FROM drive_permissions p USING unnest($3::text[], $4::text[]) AS t (file_id, permission_id)
         WHERE p.user_id = $1 AND p.stream_id = $2 AND p.file_id = t.file_id AND p.permission_id = t.permission_id",
        &[(&stream.user_id, Type::UUID), (&stream.id, Type::INT8), (&files, Type::TEXT_ARRAY), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("deleting permissions of files")?;
    Ok(())
}

async fn upsert(tx: &Transaction<'_>, stream: &Stream, news: &[(&str, Permission)]) -> anyhow::Result<()> {
    if news.is_empty() {
        return Ok(());
    }
    let files: Vec<&str> = news.iter().map(|(file, _)| *file).collect();
    let texts = |read: fn(&Permission) -> Option<&str>| news.iter().map(|(_, one)| read(one)).collect::<Vec<_>>();
    let flags = |read: fn(&Permission) -> Option<bool>| news.iter().map(|(_, one)| read(one)).collect::<Vec<_>>();
    let expires: Vec<Option<DateTime<Utc>>> = news.iter().map(|(_, one)| one.expires_at).collect();
    tx.execute_typed(
        include_str!("../sql/upsert_permissions.sql"),
        &[
            (&stream.user_id, Type::UUID),
            (&stream.id, Type::INT8),
            (&files, Type::TEXT_ARRAY),
            (&texts(|one| Some(&one.id)), Type::TEXT_ARRAY),
            (&texts(|one| one.grantee.as_deref()), Type::TEXT_ARRAY),
            (&texts(|one| one.role.as_deref()), Type::TEXT_ARRAY),
            (&texts(|one| one.email.as_deref()), Type::TEXT_ARRAY),
            (&texts(|one| one.domain.as_deref()), Type::TEXT_ARRAY),
            (&texts(|one| one.display_name.as_deref()), Type::TEXT_ARRAY),
            (&flags(|one| one.allow_file_discovery), Type::BOOL_ARRAY),
            (&expires, Type::TIMESTAMPTZ_ARRAY),
            (&flags(|one| Some(one.deleted)), Type::BOOL_ARRAY),
            (&flags(|one| Some(one.pending_owner)), Type::BOOL_ARRAY),
            (&flags(|one| one.inherited), Type::BOOL_ARRAY),
        ],
    )
    .await
    .context("writing permissions of files")?;
    Ok(())
}
