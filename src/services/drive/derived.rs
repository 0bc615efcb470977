//! Compares documents with the followed files that they are made of. Their text is stored nowhere else: a complete pass reads it again.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::{Drive, MY_DRIVE, REGISTERED, documents};
use crate::engine::Stream;
use crate::engine::verify::{Derived, Differences, Mismatch, wrong};

/// Compares the documents of followed files with the files that a feed shows; with My Drive, also those of files that no feed of the user shows.
pub async fn compared(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Derived> {
    let rows = tx
        .query_typed(
            "SELECT w.file_id, a.file_id IS NOT NULL, coalesce(o.status <> 'deleted', false), w.told_version IS NULL,
               w.told_version < a.version OR o.title IS NOT DISTINCT FROM a.name
             FROM drive_file_watches w
             LEFT JOIN drive_file_access a ON a.stream_id = $1 AND a.file_id = w.file_id AND a.deleted_at IS NULL
             LEFT JOIN documents o ON o.source = $2 AND o.source_id = w.file_id AND o.user_id = w.user_id
             WHERE w.user_id = $3 AND (a.file_id IS NOT NULL OR ($4 AND NOT EXISTS (
               SELECT 1 FROM drive_file_access a WHERE a.file_id = w.file_id AND a.user_id = w.user_id AND a.deleted_at IS NULL)))",
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
        let mismatch = match (is_seen, is_there) {
            // The next poll creates it.
            (true, false) if is_new => Some(Mismatch::NotPolled),
            (true, false) => Some(Mismatch::Missing),
            (true, true) => (!row.try_get::<_, Option<bool>>(4)?.unwrap_or(true)).then_some(Mismatch::Stale),
            (false, true) => Some(Mismatch::Excess),
            (false, false) => None,
        };
        derived.add(row.try_get(0)?, mismatch);
    }
    Ok(derived)
}

/// Makes the next complete pass read these files and write their documents.
pub async fn distrust(drive: &Drive, tx: &Transaction<'_>, stream: &Stream, differences: &Differences) -> anyhow::Result<()> {
    let ids = wrong(differences);
    // Keep the hash of the text, so that an unchanged text does not count as a change.
    tx.execute_typed(
        "WITH documents AS (
           UPDATE documents SET content_hash = decode(repeat('00', 32), 'hex') || substring(content_hash FROM 33), changed_xid = DEFAULT
           WHERE source = $1 AND user_id = $2 AND source_id = ANY ($3))
         UPDATE drive_file_watches SET content_key = NULL, retry_at = NULL WHERE user_id = $2 AND file_id = ANY ($3)",
        &[(&REGISTERED.service, Type::TEXT), (&stream.user_id, Type::UUID), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("distrusting documents of files")?;
    drive.watched.distrust(stream.user_id, &ids);
    Ok(())
}

/// Marks the documents of files that the user no longer sees as deleted. The pass or the next poll repairs the other mismatches.
pub async fn retire(tx: &Transaction<'_>, stream: &Stream, differences: &Differences) -> anyhow::Result<()> {
    let excess = differences.iter().filter(|(_, mismatch)| **mismatch == Mismatch::Excess);
    let excess: Vec<&str> = excess.map(|(id, _)| id.as_str()).collect();
    documents::remove(tx, stream.user_id, &excess).await
}
