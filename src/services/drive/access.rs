//! Which user sees which file through which feed, and the file's last state in that feed (table `drive_file_access`). No network access.
//!
//! Only the run that holds a feed's row in `streams` writes its rows, so what is read here stays valid until the commit.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::action::LastSeen;
use super::file::File;
use super::last_seen::SeenFile;
use super::permissions::store as permissions;
use super::{documents, files};
use crate::db::{items, streams};
use crate::engine::Stream;

/// Interval of full passes: effectively never, unless `full_pass_at` is set to an earlier time, because it is unknown whether the user still sees some files
/// of the feed, or by a migration after which all files are to be read again.
pub const IN_DOUBT: Duration = Duration::from_secs(20 * 365 * 86_400);

/// Why a file that no list names is requested by its id.
const UNLISTED: &str = "not in the list of the user's files: requested by its id";

/// Returns the last state of these files in the feed.
pub async fn known(tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> anyhow::Result<HashMap<String, LastSeen>> {
    let rows = tx
        .query_typed(
            "SELECT file_id, name, parents, trashed, version, content_key, deleted_at IS NOT NULL, permissions_known
             FROM drive_file_access WHERE stream_id = $1 AND file_id = ANY ($2)",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading the last state of files")?;
    rows.iter()
        .map(|row| {
            let known = LastSeen {
                name: row.try_get(1)?,
                parents: row.try_get(2)?,
                trashed: row.try_get(3)?,
                version: row.try_get(4)?,
                content_key: row.try_get(5)?,
                lost: row.try_get(6)?,
                permissions: row.try_get(7)?,
            };
            Ok((row.try_get(0)?, known))
        })
        .collect()
}

/// A value that changes whenever a feed of the user changes the file's row, or its watch changes.
pub async fn fingerprint(tx: &Transaction<'_>, stream: &Stream, id: &str) -> anyhow::Result<Option<String>> {
    let row = tx
        .query_typed_one(
            "SELECT md5(string_agg(a::text, ' ' ORDER BY stream_id) || coalesce((
               SELECT w::text FROM drive_file_watches w WHERE w.user_id = $1 AND w.file_id = $2), ''))
             FROM drive_file_access a WHERE a.user_id = $1 AND a.file_id = $2",
            &[(&stream.user_id, Type::UUID), (&id, Type::TEXT)],
        )
        .await
        .context("reading the state of a file")?;
    Ok(row.try_get(0)?)
}

/// Writes the current state of files in the feed.
pub async fn upsert(tx: &Transaction<'_>, stream: &Stream, pass: Option<i64>, seen: &[&SeenFile<'_>]) -> anyhow::Result<()> {
    if seen.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = seen.iter().map(|seen| seen.file.id.as_str()).collect();
    let names: Vec<Option<&str>> = seen.iter().map(|seen| seen.file.name.as_deref()).collect();
    // The arrays of an array must have equal lengths, so each list of parents is passed as JSON.
    let parents: Vec<String> = seen.iter().map(|seen| serde_json::to_string(&seen.file.parents)).collect::<Result<_, _>>()?;
    let trashed: Vec<bool> = seen.iter().map(|seen| seen.file.trashed).collect();
    let versions: Vec<Option<i64>> = seen.iter().map(|seen| seen.file.version).collect();
    let keys: Vec<String> = seen.iter().map(|seen| seen.file.content_key()).collect();
    let owned: Vec<Option<bool>> = seen.iter().map(|seen| seen.file.owned_by_me).collect();
    let starred: Vec<Option<bool>> = seen.iter().map(|seen| seen.file.starred).collect();
    // A file from the quarantine of an earlier version was received without these fields: the next full pass reads them.
    let known = |file: &File| file.created_time.map(|_| file.shown_permissions().known.as_str());
    let known: Vec<Option<&str>> = seen.iter().map(|seen| known(seen.file)).collect();
    tx.execute_typed(
        include_str!("sql/upsert_access.sql"),
        &[
            (&stream.id, Type::INT8),
            (&stream.user_id, Type::UUID),
            (&pass, Type::INT8),
            (&ids, Type::TEXT_ARRAY),
            (&names, Type::TEXT_ARRAY),
            (&parents, Type::TEXT_ARRAY),
            (&trashed, Type::BOOL_ARRAY),
            (&versions, Type::INT8_ARRAY),
            (&keys, Type::TEXT_ARRAY),
            (&owned, Type::BOOL_ARRAY),
            (&starred, Type::BOOL_ARRAY),
            (&known, Type::TEXT_ARRAY),
        ],
    )
    .await
    .context("writing who sees files")?;
    Ok(())
}

/// Stamps unchanged files that a full pass has seen.
pub async fn stamp(tx: &Transaction<'_>, stream: &Stream, pass: i64, ids: &[&str]) -> anyhow::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    tx.execute_typed(
        "UPDATE drive_file_access SET seen_pass = $2 WHERE stream_id = $1 AND file_id = ANY ($3)",
        &[(&stream.id, Type::INT8), (&pass, Type::INT8), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("stamping files")?;
    Ok(())
}

/// Makes the next polls request the files that this full pass did not stamp by their ids.
pub async fn doubt(tx: &Transaction<'_>, stream: &Stream, pass: i64) -> anyhow::Result<()> {
    let ids = unseen(tx, stream, Some(pass)).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    if items::ask_for(tx, stream.id, &ids, UNLISTED).await? > 0 {
        streams::make_due(tx, stream.id).await?;
    }
    Ok(())
}

/// Marks all files of a feed as lost, or those that this full pass did not stamp.
pub async fn lose_all(tx: &Transaction<'_>, stream: &Stream, pass: Option<i64>) -> anyhow::Result<u64> {
    let ids = unseen(tx, stream, pass).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    files::lock(tx, &ids).await?;
    lose(tx, stream, &ids).await
}

/// Returns all files of a feed, or those that this full pass neither stamped nor quarantined.
async fn unseen(tx: &Transaction<'_>, stream: &Stream, pass: Option<i64>) -> anyhow::Result<Vec<String>> {
    let rows = tx
        .query_typed(
            "SELECT a.file_id FROM drive_file_access a WHERE stream_id = $1 AND deleted_at IS NULL AND ($2::bigint IS NULL
               OR (seen_pass IS DISTINCT FROM $2
                 AND NOT EXISTS (SELECT 1 FROM quarantined_items q WHERE q.stream_id = $1 AND q.item_id = a.file_id AND q.seen_pass = $2)))
             ORDER BY file_id",
            &[(&stream.id, Type::INT8), (&pass, Type::INT8)],
        )
        .await
        .context("looking for files that are no longer seen")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Marks files as lost in this feed; other feeds of the user may still show them. The caller has locked the files.
pub async fn lose(tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> anyhow::Result<u64> {
    if ids.is_empty() {
        return Ok(0);
    }
    let lost = tx
        .execute_typed(
            "UPDATE drive_file_access SET deleted_at = now(), permissions_known = NULL, synced_at = now(), changed_xid = DEFAULT
             WHERE stream_id = $1 AND file_id = ANY ($2) AND deleted_at IS NULL",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("marking files as lost")?;
    let gone: Vec<(i64, &str)> = ids.iter().map(|id| (stream.id, *id)).collect();
    permissions::forget(tx, stream.user_id, &gone).await?;
    files::mark_gone(tx, ids).await?;
    // A file that moved between drives is still visible through the other feed.
    let rows = tx
        .query_typed(
            "SELECT id FROM unnest($2::text[]) AS id WHERE NOT EXISTS (
               SELECT 1 FROM drive_file_access a WHERE a.file_id = id AND a.user_id = $1 AND a.deleted_at IS NULL)",
            &[(&stream.user_id, Type::UUID), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("looking for other feeds with lost files")?;
    let gone = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    documents::remove(tx, stream.user_id, &gone).await?;
    Ok(lost)
}
