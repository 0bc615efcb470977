//! Events in `calendar_events`: upserts and tombstones. No network access.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;

use super::changes::Announcer;
use super::event::{Event, When};
use super::{Change, confirm, instances, meetings};
use crate::config;
use crate::engine::{Counts, Item, Stream};

const UPSERT: &str = include_str!("sql/upsert_events.sql");
/// Rows per statement: the maximum page size. More than about 2,000 rows gain nothing and cost memory.
const CHUNK: usize = 2_500;

/// An event and its JSON, as received.
pub type Sent<'a> = (&'a Event, &'a str);

/// Stores a page of events and their meetings. `requested`: types of outbox events that targets ask for.
pub async fn apply(
    tx: &Transaction<'_>,
    settings: &config::Calendar,
    requested: &HashSet<&'static str>,
    stream: &Stream,
    pass: Option<i64>,
    items: &[Item<Change>],
) -> anyhow::Result<Counts> {
    let covered = instances::windows::of(tx, settings, stream).await?;
    // Only the last change of an event counts: one statement cannot update a row twice.
    let mut latest: HashMap<&str, usize> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        if let Change::Event(_) = &item.change {
            latest.insert(&item.id, index);
        }
    }
    let (mut live, mut gone) = (Vec::new(), Vec::new());
    for (index, item) in items.iter().enumerate() {
        let Change::Event(event) = &item.change else { continue };
        if latest.get(item.id.as_str()) != Some(&index) {
            continue;
        }
        let group = if event.is_cancelled() { &mut gone } else { &mut live };
        group.push((&**event, item.raw.get()));
    }
    let all = live.iter().chain(&gone).map(|(event, _)| *event);
    let announcer = Announcer::of(tx, requested, stream, pass, all).await?;
    let mut counts = Counts::default();
    for part in live.chunks(CHUNK) {
        let changed = upsert(tx, stream, pass, part, &mut counts).await?;
        meetings::apply(tx, stream, &settings.meeting_words, &changed).await?;
        if let Some(covered) = &covered {
            instances::replace(tx, stream, covered, &changed).await?;
        }
        if let Some(announcer) = &announcer {
            announcer.stored(tx, stream, &changed).await?;
        }
    }
    for part in gone.chunks(CHUNK) {
        counts += delete_cancelled(tx, stream, pass, part, &live, announcer.as_ref()).await?;
    }
    let confirmed = items.iter().filter(|item| matches!(item.change, Change::Confirmed)).map(|item| item.id.as_str());
    let confirmed: Vec<&str> = confirmed.collect();
    if !confirmed.is_empty() {
        confirm::note(tx, stream, &confirmed).await?;
    }
    Ok(counts)
}

/// Upserts live events. Returns those whose rows are new (true) or changed (false).
async fn upsert<'a>(
    tx: &Transaction<'_>,
    stream: &Stream,
    pass: Option<i64>,
    events: &[Sent<'a>],
    counts: &mut Counts,
) -> anyhow::Result<Vec<(&'a Event, bool)>> {
    let column = |read: fn(&'a Event) -> Option<&'a str>| events.iter().map(|(event, _)| read(event)).collect::<Vec<_>>();
    let instants = |read: fn(&'a Event) -> Option<&'a When>| -> Vec<Option<DateTime<Utc>>> {
        events.iter().map(|(event, _)| read(event).and_then(When::instant)).collect()
    };
    let dates = |read: fn(&'a Event) -> Option<&'a When>| -> Vec<Option<NaiveDate>> {
        events.iter().map(|(event, _)| read(event).and_then(|when| when.date)).collect()
    };
    let attendees: Vec<i32> = events.iter().map(|(event, _)| i32::try_from(event.attendees.len()).unwrap_or(i32::MAX)).collect();
    let updated: Vec<Option<DateTime<Utc>>> = events.iter().map(|(event, _)| event.updated).collect();
    let raws: Vec<&str> = events.iter().map(|(_, raw)| *raw).collect();
    let unread = |event: &Event| (!event.unread.is_empty()).then(|| event.unread.join(","));
    let unread: Vec<Option<String>> = events.iter().map(|(event, _)| unread(event)).collect();
    let rows = tx
        .query_typed(
            UPSERT,
            &[
                (&stream.id, Type::INT8),
                (&stream.user_id, Type::UUID),
                (&stream.resource, Type::TEXT),
                (&pass, Type::INT8),
                (&column(|e| Some(e.id.as_str())), Type::TEXT_ARRAY),
                (&column(|e| Some(e.status.as_deref().unwrap_or("confirmed"))), Type::TEXT_ARRAY),
                (&column(|e| e.event_type.as_deref()), Type::TEXT_ARRAY),
                (&column(|e| e.summary.as_deref()), Type::TEXT_ARRAY),
                (&instants(|e| e.start.as_ref()), Type::TIMESTAMPTZ_ARRAY),
                (&instants(|e| e.end.as_ref()), Type::TIMESTAMPTZ_ARRAY),
                (&dates(|e| e.start.as_ref()), Type::DATE_ARRAY),
                (&dates(|e| e.end.as_ref()), Type::DATE_ARRAY),
                (&column(|e| e.start.as_ref()?.time_zone.as_deref()), Type::TEXT_ARRAY),
                (&column(|e| e.organizer.as_ref()?.email.as_deref()), Type::TEXT_ARRAY),
                (&attendees, Type::INT4_ARRAY),
                (&column(|e| e.recurring_event_id.as_deref()), Type::TEXT_ARRAY),
                (&instants(|e| e.original_start_time.as_ref()), Type::TIMESTAMPTZ_ARRAY),
                (&dates(|e| e.original_start_time.as_ref()), Type::DATE_ARRAY),
                (&column(|e| e.ical_uid.as_deref()), Type::TEXT_ARRAY),
                (&column(|e| e.etag.as_deref()), Type::TEXT_ARRAY),
                (&updated, Type::TIMESTAMPTZ_ARRAY),
                (&raws, Type::TEXT_ARRAY),
                (&unread, Type::TEXT_ARRAY),
            ],
        )
        .await
        .context("upserting events")?;
    let changed = changed(&rows)?;
    let created = changed.values().filter(|new| **new).count() as u64;
    let updated = changed.len() as u64 - created;
    *counts += Counts { created, updated, unchanged: events.len() as u64 - created - updated, ..Counts::default() };
    Ok(events.iter().filter_map(|(event, _)| Some((*event, *changed.get(event.id.as_str())?))).collect())
}

/// The rows that are new (true) or changed (false), by event.
fn changed(rows: &[Row]) -> anyhow::Result<HashMap<&str, bool>> {
    let mut changed = HashMap::with_capacity(rows.len());
    for row in rows {
        match row.try_get(1)? {
            "created" => changed.insert(row.try_get(0)?, true),
            "updated" => changed.insert(row.try_get(0)?, false),
            _ => None,
        };
    }
    Ok(changed)
}

/// Turns cancelled events into tombstones. The exceptions of a cancelled series go with it, except those that outlive it: a user who was
/// removed from a series may still be invited to one instance. A cancelled exception is stored even if it was never seen, because without it
/// the series would show an instance that does not take place.
async fn delete_cancelled(
    tx: &Transaction<'_>,
    stream: &Stream,
    pass: Option<i64>,
    events: &[Sent<'_>],
    live: &[Sent<'_>],
    announcer: Option<&Announcer<'_>>,
) -> anyhow::Result<Counts> {
    let ids: Vec<&str> = events.iter().map(|(event, _)| event.id.as_str()).collect();
    let living = live.iter().filter(|(event, _)| event.recurring_event_id.is_some());
    let living: Vec<&str> = living.map(|(event, _)| event.id.as_str()).collect();
    let updated: Vec<Option<DateTime<Utc>>> = events.iter().map(|(event, _)| event.updated).collect();
    let etags: Vec<Option<&str>> = events.iter().map(|(event, _)| event.etag.as_deref()).collect();
    let rows = tx
        .query_typed(
            "UPDATE calendar_events e SET status = 'cancelled', deleted_at = now(), synced_at = now(),
               changed_xid = DEFAULT, seen_pass = coalesce($2, e.seen_pass), etag = coalesce(gone.etag, e.etag),
               cancels_occurrence = e.recurring_event_id IS NOT NULL AND e.event_id = gone.event_id
             FROM unnest($3::text[], $4::text[], $5::timestamptz[]) AS gone (event_id, etag, updated)
             WHERE e.stream_id = $1 AND e.deleted_at IS NULL AND (e.event_id = gone.event_id
               OR (e.recurring_event_id = gone.event_id AND e.event_id <> ALL ($6) AND (e.updated <= gone.updated) IS NOT FALSE))
             RETURNING e.event_id",
            &[
                (&stream.id, Type::INT8),
                (&pass, Type::INT8),
                (&ids, Type::TEXT_ARRAY),
                (&etags, Type::TEXT_ARRAY),
                (&updated, Type::TIMESTAMPTZ_ARRAY),
                (&living, Type::TEXT_ARRAY),
            ],
        )
        .await
        .context("making tombstones")?;
    let deleted_ids: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let kept = keep_cancelled_exceptions(tx, stream, pass, events).await?;
    meetings::cancel(tx, stream, &deleted_ids).await?;
    // Occurrences that were cancelled without ever having been exceptions are only among `ids`.
    let occurrences = ids.iter().copied().chain(deleted_ids.iter().map(String::as_str));
    instances::delete(tx, stream, &occurrences.collect::<Vec<_>>()).await?;
    if let Some(announcer) = announcer {
        let occurrences = events.iter().map(|(event, _)| *event).filter(|event| kept.new.contains(&event.id));
        announcer.cancelled(tx, stream, &deleted_ids, occurrences).await?;
    }
    let deleted = deleted_ids.len() as u64 + kept.rows;
    Ok(Counts { deleted, unchanged: (events.len() as u64).saturating_sub(deleted), ..Counts::default() })
}

/// Cancelled exceptions that were kept.
#[derive(Default)]
struct Kept {
    /// Rows written.
    rows: u64,
    /// Ids of those that were not stored before.
    new: HashSet<String>,
}

async fn keep_cancelled_exceptions(
    tx: &Transaction<'_>,
    stream: &Stream,
    pass: Option<i64>,
    events: &[Sent<'_>],
) -> anyhow::Result<Kept> {
    let exceptions: Vec<&Sent<'_>> = events.iter().filter(|(event, _)| event.recurring_event_id.is_some()).collect();
    if exceptions.is_empty() {
        return Ok(Kept::default());
    }
    let ids: Vec<&str> = exceptions.iter().map(|(event, _)| event.id.as_str()).collect();
    let series: Vec<Option<&str>> = exceptions.iter().map(|(event, _)| event.recurring_event_id.as_deref()).collect();
    let original = |event: &Event| event.original_start_time.clone();
    let starts: Vec<Option<DateTime<Utc>>> = exceptions.iter().map(|(event, _)| original(event)?.instant()).collect();
    let dates: Vec<Option<NaiveDate>> = exceptions.iter().map(|(event, _)| original(event)?.date).collect();
    let etags: Vec<Option<&str>> = exceptions.iter().map(|(event, _)| event.etag.as_deref()).collect();
    let raws: Vec<&str> = exceptions.iter().map(|(_, raw)| *raw).collect();
    let rows = tx.query_typed(
        "INSERT INTO calendar_events AS e (stream_id, user_id, calendar_id, seen_pass, event_id, status, recurring_event_id, original_start_at,
           original_start_date, etag, raw, deleted_at, cancels_occurrence)
         SELECT $1, $2, $3, $4, t.event_id, 'cancelled', t.series, t.start_at, t.start_date, t.etag, t.raw::jsonb, now(), true
         FROM unnest($5::text[], $6::text[], $7::timestamptz[], $8::date[], $9::text[], $10::text[])
           AS t (event_id, series, start_at, start_date, etag, raw)
         -- A tombstone of an exception that was no longer listed.
         ON CONFLICT (stream_id, event_id) DO UPDATE SET cancels_occurrence = true, changed_xid = DEFAULT
         WHERE NOT e.cancels_occurrence AND e.deleted_at IS NOT NULL
         RETURNING e.event_id, e.xmax = 0",
        &[
            (&stream.id, Type::INT8),
            (&stream.user_id, Type::UUID),
            (&stream.resource, Type::TEXT),
            (&pass, Type::INT8),
            (&ids, Type::TEXT_ARRAY),
            (&series, Type::TEXT_ARRAY),
            (&starts, Type::TIMESTAMPTZ_ARRAY),
            (&dates, Type::DATE_ARRAY),
            (&etags, Type::TEXT_ARRAY),
            (&raws, Type::TEXT_ARRAY),
        ],
    )
    .await
    .context("keeping cancelled exceptions")?;
    let mut kept = Kept { rows: rows.len() as u64, ..Kept::default() };
    for row in &rows {
        if row.try_get(1)? {
            kept.new.insert(row.try_get(0)?);
        }
    }
    Ok(kept)
}

/// A hash of the stored event that changes with every update.
pub async fn known(tx: &Transaction<'_>, stream: &Stream, id: &str) -> anyhow::Result<Option<String>> {
    let row = tx
        .query_typed_opt(
            "SELECT md5(e::text) FROM calendar_events e WHERE stream_id = $1 AND event_id = $2",
            &[(&stream.id, Type::INT8), (&id, Type::TEXT)],
        )
        .await
        .context("reading a stored event")?;
    row.map_or(Ok(None), |row| Ok(row.try_get(0)?))
}

/// Makes the next complete pass rewrite every event, because the words that mark a meeting have changed.
pub async fn distrust(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE calendar_events SET etag = NULL, changed_xid = DEFAULT
         WHERE stream_id = $1 AND deleted_at IS NULL AND etag IS NOT NULL",
        &[(&stream.id, Type::INT8)],
    )
    .await
    .context("invalidating the events of a calendar")?;
    Ok(())
}
