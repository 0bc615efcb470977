//! Outbox events for calendar events that are created, updated, moved or cancelled: opt-in types, written in the transaction of the change. No network
//! access.
//!
//! The first full pass writes none. Later ones find what changed while no cursor was valid: they announce events that differ from what is stored, but
//! as new only those that the passes before would have listed. The others come into view because the window moves.

use std::collections::{HashMap, HashSet};

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;
use serde_json::{Map, Value, json};

use super::event::{Event, Instant, When};
use super::instances::{Window, windows};
use super::{detect, read, series};
use crate::db::outbox::{self, ItemEvent, short};
use crate::engine::Stream;

const CREATED: &str = "calendar.event.created";
const UPDATED: &str = "calendar.event.updated";
const MOVED: &str = "calendar.event.moved";
const CANCELLED: &str = "calendar.event.cancelled";
/// An event before a meeting begins, see `starting`.
pub const STARTING: &str = "calendar.meeting.starting";
/// All event types of Calendar. All are opt-in.
pub const OPT_IN: [&str; 5] = [CREATED, UPDATED, MOVED, CANCELLED, STARTING];
/// Longer links are left out.
const MAX_LINK: usize = 1_000;

/// Announces the changes of one page, or of the end of a full pass.
pub struct Announcer<'a> {
    requested: &'a HashSet<&'static str>,
    /// The window of the full pass before this one; `None`: this is not a full pass.
    listed: Option<Window>,
    /// The events of the page, and the series of its exceptions, as stored before.
    before: HashMap<String, Stored>,
}

/// An event as stored.
struct Stored {
    is_live: bool,
    start: When,
    end: When,
    /// As received: a full pass that rewrites all events resets the one of the row.
    etag: Option<String>,
}

impl<'a> Announcer<'a> {
    /// Reads what is stored of a page's events. `None`: nothing is to be announced.
    ///
    /// # Errors
    /// Returns an error of the database.
    pub async fn of(
        tx: &Transaction<'_>,
        requested: &'a HashSet<&'static str>,
        stream: &Stream,
        pass: Option<i64>,
        events: impl Iterator<Item = &Event>,
    ) -> anyhow::Result<Option<Self>> {
        if ![CREATED, UPDATED, MOVED, CANCELLED].iter().any(|kind| requested.contains(kind)) {
            return Ok(None);
        }
        let listed = match (pass, stream.full_pass_at) {
            (None, _) => None,
            (Some(_), None) => return Ok(None),
            (Some(_), Some(_)) => match windows::listed(tx, stream).await? {
                None => return Ok(None),
                listed => listed,
            },
        };
        let ids: Vec<&str> =
            events.flat_map(|event| [Some(event.id.as_str()), event.recurring_event_id.as_deref()]).flatten().collect();
        Ok(Some(Self { requested, listed, before: stored(tx, stream, &ids).await? }))
    }

    /// Announces live events whose rows are new or changed.
    ///
    /// # Errors
    /// Returns an error of the database.
    pub async fn stored(&self, tx: &Transaction<'_>, stream: &Stream, changed: &[(&Event, bool)]) -> anyhow::Result<()> {
        let events = changed.iter().filter_map(|(event, _)| {
            let (kind, previous) = self.change(event).filter(|(kind, _)| self.requested.contains(kind))?;
            let mut about = about(stream, event, event.status.as_deref().unwrap_or("confirmed"));
            if let Some(previous) = previous {
                about.insert("previous".into(), previous);
            }
            Some(item_event(kind, stream, &event.id, about))
        });
        outbox::emit_of_items(tx, &events.collect::<Vec<_>>()).await
    }

    /// What has happened to an event whose row is new or changed, and its times before.
    fn change(&self, event: &Event) -> Option<(&'static str, Option<Value>)> {
        let (start, end) = (event.start.as_ref(), event.end.as_ref());
        if let Some(before) = self.before.get(&event.id).filter(|before| before.is_live) {
            if self.listed.is_some() && before.etag == event.etag {
                return None;
            }
            let is_same = moment(Some(&before.start)) == moment(start) && moment(Some(&before.end)) == moment(end);
            let previous = || json!({ "start": time(Some(&before.start)), "end": time(Some(&before.end)) });
            return Some(if is_same { (UPDATED, None) } else { (MOVED, Some(previous())) });
        }
        if !self.would_have_listed(event) {
            return None;
        }
        // A new exception is a changed occurrence, unless the user is invited to that one alone.
        let has_series =
            event.recurring_event_id.as_ref().is_some_and(|id| self.before.get(id).is_some_and(|series| series.is_live));
        match event.original_start_time.as_ref().filter(|_| has_series && !self.before.contains_key(&event.id)) {
            Some(original) if moment(Some(original)) == moment(start) => Some((UPDATED, None)),
            Some(original) => Some((MOVED, Some(json!({ "start": time(Some(original)), "end": null })))),
            None => Some((CREATED, None)),
        }
    }

    /// Whether the full pass before this one, or the polls after it, would have named an event that is not stored. Dates have no time zone, hence a
    /// margin of one day.
    fn would_have_listed(&self, event: &Event) -> bool {
        let Some(listed) = self.listed else { return true };
        let margin = TimeDelta::days(1);
        let midnight = |when: &When| Some(when.date?.and_time(chrono::NaiveTime::MIN).and_utc());
        let at = |when: Option<&When>| when.and_then(|when| when.instant().or_else(|| midnight(when)));
        let start = at(event.start.as_ref().or(event.original_start_time.as_ref()));
        let ends_inside = if event.recurrence.is_empty() {
            at(event.end.as_ref()).or(start).is_some_and(|end| end > listed.from + margin)
        } else {
            series::reaches(event, listed.from + margin)
        };
        ends_inside && start.is_some_and(|start| start < listed.until - margin)
    }

    /// Announces events that became tombstones, and `occurrences` of series that were cancelled without having been stored.
    ///
    /// # Errors
    /// Returns an error of the database.
    pub async fn cancelled(
        &self,
        tx: &Transaction<'_>,
        stream: &Stream,
        deleted: &[String],
        occurrences: impl Iterator<Item = &Event>,
    ) -> anyhow::Result<()> {
        let occurrences = occurrences.filter(|event| self.would_have_listed(event)).map(|event| event.id.as_str());
        let ids: Vec<&str> = deleted.iter().map(String::as_str).chain(occurrences).collect();
        if ids.is_empty() || !self.requested.contains(CANCELLED) {
            return Ok(());
        }
        let rows = tx
            .query_typed(
                "SELECT e.event_id, e.raw::text,
                   (SELECT s.summary FROM calendar_events s WHERE s.stream_id = e.stream_id AND s.event_id = e.recurring_event_id)
                 FROM unnest($2::text[]) WITH ORDINALITY AS t (id, ordinal), LATERAL (
                   SELECT * FROM calendar_events e WHERE e.stream_id = $1 AND e.event_id = t.id OFFSET 0) AS e ORDER BY t.ordinal",
                &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
            )
            .await
            .context("reading cancelled events")?;
        let mut events = Vec::with_capacity(rows.len());
        for row in &rows {
            let id: String = row.try_get(0)?;
            // An event that can no longer be read is announced by its id alone.
            let mut event = read::event(row.try_get(1)?).unwrap_or_default();
            event.id.clone_from(&id);
            event.summary = event.summary.take().or(row.try_get(2)?);
            event.start = event.start.take().or(event.original_start_time.take());
            events.push(item_event(CANCELLED, stream, &id, about(stream, &event, "cancelled")));
        }
        outbox::emit_of_items(tx, &events).await
    }
}

async fn stored(tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> anyhow::Result<HashMap<String, Stored>> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx
        .query_typed(
            // Row by row: without statistics, the planner would read the whole calendar.
            "SELECT e.* FROM unnest($2::text[]) AS t (id), LATERAL (
               SELECT event_id, deleted_at IS NULL, start_at, start_date, end_at, end_date, time_zone, raw ->> 'etag'
               FROM calendar_events WHERE stream_id = $1 AND event_id = t.id OFFSET 0) AS e",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading the events of a page as stored")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, Stored::of(row)?))).collect()
}

impl Stored {
    fn of(row: &Row) -> anyhow::Result<Self> {
        let zone: Option<String> = row.try_get(6)?;
        let when = |at: Option<DateTime<Utc>>, date: Option<NaiveDate>| When {
            date,
            date_time: at.map(|at| Instant::Fixed(at.fixed_offset())),
            time_zone: zone.clone(),
        };
        Ok(Self {
            is_live: row.try_get(1)?,
            start: when(row.try_get(2)?, row.try_get(3)?),
            end: when(row.try_get(4)?, row.try_get(5)?),
            etag: row.try_get(7)?,
        })
    }
}

fn item_event(kind: &'static str, stream: &Stream, id: &str, about: Map<String, Value>) -> ItemEvent {
    ItemEvent { kind, stream: stream.id, item: id.to_owned(), user: stream.user_id, id: None, about }
}

/// When it is, without the name of the zone.
fn moment(when: Option<&When>) -> (Option<DateTime<Utc>>, Option<NaiveDate>) {
    (when.and_then(When::instant), when.and_then(|when| when.date))
}

/// The fields of an outbox event about an event of this calendar.
fn about(stream: &Stream, event: &Event, status: &str) -> Map<String, Value> {
    fields(&stream.resource, &event.id, event, status, (time(event.start.as_ref()), time(event.end.as_ref())))
}

/// The same, under this id and with these times.
pub fn fields(calendar: &str, id: &str, event: &Event, status: &str, (start, end): (Value, Value)) -> Map<String, Value> {
    let text = |text: &Option<String>| text.as_deref().map(short);
    let link = detect::link(event).map(|(_, link)| link.url).filter(|link| link.len() <= MAX_LINK);
    let shown = json!({
        "ical_uid": text(&event.ical_uid),
        "title": text(&event.summary),
        "start": start,
        "end": end,
        "all_day": event.start.as_ref().is_some_and(|start| start.date.is_some()),
        "status": short(status),
        "event_type": text(&event.event_type),
        "is_series": !event.recurrence.is_empty(),
        "organizer": event.organizer.as_ref().and_then(|organizer| text(&organizer.email)),
        "attendees": event.attendees.len(),
        "response": event.response().map(short),
        "meeting_link": link,
        "updated": event.updated.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)),
    });
    Map::from_iter([
        ("calendar_id".to_owned(), json!(calendar)),
        ("event_id".to_owned(), json!(id)),
        ("series_id".to_owned(), json!(series_of(event))),
        ("event".to_owned(), shown),
    ])
}

/// The series that an event is an occurrence of.
fn series_of(event: &Event) -> Option<&str> {
    if event.recurrence.is_empty() { event.recurring_event_id.as_deref() } else { None }
}

/// A date, or an instant in UTC with the zone in which it was entered; null if it is unknown.
fn time(when: Option<&When>) -> Value {
    let Some(when) = when else { return Value::Null };
    match (when.date, when.instant()) {
        (Some(date), _) => json!({ "date": date }),
        (None, Some(at)) => instant(at, when.time_zone.as_deref()),
        (None, None) => Value::Null,
    }
}

/// An instant in UTC with its zone.
pub fn instant(at: DateTime<Utc>, zone: Option<&str>) -> Value {
    json!({ "date_time": at.to_rfc3339_opts(SecondsFormat::Secs, true), "time_zone": zone.map(short) })
}
