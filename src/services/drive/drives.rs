//! A user's shared drives (table `drives`), and the streams of their feeds. No network access.

use std::collections::BTreeMap;

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{CHANGES, Change, MY_DRIVE, REGISTERED, access, shared};
use crate::db::items::{self, Poison};
use crate::db::streams;
use crate::engine::{Counts, Item, Stream};
use crate::nul;

/// The parts of `Drive` that syncctl reads.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    pub id: String,
    pub name: Option<String>,
}

/// Decodes a shared drive.
pub fn decode(raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    let raw = nul::without(raw);
    let wrong = |error: String| Poison::of(&raw, error);
    let entry: Entry = serde_json::from_str(raw.get()).map_err(|error| wrong(format!("not a shared drive: {error}")))?;
    if entry.id.is_empty() {
        return Err(wrong("not a shared drive: no id".into()));
    }
    Ok(Item { id: entry.id.clone(), changed_at: None, raw, change: Change::Drive(entry) })
}

/// Writes a page of the list and creates the streams of its drives.
pub async fn apply(tx: &Transaction<'_>, stream: &Stream, pass: Option<i64>, items: &[Item<Change>]) -> anyhow::Result<Counts> {
    let mut entries: BTreeMap<&str, (&Entry, &str)> = BTreeMap::new();
    for item in items {
        if let Change::Drive(entry) = &item.change {
            entries.insert(&entry.id, (entry, item.raw.get()));
        }
    }
    let ids: Vec<&str> = entries.keys().copied().collect();
    let names: Vec<Option<&str>> = entries.values().map(|(entry, _)| entry.name.as_deref()).collect();
    let raws: Vec<&str> = entries.values().map(|(_, raw)| *raw).collect();
    let row = tx
        .query_typed_one(
            "WITH listed AS (
               SELECT * FROM unnest($3::text[], $4::text[], $5::text[]) AS t (drive_id, name, raw)
             ), before AS (
               SELECT d.drive_id, d.raw, d.deleted_at FROM drives d JOIN listed USING (drive_id) WHERE d.user_id = $1
             ), stored AS (
               INSERT INTO drives AS d (user_id, drive_id, name, raw, seen_pass) SELECT $1, drive_id, name, raw::jsonb, $2 FROM listed
               ON CONFLICT (user_id, drive_id) DO UPDATE SET name = excluded.name, raw = excluded.raw,
                 seen_pass = coalesce(excluded.seen_pass, d.seen_pass), deleted_at = NULL, synced_at = now()
             )
             SELECT count(*) FILTER (WHERE b.drive_id IS NULL OR b.deleted_at IS NOT NULL),
               count(*) FILTER (WHERE b.deleted_at IS NULL AND b.raw <> t.raw::jsonb), count(*)
             FROM listed t LEFT JOIN before b USING (drive_id)",
            &[
                (&stream.user_id, Type::UUID),
                (&pass, Type::INT8),
                (&ids, Type::TEXT_ARRAY),
                (&names, Type::TEXT_ARRAY),
                (&raws, Type::TEXT_ARRAY),
            ],
        )
        .await
        .context("storing shared drives")?;
    let count = |column: usize| -> anyhow::Result<u64> { Ok(u64::try_from(row.try_get::<_, i64>(column)?)?) };
    let (created, updated) = (count(0)?, count(1)?);
    let streams = streams::ensure(tx, stream.user_id, REGISTERED.service, CHANGES, &ids).await?;
    Ok(Counts { created, updated, unchanged: count(2)? - created - updated, streams, ..Counts::default() })
}

/// Retires the drives that a complete list did not name, and marks their files as lost. My Drive always exists.
pub async fn sweep(tx: &Transaction<'_>, stream: &Stream, pass: i64) -> anyhow::Result<Counts> {
    let deleted = tx
        .execute_typed(
            "UPDATE drives d SET deleted_at = now(), synced_at = now()
             WHERE user_id = $1 AND deleted_at IS NULL AND seen_pass IS DISTINCT FROM $2
               AND NOT EXISTS (SELECT 1 FROM quarantined_items q WHERE q.stream_id = $3 AND q.item_id = d.drive_id AND q.seen_pass = $2)",
            &[(&stream.user_id, Type::UUID), (&pass, Type::INT8), (&stream.id, Type::INT8)],
        )
        .await
        .context("sweeping shared drives")?;
    // All drives that are gone, every time: a poll of the drive under way may have brought files back since.
    let rows = tx
        .query_typed(
            "UPDATE streams s SET state = 'removed' FROM drives d
             WHERE d.user_id = $1 AND d.deleted_at IS NOT NULL AND s.user_id = $1 AND s.service = $2 AND s.kind = $3 AND s.resource = d.drive_id
             RETURNING s.id",
            &[(&stream.user_id, Type::UUID), (&REGISTERED.service, Type::TEXT), (&CHANGES, Type::TEXT)],
        )
        .await
        .context("retiring streams of shared drives")?;
    for row in rows {
        let feed = Stream {
            id: row.try_get(0)?,
            user_id: stream.user_id,
            kind: CHANGES.into(),
            resource: String::new(),
            full_pass_at: None,
        };
        shared::give_back(tx, &feed).await?;
        access::lose_all(tx, &feed, None).await?;
        items::forget(tx, feed.id, None).await?;
    }
    items::forget(tx, stream.id, Some(pass)).await?;
    let streams = streams::ensure(tx, stream.user_id, REGISTERED.service, CHANGES, &[MY_DRIVE]).await?;
    Ok(Counts { deleted, streams, ..Counts::default() })
}
