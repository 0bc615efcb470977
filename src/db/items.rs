//! Quarantine: items that could not be applied or fetched (table `quarantined_items`).

use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Transaction;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Pool, streams};
use crate::error::{Failure, one_line};
use crate::nul;

/// Seconds until an item that could not be fetched is fetched again: 15 minutes, then four times as long each time, at most a day. After an outage,
/// items are soon complete, and an item that can never be fetched costs one call a day.
const RETRY_WAIT: &str = "least(86400, 900 * power(4, least(quarantined_items.attempts, 8)))";

/// The error of an item that killed its process twice.
pub const DEADLY: &str = "the process that read this item died, twice; it is not read again unless you run `syncctl items retry`";

/// An item to quarantine: its id at the provider, its JSON as received, and why it could not be applied.
#[derive(Debug, Clone)]
pub struct Poison {
    pub item_id: String,
    /// Empty if it could not be fetched.
    pub raw: String,
    pub error: String,
    /// Set if it could not be fetched: the minimum wait before it is fetched again automatically.
    pub unfetched: Option<Duration>,
}

impl Poison {
    /// An item that the provider listed but did not return. Polls of the stream fetch it again with `Source::fetch_again`, soon at first, then once a
    /// day, and not before the failure's `retry_after`.
    pub fn unfetched(item_id: &str, failure: &Failure) -> Self {
        Self {
            item_id: item_id.to_owned(),
            raw: String::new(),
            error: failure.message.clone(),
            unfetched: Some(failure.retry_after.unwrap_or_default()),
        }
    }

    /// An item that must not be read.
    pub fn deadly(item_id: &str) -> Self {
        Self { item_id: item_id.to_owned(), raw: String::new(), error: DEADLY.to_owned(), unfetched: None }
    }

    /// An item with its own id (`id` or `fileId`), or a digest of its text if it has none, to quarantine it only once.
    pub fn of(raw: &RawValue, error: impl Into<String>) -> Self {
        #[derive(serde::Deserialize)]
        struct Named {
            #[serde(alias = "fileId")]
            id: String,
        }
        let named = serde_json::from_str::<Named>(raw.get()).map(|named| named.id).ok().filter(|id| !id.is_empty());
        let item_id = named.unwrap_or_else(|| {
            let digest = Sha256::digest(raw.get().as_bytes());
            format!("unnamed-{}", data_encoding::HEXLOWER.encode(&digest[..8]))
        });
        Self { item_id, raw: raw.get().to_owned(), error: error.into(), unfetched: None }
    }
}

/// The key of an item in quarantine: its id, or a digest if the id is too long for an index.
pub fn key(item_id: &str) -> String {
    const MAX_LEN: usize = 1024;
    match item_id.len() {
        0..=MAX_LEN => nul::cleaned(item_id),
        _ => format!("long-{}", data_encoding::HEXLOWER.encode(&Sha256::digest(item_id.as_bytes()))),
    }
}

/// A row of `quarantined_items` with its stream.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Quarantined {
    pub id: i64,
    pub stream_id: i64,
    pub user_id: Uuid,
    pub service: String,
    pub kind: String,
    pub resource: String,
    pub item_id: String,
    pub error: String,
    pub attempts: i32,
    pub first_seen_at: chrono::DateTime<chrono::Utc>,
    /// If it could not be fetched, it is fetched again by the first poll after this time. Absent if it was fetched but could not be applied.
    pub retry_at: Option<chrono::DateTime<chrono::Utc>>,
    #[serde(skip)]
    pub raw: String,
}

/// Quarantines items. An item already in quarantine gets the newer text and error. `pass`: the full pass that listed them.
pub async fn quarantine(tx: &Transaction<'_>, stream: i64, items: &[Poison], pass: Option<i64>) -> anyhow::Result<()> {
    let statement = format!(
        "INSERT INTO quarantined_items (stream_id, item_id, raw, error, retry_at, seen_pass)
         VALUES ($1, $2, $3, $4, CASE WHEN $5::float8 IS NOT NULL THEN now() + make_interval(secs => greatest($5, 900)) END, $6)
         ON CONFLICT (stream_id, item_id) DO UPDATE
         SET raw = coalesce(nullif(excluded.raw, ''), quarantined_items.raw), error = excluded.error,
           attempts = quarantined_items.attempts + 1, last_tried_at = now(),
           seen_pass = coalesce(excluded.seen_pass, quarantined_items.seen_pass),
           retry_at = CASE WHEN $5::float8 IS NOT NULL THEN now() + make_interval(secs => greatest($5, {RETRY_WAIT})) END"
    );
    for item in items {
        let wait = item.unfetched.map(|wait| wait.as_secs_f64());
        tx.execute_typed(
            &statement,
            &[
                (&stream, Type::INT8),
                (&key(&item.item_id), Type::TEXT),
                (&nul::replaced(&item.raw), Type::TEXT),
                (&nul::replaced(&one_line(&item.error)), Type::TEXT),
                (&wait, Type::FLOAT8),
                (&pass, Type::INT8),
            ],
        )
        .await
        .context("quarantining an item")?;
    }
    Ok(())
}

/// Quarantines an item that killed its process twice, so that polls no longer read it.
pub async fn condemn(pool: &Pool, stream: i64, item_id: &str, error: &str) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "INSERT INTO quarantined_items (stream_id, item_id, raw, error, is_deadly) VALUES ($1, $2, '', $3, true)
             ON CONFLICT (stream_id, item_id) DO UPDATE SET error = excluded.error, is_deadly = true, retry_at = NULL, last_tried_at = now()",
            &[(&stream, Type::INT8), (&key(item_id), Type::TEXT), (&error, Type::TEXT)],
        )
        .await
        .context("quarantining an item that kills its process")?;
    Ok(())
}

/// Makes the next poll fetch items by id that a complete pass did not list although they may exist. Returns how many. Items already in quarantine
/// stay unchanged.
pub async fn ask_for(tx: &Transaction<'_>, stream: i64, item_ids: &[&str], why: &str) -> anyhow::Result<u64> {
    tx.execute_typed(
        "INSERT INTO quarantined_items (stream_id, item_id, raw, error, retry_at) SELECT $1, id, '', $3, now() FROM unnest($2::text[]) AS id
         ON CONFLICT (stream_id, item_id) DO NOTHING",
        &[(&stream, Type::INT8), (&item_ids, Type::TEXT_ARRAY), (&why, Type::TEXT)],
    )
    .await
    .context("scheduling items to be fetched")
}

/// Makes the next poll fetch quarantined items that a complete pass did not list: they may be gone, or outside the listed range.
pub async fn doubt(tx: &Transaction<'_>, stream: i64, pass: i64) -> anyhow::Result<()> {
    let doubted = tx
        .execute_typed(
            "UPDATE quarantined_items SET retry_at = now() WHERE stream_id = $1 AND seen_pass IS DISTINCT FROM $2 AND retry_at IS NULL AND NOT is_deadly",
            &[(&stream, Type::INT8), (&pass, Type::INT8)],
        )
        .await
        .context("scheduling quarantined items to be fetched")?;
    if doubted > 0 {
        streams::make_due(tx, stream).await?;
    }
    Ok(())
}

/// Deletes quarantined items that a complete list did not contain; `None`: all items of the stream.
pub async fn forget(tx: &Transaction<'_>, stream: i64, pass: Option<i64>) -> anyhow::Result<()> {
    tx.execute_typed(
        "DELETE FROM quarantined_items WHERE stream_id = $1 AND ($2::bigint IS NULL OR seen_pass IS DISTINCT FROM $2)",
        &[(&stream, Type::INT8), (&pass, Type::INT8)],
    )
    .await
    .context("deleting quarantined items that are gone")?;
    Ok(())
}

/// Deletes items from quarantine that have been applied since.
pub async fn clear(tx: &Transaction<'_>, stream: i64, item_ids: &[&str]) -> anyhow::Result<u64> {
    let keys: Vec<String> = item_ids.iter().map(|id| key(id)).collect();
    tx.execute_typed(
        "DELETE FROM quarantined_items WHERE stream_id = $1 AND item_id = ANY ($2)",
        &[(&stream, Type::INT8), (&keys, Type::TEXT_ARRAY)],
    )
    .await
    .context("clearing applied items from quarantine")
}

/// A value that changes when the feed reports an item that is not stored: the item's state in quarantine, and the position of the feed. A first pass
/// has no position here, because its pages do not report deletions.
pub async fn feed_state(tx: &Transaction<'_>, stream: i64, item_id: &str) -> anyhow::Result<(Option<String>, Option<String>)> {
    let row = tx
        .query_typed_opt(
            "SELECT (SELECT md5(q::text) FROM quarantined_items q WHERE q.stream_id = s.id AND q.item_id = $2),
               CASE WHEN s.cursor IS NOT NULL THEN concat_ws(' ', s.cursor, s.page_token) END
             FROM streams s WHERE s.id = $1",
            &[(&stream, Type::INT8), (&key(item_id), Type::TEXT)],
        )
        .await
        .context("reading the feed's state for an item")?;
    row.map_or(Ok((None, None)), |row| Ok((row.try_get(0)?, row.try_get(1)?)))
}

/// Whether this version of an item is still in quarantine. The caller holds the stream, so that this stays true.
pub async fn lies(tx: &Transaction<'_>, id: i64, raw: &str) -> anyhow::Result<bool> {
    let row = tx
        .query_typed_opt("SELECT 1 FROM quarantined_items WHERE id = $1 AND raw = $2", &[(&id, Type::INT8), (&raw, Type::TEXT)])
        .await
        .context("looking for an item in quarantine")?;
    Ok(row.is_some())
}

/// Lists the quarantine, oldest first; `id` selects a single row.
pub async fn list(pool: &Pool, id: Option<i64>) -> anyhow::Result<Vec<Quarantined>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT q.id, q.stream_id, coalesce(s.user_id, s.attendee_project), s.service, s.kind, s.resource, q.item_id, q.error, q.attempts, q.first_seen_at, q.retry_at, q.raw
             FROM quarantined_items q JOIN streams s ON s.id = q.stream_id
             WHERE $1::bigint IS NULL OR q.id = $1 ORDER BY q.id",
            &[(&id, Type::INT8)],
        )
        .await
        .context("reading the quarantine")?;
    rows.iter()
        .map(|row| {
            Ok(Quarantined {
                id: row.try_get(0)?,
                stream_id: row.try_get(1)?,
                user_id: row.try_get(2)?,
                service: row.try_get(3)?,
                kind: row.try_get(4)?,
                resource: row.try_get(5)?,
                item_id: row.try_get(6)?,
                error: row.try_get(7)?,
                attempts: row.try_get(8)?,
                first_seen_at: row.try_get(9)?,
                retry_at: row.try_get(10)?,
                raw: row.try_get(11)?,
            })
        })
        .collect()
}
