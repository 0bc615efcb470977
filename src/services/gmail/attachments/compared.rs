//! Compares stored attachments with their messages and their contents, and has messages read again whose attachments are lost. No network access.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use crate::db::items;
use crate::engine::Stream;
use crate::engine::verify::{Derived, Differences, Mismatch, wrong};

/// The name of these rows in a report.
pub const NAME: &str = "attachments";

/// Compares the attachments of each existing message that has some: whether all are there, and the contents of those that are stored.
pub async fn compared(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Derived> {
    let rows = tx
        .query_typed(
            "SELECT m.message_id, jsonb_array_length(m.attachments) = count(*) FILTER (
               WHERE a.position <= jsonb_array_length(m.attachments) AND a.deleted_at IS NULL AND (a.sha256 IS NULL OR c.size = a.size))
             FROM gmail_messages m JOIN gmail_attachments a USING (stream_id, message_id)
             LEFT JOIN gmail_contents c ON c.user_id = a.user_id AND c.sha256 = a.sha256
             WHERE m.stream_id = $1 AND m.deleted_at IS NULL AND m.attachments IS NOT NULL GROUP BY m.stream_id, m.message_id",
            &[(&stream.id, Type::INT8)],
        )
        .await
        .context("comparing attachments with their messages")?;
    let mut derived = Derived::default();
    for row in &rows {
        derived.add(row.try_get(0)?, (!row.try_get::<_, bool>(1)?).then_some(Mismatch::Missing));
    }
    Ok(derived)
}

/// Has messages read again that a full pass did not list, because they are older than its window.
pub async fn ask_for(tx: &Transaction<'_>, stream: &Stream, differences: &Differences) -> anyhow::Result<()> {
    let ids = wrong(differences);
    if !ids.is_empty() {
        items::ask_for(tx, stream.id, &ids, "its attachments are lost").await?;
    }
    Ok(())
}
