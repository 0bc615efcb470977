//! A user's list of calendars (table `calendars`), which determines the streams of events.

use std::collections::BTreeMap;

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Change, EVENTS, REGISTERED, instances, removed};
use crate::db::items::{self, Poison};
use crate::db::streams;
use crate::engine::{Counts, Item, Stream};
use crate::nul;

/// The parts of `CalendarListEntry` that syncctl reads.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    pub id: String,
    pub summary: Option<String>,
    pub time_zone: Option<String>,
    pub access_role: Option<String>,
    pub primary: bool,
    pub selected: bool,
    pub deleted: bool,
    pub etag: Option<String>,
}

impl Entry {
    /// Whether its events are synced: it is configured, or, if none are configured, it is the primary calendar or selected by the user.
    pub fn is_synced(&self, configured: &[String]) -> bool {
        if self.deleted {
            return false;
        }
        if configured.is_empty() {
            return self.primary || self.selected;
        }
        configured.iter().any(|id| *id == self.id || (id == "primary" && self.primary))
    }
}

/// Parses an entry's JSON into an item.
pub fn decode(raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    let raw = nul::without(raw);
    let entry: Entry = serde_json::from_str(raw.get()).map_err(|error| Poison::of(&raw, format!("not a calendar: {error}")))?;
    if entry.id.is_empty() {
        return Err(Poison::of(&raw, "not a calendar: no id"));
    }
    Ok(Item { id: entry.id.clone(), raw, changed_at: None, change: Change::Calendar(entry) })
}

/// Stores a page of the list, and creates or retires the streams of its calendars.
pub async fn apply(
    tx: &Transaction<'_>,
    configured: &[String],
    stream: &Stream,
    pass: Option<i64>,
    items: &[Item<Change>],
) -> anyhow::Result<Counts> {
    let mut entries: BTreeMap<&str, (&Entry, &str)> = BTreeMap::new();
    for item in items {
        if let Change::Calendar(entry) = &item.change {
            entries.insert(&entry.id, (entry, item.raw.get()));
        }
    }
    let mut counts = Counts::default();
    for (entry, raw) in entries.values() {
        counts += store(tx, stream, pass, entry, raw).await?;
    }
    instances::windows::follow_zones(tx, stream.user_id).await?;
    let ids = |is_synced: bool| -> Vec<&str> {
        entries
            .values()
            .filter(|(entry, _)| entry.is_synced(configured) == is_synced)
            .map(|(entry, _)| entry.id.as_str())
            .collect()
    };
    counts.streams = streams::ensure(tx, stream.user_id, REGISTERED.service, EVENTS, &ids(true)).await?;
    retire(tx, stream, &ids(false)).await?;
    Ok(counts)
}

async fn store(tx: &Transaction<'_>, stream: &Stream, pass: Option<i64>, entry: &Entry, raw: &str) -> anyhow::Result<Counts> {
    let row = tx
        .query_typed_opt(
            "INSERT INTO calendars AS c (user_id, calendar_id, summary, time_zone, access_role, is_primary, selected, etag, raw, seen_pass, deleted_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb, $10, CASE WHEN $11 THEN now() END)
             ON CONFLICT (user_id, calendar_id) DO UPDATE SET summary = excluded.summary, time_zone = excluded.time_zone,
               access_role = excluded.access_role, is_primary = excluded.is_primary, selected = excluded.selected, etag = excluded.etag,
               raw = excluded.raw, seen_pass = coalesce(excluded.seen_pass, c.seen_pass), deleted_at = excluded.deleted_at, synced_at = now()
             WHERE c.raw IS DISTINCT FROM excluded.raw OR c.deleted_at IS NOT NULL OR excluded.deleted_at IS NOT NULL
               OR excluded.seen_pass IS NOT NULL
             RETURNING xmax = 0",
            &[
                (&stream.user_id, Type::UUID),
                (&entry.id, Type::TEXT),
                (&entry.summary, Type::TEXT),
                (&entry.time_zone, Type::TEXT),
                (&entry.access_role, Type::TEXT),
                (&entry.primary, Type::BOOL),
                (&entry.selected, Type::BOOL),
                (&entry.etag, Type::TEXT),
                (&raw, Type::TEXT),
                (&pass, Type::INT8),
                (&entry.deleted, Type::BOOL),
            ],
        )
        .await
        .context("storing a calendar")?;
    let created = match row {
        Some(row) => Some(row.try_get::<_, bool>(0)?),
        None => None,
    };
    Ok(match created {
        _ if entry.deleted => Counts { deleted: 1, ..Counts::default() },
        Some(true) => Counts { created: 1, ..Counts::default() },
        Some(false) => Counts { updated: 1, ..Counts::default() },
        None => Counts { unchanged: 1, ..Counts::default() },
    })
}

/// Retires calendars that are no longer synced: they keep their rows, but their streams are not polled, and their events become tombstones.
async fn retire(tx: &Transaction<'_>, stream: &Stream, calendars: &[&str]) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE streams SET state = 'removed', failures = 0 WHERE user_id = $1 AND service = $2 AND kind = $3 AND resource = ANY ($4)
           AND (state <> 'removed' OR failures > 0)",
        &[
            (&stream.user_id, Type::UUID),
            (&REGISTERED.service, Type::TEXT),
            (&EVENTS, Type::TEXT),
            (&calendars, Type::TEXT_ARRAY),
        ],
    )
    .await
    .context("retiring streams")?;
    removed::delete_events(tx, Some(stream.user_id)).await
}

/// Retires the calendars that a complete list did not contain. Those that this pass quarantined count as listed.
pub async fn sweep(tx: &Transaction<'_>, stream: &Stream, pass: i64) -> anyhow::Result<Counts> {
    let rows = tx
        .query_typed(
            "UPDATE calendars c SET deleted_at = now(), synced_at = now()
             WHERE user_id = $1 AND deleted_at IS NULL AND seen_pass IS DISTINCT FROM $2
               AND NOT EXISTS (SELECT 1 FROM quarantined_items q WHERE q.stream_id = $3 AND q.item_id = c.calendar_id AND q.seen_pass = $2)
             RETURNING calendar_id",
            &[(&stream.user_id, Type::UUID), (&pass, Type::INT8), (&stream.id, Type::INT8)],
        )
        .await
        .context("sweeping calendars")?;
    let gone: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    retire(tx, stream, &gone).await?;
    items::forget(tx, stream.id, Some(pass)).await?;
    Ok(Counts { deleted: gone.len() as u64, ..Counts::default() })
}
