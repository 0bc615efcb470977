//! Compares `calendar_instances` with the events that it is computed from, and rebuilds it. No network access.

use std::collections::HashMap;

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;

use super::rows::{self, Expected};
use super::windows;
use crate::engine::Stream;
use crate::engine::verify::{Derived, Differences, Mismatch, wrong};
use crate::services::calendar::event::Event;
use crate::services::calendar::read;

/// A row, except for its key. Times in microseconds since 1970.
#[derive(Debug, PartialEq, Eq)]
struct Columns {
    series_id: Option<String>,
    start: i64,
    end: i64,
    days: Option<(NaiveDate, NaiveDate)>,
    is_busy: bool,
    response: Option<String>,
    title: Option<String>,
}

/// The rows of an event, by `instance_id`.
type Rows = HashMap<String, Columns>;

/// Compares the instances of a calendar with its stored events; the differences are keyed by the ids of the events. Nothing is compared while the
/// instances are being computed for the first time.
pub async fn compared(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Derived> {
    let mut derived = Derived::default();
    let Some(covered) = windows::complete(tx, stream).await? else { return Ok(derived) };
    let mut stored = stored(tx, stream).await?;
    let found = tx
        .query_typed(
            "SELECT event_id, raw::text FROM calendar_events WHERE stream_id = $1 AND deleted_at IS NULL",
            &[(&stream.id, Type::INT8)],
        )
        .await
        .context("reading events to compare their instances")?;
    let mut events = Vec::with_capacity(found.len());
    for row in &found {
        match read::event(row.try_get(1)?) {
            Ok(event) => events.push(event),
            // An event that cannot be parsed proves nothing.
            Err(_) => drop(stored.remove(row.try_get::<_, &str>(0)?)),
        }
    }
    let replaced = rows::exceptions(tx, stream, events.iter()).await?;
    for event in &events {
        let kept = stored.remove(&event.id).unwrap_or_default();
        let expected: Rows = rows::expected(event, &covered, &replaced)
            .map(|expected| (expected.instance.id.clone(), columns(&expected)))
            .collect();
        if !expected.is_empty() || !kept.is_empty() {
            derived.add(&event.id, mismatch(&expected, &kept));
        }
    }
    for id in stored.keys() {
        derived.add(id, Some(Mismatch::Excess));
    }
    Ok(derived)
}

fn mismatch(expected: &Rows, kept: &Rows) -> Option<Mismatch> {
    if expected.keys().any(|id| !kept.contains_key(id)) {
        Some(Mismatch::Missing)
    } else if kept.len() > expected.len() {
        Some(Mismatch::Excess)
    } else {
        (expected != kept).then_some(Mismatch::Stale)
    }
}

fn columns(expected: &Expected<'_>) -> Columns {
    let Expected { instance, event } = expected;
    Columns {
        series_id: rows::series(event).map(str::to_owned),
        start: instance.start.timestamp_micros(),
        end: instance.end.timestamp_micros(),
        days: instance.days,
        is_busy: event.is_busy(),
        response: event.response().map(str::to_owned),
        title: event.summary.clone(),
    }
}

/// The stored rows by `event_id`.
async fn stored(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<HashMap<String, Rows>> {
    let found = tx
        .query_typed(
            "SELECT event_id, instance_id, series_id, lower(during), upper(during), start_date, end_date, busy, response, title
             FROM calendar_instances WHERE user_id = $1 AND stream_id = $2",
            &[(&stream.user_id, Type::UUID), (&stream.id, Type::INT8)],
        )
        .await
        .context("reading instances to compare")?;
    let mut stored: HashMap<String, Rows> = HashMap::new();
    for row in &found {
        stored.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, kept(row)?);
    }
    Ok(stored)
}

fn kept(row: &Row) -> anyhow::Result<Columns> {
    let days: (Option<NaiveDate>, Option<NaiveDate>) = (row.try_get(5)?, row.try_get(6)?);
    Ok(Columns {
        series_id: row.try_get(2)?,
        start: row.try_get::<_, DateTime<Utc>>(3)?.timestamp_micros(),
        end: row.try_get::<_, DateTime<Utc>>(4)?.timestamp_micros(),
        days: days.0.zip(days.1),
        is_busy: row.try_get(7)?,
        response: row.try_get(8)?,
        title: row.try_get(9)?,
    })
}

/// Rebuilds the instances of events that differ.
pub async fn rebuild(tx: &Transaction<'_>, stream: &Stream, differences: &Differences) -> anyhow::Result<()> {
    let ids = wrong(differences);
    let Some(covered) = windows::known(tx, stream).await? else { return Ok(()) };
    let found = tx
        .query_typed(
            "SELECT raw::text FROM calendar_events WHERE stream_id = $1 AND event_id = ANY ($2) AND deleted_at IS NULL",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading events to rebuild their instances")?;
    let mut events: Vec<Event> = Vec::with_capacity(found.len());
    for row in &found {
        events.extend(read::event(row.try_get(0)?));
    }
    // First, because an instance may be stored as one of another event.
    rows::delete(tx, stream, &ids).await?;
    let events: Vec<(&Event, bool)> = events.iter().map(|event| (event, false)).collect();
    rows::replace(tx, stream, &covered, &events).await
}
