//! Files in `drive_files`: one row per file, regardless of the number of users who see it. No network access.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::file::File;
use super::last_seen::SeenFile;

/// Locks files, so that no other transaction changes who sees them until the commit.
pub async fn lock(tx: &Transaction<'_>, ids: &[&str]) -> anyhow::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    tx.execute_typed(
        "SELECT 1 FROM drive_files WHERE file_id = ANY ($1) ORDER BY file_id FOR UPDATE",
        &[(&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("locking files")?;
    Ok(())
}

/// Upserts files, and locks those in `lost`. An older version never replaces a newer one from another user's feed. A single statement in the
/// order of the ids: feeds of several users with the same files wait for each other instead of deadlocking.
pub async fn upsert(tx: &Transaction<'_>, seen: &[&SeenFile<'_>], lost: &[&str]) -> anyhow::Result<()> {
    if seen.is_empty() {
        return lock(tx, lost).await;
    }
    // A file without a version is only locked.
    let lost: Vec<File> = lost.iter().map(|id| File { id: (*id).to_owned(), ..File::default() }).collect();
    let files: Vec<&File> = seen.iter().map(|seen| seen.file).chain(&lost).collect();
    let column = |read: fn(&File) -> Option<&str>| files.iter().map(|file| read(file)).collect::<Vec<_>>();
    let numbers = |read: fn(&File) -> Option<i64>| files.iter().map(|file| read(file)).collect::<Vec<_>>();
    let trashed: Vec<bool> = files.iter().map(|file| file.trashed).collect();
    let modified: Vec<Option<DateTime<Utc>>> = files.iter().map(|file| file.modified_time).collect();
    let raws: Vec<&str> = seen.iter().map(|seen| seen.raw).chain(lost.iter().map(|_| "{}")).collect();
    tx.execute_typed(
        include_str!("sql/upsert_files.sql"),
        &[
            (&column(|f| Some(&f.id)), Type::TEXT_ARRAY),
            (&column(|f| f.drive_id.as_deref()), Type::TEXT_ARRAY),
            (&column(|f| f.name.as_deref()), Type::TEXT_ARRAY),
            (&column(|f| f.mime_type.as_deref()), Type::TEXT_ARRAY),
            (&trashed, Type::BOOL_ARRAY),
            (&numbers(|f| f.version), Type::INT8_ARRAY),
            (&column(|f| f.md5_checksum.as_deref()), Type::TEXT_ARRAY),
            (&column(|f| f.head_revision_id.as_deref()), Type::TEXT_ARRAY),
            (&numbers(|f| f.size), Type::INT8_ARRAY),
            (&modified, Type::TIMESTAMPTZ_ARRAY),
            (&column(|f| f.web_view_link.as_deref()), Type::TEXT_ARRAY),
            (&raws, Type::TEXT_ARRAY),
        ],
    )
    .await
    .context("upserting files")?;
    Ok(())
}

/// Records when files were lost to their last user.
pub async fn mark_gone(tx: &Transaction<'_>, ids: &[&str]) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE drive_files f SET deleted_at = now(), synced_at = now(), changed_xid = DEFAULT WHERE file_id = ANY ($1) AND deleted_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM drive_file_access a WHERE a.file_id = f.file_id AND a.deleted_at IS NULL)",
        &[(&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("marking files without users as gone")?;
    Ok(())
}
