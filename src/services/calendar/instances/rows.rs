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

/// Rows to write, and the events they belong to.
#[derive(Default)]
struct Batch<'a> {
    /// Ids of the events whose instances may be stored already.
    stored: Vec<&'a str>,
    rows: Vec<(Instance, &'a Event)>,
    ids: HashSet<String>,
}

/// Replaces the instances of events that are new (true) or changed (false). Exceptions must be stored in `calendar_events`.
pub async fn replace(tx: &Transaction<'_>, stream: &Stream, covered: &Covered, events: &[(&Event, bool)]) -> anyhow::Result<()> {
    let series: Vec<&str> =
        events.iter().filter(|(event, _)| !event.recurrence.is_empty()).map(|(event, _)| event.id.as_str()).collect();
    let replaced = exceptions(tx, stream, &series).await?;
    let mut batch = Batch::default();
    for (event, is_new) in events {
        // An exception takes the place of an occurrence, which may be stored.
        if !is_new || event.recurring_event_id.is_some() {
            batch.stored.push(&event.id);
        }
        let replaced = replaced.get(event.id.as_str());
        let instances = of(event, covered.zone, covered.window).into_iter();
        for instance in instances.filter(|instance| !replaced.is_some_and(|ids| ids.contains(&instance.id))) {
            // Lists of dates may name an occurrence twice.
            if batch.ids.insert(instance.id.clone()) {
                batch.rows.push((instance, event));
            }
        }
        if batch.rows.len() >= CHUNK {
            write(tx, stream, std::mem::take(&mut batch)).await?;
        }
    }
    write(tx, stream, batch).await
}

/// The ids of the occurrences that exceptions replace or cancel, by series.
async fn exceptions(tx: &Transaction<'_>, stream: &Stream, series: &[&str]) -> anyhow::Result<HashMap<String, HashSet<String>>> {
    let mut exceptions: HashMap<String, HashSet<String>> = HashMap::new();
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
    let Batch { stored, rows, .. } = batch;
    if stored.is_empty() && rows.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = rows.iter().map(|(instance, _)| instance.id.as_str()).collect();
    let events: Vec<&str> = rows.iter().map(|(_, event)| event.id.as_str()).collect();
    let series: Vec<Option<&str>> = rows.iter().map(|(_, event)| series(event)).collect();
    let starts: Vec<DateTime<Utc>> = rows.iter().map(|(instance, _)| instance.start).collect();
    let ends: Vec<DateTime<Utc>> = rows.iter().map(|(instance, _)| instance.end).collect();
    let first_days: Vec<Option<NaiveDate>> = rows.iter().map(|(instance, _)| Some(instance.days?.0)).collect();
    let last_days: Vec<Option<NaiveDate>> = rows.iter().map(|(instance, _)| Some(instance.days?.1)).collect();
    let busy: Vec<bool> = rows.iter().map(|(_, event)| event.is_busy()).collect();
    let responses: Vec<Option<&str>> = rows.iter().map(|(_, event)| event.response()).collect();
    let titles: Vec<Option<&str>> = rows.iter().map(|(_, event)| event.summary.as_deref()).collect();
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
        ],
    )
    .await
    .context("replacing instances")?;
    Ok(())
}

fn series(event: &Event) -> Option<&str> {
    if event.recurrence.is_empty() { event.recurring_event_id.as_deref() } else { Some(&event.id) }
}

/// Deletes the instances of cancelled events.
pub async fn delete<T>(tx: &Transaction<'_>, stream: &Stream, events: &[T]) -> anyhow::Result<()>
where
    T: AsRef<str>,
{
    let stored: Vec<&str> = events.iter().map(AsRef::as_ref).collect();
    write(tx, stream, Batch { stored, ..Batch::default() }).await
}
