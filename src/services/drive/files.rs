//! Files in `drive_files`: one row each, however many users see it. Knows no network.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::file::File;
use super::store::Told;

/// Keeps files to this transaction, so that what follows sees who else sees them. `ids` in their order: feeds of several users that
/// speak of the same files wait for each other instead of dying of it.
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

/// Upserts files; an older version never replaces a newer one that another user's feed brought.
pub async fn upsert(tx: &Transaction<'_>, told: &[&Told<'_>]) -> anyhow::Result<()> {
    if told.is_empty() {
        return Ok(());
    }
    let column = |read: fn(&File) -> Option<&str>| told.iter().map(|told| read(told.file)).collect::<Vec<_>>();
    let numbers = |read: fn(&File) -> Option<i64>| told.iter().map(|told| read(told.file)).collect::<Vec<_>>();
    let trashed: Vec<bool> = told.iter().map(|told| told.file.trashed).collect();
    let modified: Vec<Option<DateTime<Utc>>> = told.iter().map(|told| told.file.modified_time).collect();
    let raws: Vec<&str> = told.iter().map(|told| told.raw).collect();
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

/// Says of files that nobody sees any more since when that is so.
pub async fn bury(tx: &Transaction<'_>, ids: &[&str]) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE drive_files f SET gone_at = now(), synced_at = now() WHERE file_id = ANY ($1) AND gone_at IS NULL
           AND NOT EXISTS (SELECT 1 FROM drive_file_access a WHERE a.file_id = f.file_id AND a.lost_at IS NULL)",
        &[(&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("burying files that nobody sees")?;
    Ok(())
}
