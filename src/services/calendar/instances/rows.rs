//! Writes `calendar_instances`. No network access.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::windows::Covered;
use super::{Instance, of};
use crate::engine::Stream;
use crate::services::calendar::event::Event;

const REPLACE: &str = include_str!("../sql/replace_instances.sql");
/// Rows per statement. A daily series has about 500 of them in a window.
const CHUNK: usize = 5_000;

/// A row, as computed.
pub struct Expected<'a> {
    pub instance: Instance,
    pub event: &'a Event,
}

/// The ids of the occurrences that exceptions replace or cancel, by series.
pub type Exceptions = HashMap<String, HashSet<String>>;

/// The rows of an event in a window.
pub fn expected<'a>(event: &'a Event, covered: &Covered, replaced: &Exceptions) -> impl Iterator<Item = Expected<'a>> {
    let replaced = replaced.get(event.id.as_str());
    let instances = of(event, covered.zone, covered.window).into_iter();
    let instances = instances.filter(move |instance| !replaced.is_some_and(|ids| ids.contains(&instance.id)));
    instances.map(move |instance| Expected { instance, event })
}

/// Rows to write, and the events they belong to.
#[derive(Default)]
struct Batch<'a> {
    /// Ids of the events whose instances may be stored already.
    stored: Vec<&'a str>,
    /// Those of them that may be, or may have been, series.
    series: Vec<&'a str>,
    rows: Vec<Expected<'a>>,
    ids: HashSet<String>,
}

/// Replaces the instances of events that are new (true) or changed (false). Exceptions must be stored in `calendar_events`.
pub async fn replace(tx: &Transaction<'_>, stream: &Stream, covered: &Covered, events: &[(&Event, bool)]) -> anyhow::Result<()> {
    let replaced = exceptions(tx, stream, events.iter().map(|(event, _)| *event)).await?;
    let mut batch = Batch::default();
    for (event, is_new) in events {
        // An exception takes the place of an occurrence, which may be stored.
        let is_exception = event.recurring_event_id.is_some();
        if !is_new || is_exception {
            batch.stored.push(&event.id);
        }
        if !is_new && !is_exception {
            batch.series.push(&event.id);
        }
        for expected in expected(event, covered, &replaced) {
            // Lists of dates may name an occurrence twice.
            if batch.ids.insert(expected.instance.id.clone()) {
                batch.rows.push(expected);
            }
        }
        if batch.rows.len() >= CHUNK {
            write(tx, stream, std::mem::take(&mut batch)).await?;
        }
    }
    write(tx, stream, batch).await
}

/// The exceptions of the series among these events.
pub async fn exceptions<'a>(
    tx: &Transaction<'_>,
    stream: &Stream,
    events: impl Iterator<Item = &'a Event>,
) -> anyhow::Result<Exceptions> {
    let series: Vec<&str> = events.filter(|event| !event.recurrence.is_empty()).map(|event| event.id.as_str()).collect();
    let mut exceptions = Exceptions::new();
    if series.is_empty() {
        return Ok(exceptions);
    }
    let rows = tx
        .query_typed(
            "SELECT recurring_event_id, event_id FROM calendar_events
             WHERE stream_id = $1 AND recurring_event_id = ANY ($2) AND (deleted_at IS NULL OR cancels_occurrence)",
            &[(&stream.id, Type::INT8), (&series, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading the exceptions of series")?;
    for row in rows {
        exceptions.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?);
    }
    Ok(exceptions)
}

async fn write(tx: &Transaction<'_>, stream: &Stream, batch: Batch<'_>) -> anyhow::Result<()> {
    let Batch { stored, series: stored_series, rows, .. } = batch;
    if stored.is_empty() && rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = rows.iter().map(|row| row.instance.id.as_str()).collect();
    let events: Vec<&str> = rows.iter().map(|row| row.event.id.as_str()).collect();
    let series: Vec<Option<&str>> = rows.iter().map(|row| series(row.event)).collect();
    let starts: Vec<DateTime<Utc>> = rows.iter().map(|row| row.instance.start).collect();
    let ends: Vec<DateTime<Utc>> = rows.iter().map(|row| row.instance.end).collect();
    let first_days: Vec<Option<NaiveDate>> = rows.iter().map(|row| Some(row.instance.days?.0)).collect();
    let last_days: Vec<Option<NaiveDate>> = rows.iter().map(|row| Some(row.instance.days?.1)).collect();
    let busy: Vec<bool> = rows.iter().map(|row| row.event.is_busy()).collect();
    let responses: Vec<Option<&str>> = rows.iter().map(|row| row.event.response()).collect();
    let titles: Vec<Option<&str>> = rows.iter().map(|row| row.event.summary.as_deref()).collect();
    tx.execute_typed(
        REPLACE,
        &[
            (&stream.user_id, Type::UUID),
            (&stream.id, Type::INT8),
            (&stored, Type::TEXT_ARRAY),
            (&ids, Type::TEXT_ARRAY),
            (&events, Type::TEXT_ARRAY),
            (&series, Type::TEXT_ARRAY),
            (&starts, Type::TIMESTAMPTZ_ARRAY),
            (&ends, Type::TIMESTAMPTZ_ARRAY),
            (&first_days, Type::DATE_ARRAY),
            (&last_days, Type::DATE_ARRAY),
            (&busy, Type::BOOL_ARRAY),
            (&responses, Type::TEXT_ARRAY),
            (&titles, Type::TEXT_ARRAY),
            (&stored_series, Type::TEXT_ARRAY),
        ],
    )
    .await
    .context("replacing instances")?;
    Ok(())
}

/// The series of an event, or of the occurrence that it replaces.
pub fn series(event: &Event) -> Option<&str> {
    if event.recurrence.is_empty() { event.recurring_event_id.as_deref() } else { Some(&event.id) }
}

/// Deletes the instances of cancelled events.
pub async fn delete<T>(tx: &Transaction<'_>, stream: &Stream, events: &[T]) -> anyhow::Result<()>
where
    T: AsRef<str>,
{
    let stored: Vec<&str> = events.iter().map(AsRef::as_ref).collect();
    write(tx, stream, Batch { series: stored.clone(), stored, ..Batch::default() }).await
}
