//! Removes deleted labels from stored messages: it is not documented whether the history reports that. In chunks, because a label has no index, and a
//! mailbox can have millions of messages. The page that finds a label deleted does the first chunk; later runs do the others. No network access.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use crate::db::Pool;

/// Messages looked at per transaction.
const CHUNK: i64 = 5_000;
/// Chunks per run: few, because all its polls wait meanwhile. A mailbox of a million messages takes 25 runs.
const MAX_CHUNKS: usize = 8;

/// Continues what pages have begun.
///
/// # Errors
/// Returns an error of the database.
pub async fn resume(pool: &Pool) -> anyhow::Result<()> {
    let rows = pool
        .get()
        .await?
        .query_typed("SELECT DISTINCT stream_id FROM gmail_labels WHERE removed_to IS NOT NULL ORDER BY 1", &[])
        .await
        .context("looking for deleted labels of messages")?;
    let mut chunks = MAX_CHUNKS;
    for row in &rows {
        let stream: i64 = row.try_get(0)?;
        while chunks > 0 && next_of(pool, stream).await? {
            chunks -= 1;
        }
    }
    Ok(())
}

/// Does the next chunk of a mailbox in a transaction of its own. Returns whether more follow now.
async fn next_of(pool: &Pool, stream: i64) -> anyhow::Result<bool> {
    let mut client = pool.get().await?;
    let tx = client.begin("removing deleted labels from messages").await?;
    // Excludes pages of this mailbox, which write the same rows. The next run continues with one that is being written.
    let held = tx
        .query_typed_opt("SELECT 1 FROM streams WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED", &[(&stream, Type::INT8)])
        .await
        .context("holding a mailbox")?;
    if held.is_none() {
        return Ok(false);
    }
    let has_more = next(&tx, stream).await?;
    tx.commit().await.context("removing deleted labels from messages")?;
    Ok(has_more)
}

/// Removes the deleted labels of a mailbox that are the farthest behind from its next messages. Returns whether more follow. The caller holds the stream.
///
/// # Errors
/// Returns an error of the database.
pub async fn next(tx: &Transaction<'_>, stream: i64) -> anyhow::Result<bool> {
    let rows = tx
        .query_typed(
            "SELECT label_id, removed_to FROM gmail_labels
             WHERE stream_id = $1 AND removed_to = (SELECT min(removed_to) FROM gmail_labels WHERE stream_id = $1 AND removed_to IS NOT NULL)",
            &[(&stream, Type::INT8)],
        )
        .await
        .context("looking for deleted labels")?;
    let Some(first) = rows.first() else { return Ok(false) };
    let from: &str = first.try_get(1)?;
    let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    let last = tx
        .query_typed_opt(
            "SELECT message_id FROM gmail_messages WHERE stream_id = $1 AND message_id > $2 ORDER BY message_id OFFSET $3 LIMIT 1",
            &[(&stream, Type::INT8), (&from, Type::TEXT), (&(CHUNK - 1), Type::INT8)],
        )
        .await
        .context("looking for the end of a chunk of messages")?;
    // None: the rest.
    let until: Option<&str> = last.as_ref().map(|row| row.try_get(0)).transpose()?;
    tx.execute_typed(
        "UPDATE gmail_messages SET synced_at = now(), changed_xid = DEFAULT,
           labels = ARRAY(SELECT id FROM unnest(labels) WITH ORDINALITY AS label (id, place) WHERE id <> ALL ($4) ORDER BY place)
         WHERE stream_id = $1 AND message_id > $2 AND ($3::text IS NULL OR message_id <= $3) AND labels && $4",
        &[(&stream, Type::INT8), (&from, Type::TEXT), (&until, Type::TEXT), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("removing deleted labels from messages")?;
    tx.execute_typed(
        "UPDATE gmail_labels SET removed_to = $3 WHERE stream_id = $1 AND label_id = ANY ($2)",
        &[(&stream, Type::INT8), (&ids, Type::TEXT_ARRAY), (&until, Type::TEXT)],
    )
    .await
    .context("storing how far labels are removed")?;
    Ok(true)
}
