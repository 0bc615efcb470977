//! Documents held against the followed files that they are made of. Their text is stored nowhere else: a complete pass reads it anew.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::{Drive, MY_DRIVE, REGISTERED, documents};
use crate::engine::Stream;
use crate::engine::verify::{Derived, Differences, Mismatch, wrong};

/// Compares the documents of the files that a feed shows and its user follows with these; and, once a user, those of files that no feed shows.
pub async fn compared(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Derived> {
    let rows = tx
        .query_typed(
            "SELECT w.file_id, a.file_id IS NOT NULL, coalesce(o.status <> 'deleted', false), w.told_version IS NULL,
               w.told_version < a.version OR o.title IS NOT DISTINCT FROM a.name
             FROM drive_file_watches w
             LEFT JOIN drive_file_access a ON a.stream_id = $1 AND a.file_id = w.file_id AND a.lost_at IS NULL
             LEFT JOIN documents o ON o.source = $2 AND o.source_id = w.file_id AND o.user_id = w.user_id
             WHERE w.user_id = $3 AND (a.file_id IS NOT NULL OR ($4 AND NOT EXISTS (
               SELECT 1 FROM drive_file_access a WHERE a.file_id = w.file_id AND a.user_id = w.user_id AND a.lost_at IS NULL)))",
            &[
                (&stream.id, Type::INT8),
                (&REGISTERED.service, Type::TEXT),
                (&stream.user_id, Type::UUID),
                (&(stream.resource == MY_DRIVE), Type::BOOL),
            ],
        )
        .await
        .context("reading documents of followed files")?;
    let mut derived = Derived::default();
    for row in &rows {
        let (is_seen, is_there, is_new): (bool, bool, bool) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let found = match (is_seen, is_there) {
            // The next poll makes it.
            (true, false) if is_new => Some(Mismatch::NotPolled),
            (true, false) => Some(Mismatch::Missing),
            (true, true) => (!row.try_get::<_, Option<bool>>(4)?.unwrap_or(true)).then_some(Mismatch::Stale),
            (false, true) => Some(Mismatch::Excess),
            (false, false) => None,
        };
        derived.add(row.try_get(0)?, found);
    }
    Ok(derived)
}

/// Lets the next complete pass read these files and write their documents.
pub async fn distrust(drive: &Drive, tx: &Transaction<'_>, stream: &Stream, found: &Differences) -> anyhow::Result<()> {
    let ids = wrong(found);
    // The hash of the text stays, so that a text that is the same is no change of it.
    tx.execute_typed(
        "WITH documents AS (
           UPDATE documents SET content_hash = decode(repeat('00', 32), 'hex') || substring(content_hash FROM 33)
           WHERE source = $1 AND user_id = $2 AND source_id = ANY ($3))
         UPDATE drive_file_watches SET content_key = NULL, retry_at = NULL WHERE user_id = $2 AND file_id = ANY ($3)",
        &[(&REGISTERED.service, Type::TEXT), (&stream.user_id, Type::UUID), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("distrusting documents of files")?;
    drive.watched.distrust(stream.user_id, &ids);
    Ok(())
}

/// The documents of files that nobody sees are marked; those of others came with the pass, or come with the next poll.
pub async fn retire(tx: &Transaction<'_>, stream: &Stream, found: &Differences) -> anyhow::Result<()> {
    let excess: Vec<&str> = found.iter().filter(|(_, found)| **found == Mismatch::Excess).map(|(id, _)| id.as_str()).collect();
    documents::remove(tx, stream.user_id, &excess).await
}
