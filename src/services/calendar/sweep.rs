//! Events that a complete pass over a window should have listed but did not. No network access.

use std::collections::HashSet;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::changes::Announcer;
use super::event::Event;
use super::fetch::Window;
use super::{instances, meetings, read, series};
use crate::db::items;
use crate::engine::{Counts, Stream};

const SWEEP: &str = include_str!("sql/sweep_events.sql");
const OWED: &str = include_str!("sql/owed_events.sql");

/// Turns events that a complete pass over its window did not list into tombstones. `requested`: types of outbox events that targets ask for.
pub async fn sweep(
    tx: &Transaction<'_>,
    requested: &HashSet<&'static str>,
    stream: &Stream,
    pass: i64,
    pinned: Option<&str>,
) -> anyhow::Result<Counts> {
    let pinned = pinned.context("a full pass of events without its window")?;
    let (start, end) = Window::parse(pinned)?.span()?;
    let series = reaching_series(tx, stream, (start, end), Some(pass), None).await?;
    let rows = tx
        .query_typed(
            SWEEP,
            &[
                (&stream.id, Type::INT8),
                (&pass, Type::INT8),
                (&start, Type::TIMESTAMPTZ),
                (&end, Type::TIMESTAMPTZ),
                (&series, Type::TEXT_ARRAY),
            ],
        )
        .await
        .context("sweeping events")?;
    let deleted: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    meetings::cancel(tx, stream, &deleted).await?;
    if let Some(announcer) = Announcer::of(tx, requested, stream, Some(pass), std::iter::empty()).await? {
        announcer.cancelled(tx, stream, &deleted, std::iter::empty()).await?;
    }
    instances::delete(tx, stream, &deleted).await?;
    restore_occurrences(tx, stream, &deleted).await?;
    instances::windows::note_listed(tx, stream, instances::Window { from: start, until: end }).await?;
    items::doubt(tx, stream.id, pass).await?;
    Ok(Counts { deleted: deleted.len() as u64, ..Counts::default() })
}

/// Gives series back the occurrences that exceptions replaced which no longer exist.
async fn restore_occurrences(tx: &Transaction<'_>, stream: &Stream, deleted: &[String]) -> anyhow::Result<()> {
    let rows = tx
        .query_typed(
            "SELECT raw::text FROM calendar_events WHERE stream_id = $1 AND deleted_at IS NULL AND event_id IN (
               SELECT recurring_event_id FROM calendar_events WHERE stream_id = $1 AND event_id = ANY ($2))",
            &[(&stream.id, Type::INT8), (&deleted, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading the series of exceptions")?;
    let series: Vec<Event> = rows.iter().filter_map(|row| read::event(row.get(0)).ok()).collect();
    let series: Vec<(&Event, bool)> = series.iter().map(|event| (event, false)).collect();
    match instances::windows::known(tx, stream).await? {
        Some(covered) if !series.is_empty() => instances::replace(tx, stream, &covered, &series).await,
        _ => Ok(()),
    }
}

/// The events among `ids` that a list of the window must contain: those that a sweep after a complete pass would delete.
pub async fn owed(tx: &Transaction<'_>, stream: &Stream, window: &Window, ids: &[&str]) -> anyhow::Result<Vec<String>> {
    let (start, end) = window.span()?;
    let mut owed = reaching_series(tx, stream, (start, end), None, Some(ids)).await?;
    let rows = tx
        .query_typed(
            OWED,
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY), (&start, Type::TIMESTAMPTZ), (&end, Type::TIMESTAMPTZ)],
        )
        .await
        .context("looking for events that should have been listed")?;
    for row in rows {
        owed.push(row.try_get(0)?);
    }
    Ok(owed)
}

/// The series that reach into a window, among those that a pass did not list or those with these ids. Only these few rules are expanded:
/// expanding those of every event would cost more than the rest of the sync.
async fn reaching_series(
    tx: &Transaction<'_>,
    stream: &Stream,
    (start, end): (DateTime<Utc>, DateTime<Utc>),
    unseen_by: Option<i64>,
    ids: Option<&[&str]>,
) -> anyhow::Result<Vec<String>> {
    let rows = tx
        .query_typed(
            "SELECT event_id, raw::text FROM calendar_events
             WHERE stream_id = $1 AND deleted_at IS NULL AND raw ? 'recurrence'
               AND ($2::bigint IS NULL OR seen_pass IS DISTINCT FROM $2) AND ($4::text[] IS NULL OR event_id = ANY ($4))
               AND coalesce(start_at, start_date::timestamp AT TIME ZONE 'UTC' + interval '1 day') < $3",
            &[(&stream.id, Type::INT8), (&unseen_by, Type::INT8), (&end, Type::TIMESTAMPTZ), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading unseen series")?;
    let mut reaching = Vec::new();
    for row in rows {
        // A series that can no longer be parsed proves nothing.
        if read::event(row.try_get(1)?).is_ok_and(|event| series::reaches(&event, start)) {
            reaching.push(row.try_get(0)?);
        }
    }
    Ok(reaching)
}
