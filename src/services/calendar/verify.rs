//! Calendars and events for comparison: what `calendarList.list` and `events.list` return as in a first pass, and what is stored.

use anyhow::Context as _;
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::fetch::{self, Window};
use super::list::Entry;
use super::{Calendar, EVENTS, LIST, REGISTERED, derived, instances, sweep};
use crate::engine::verify::{AllDerived, ItemState, Things, Verify};
use crate::engine::{Calls, Stream};
use crate::error::Failure;

/// Subtracted from the end of the window: `full_pass_at` is when the last complete pass ended, but its window is relative to its start.
const MAX_PASS_DURATION: Duration = Duration::days(1);

/// The names of derived rows.
const MEETINGS: &str = "meetings";
const INSTANCES: &str = "instances";

impl Verify for Calendar {
    type Scope = Window;

    /// The start is relative to today and thus within the window of the last pass. The end is relative to that pass, because later events have
    /// not been requested yet.
    fn scope(&self, _stream: &Stream, full_pass_at: DateTime<Utc>) -> Window {
        let at = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (now, settings) = (Utc::now(), &self.settings);
        Window {
            time_min: at(now - settings.window_past),
            time_max: at(full_pass_at + settings.window_future - MAX_PASS_DURATION),
        }
    }

    async fn list(&self, stream: &Stream, calls: &Calls, scope: &Window, _stored: &Things) -> Result<Things, Failure> {
        fetch::list_versions(self, stream, calls, scope).await
    }

    async fn stored(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
        match stream.kind.as_str() {
            LIST => calendars(tx, stream, &self.settings.calendars).await,
            _ => events(tx, stream).await,
        }
    }

    async fn owed(&self, tx: &Transaction<'_>, stream: &Stream, scope: &Window, ids: &[&str]) -> anyhow::Result<Vec<String>> {
        match stream.kind.as_str() {
            LIST => Ok(ids.iter().map(|id| (*id).to_owned()).collect()),
            _ => sweep::owed(tx, stream, scope, ids).await,
        }
    }

    async fn distrust(&self, tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> anyhow::Result<()> {
        // A complete pass writes every entry of the list.
        if stream.kind == EVENTS {
            tx.execute_typed(
                "UPDATE calendar_events SET etag = NULL, updated = NULL, changed_xid = DEFAULT
                 WHERE stream_id = $1 AND event_id = ANY ($2)",
                &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
            )
            .await
            .context("invalidating events")?;
        }
        Ok(())
    }

    async fn derived(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<AllDerived> {
        let mut derived = AllDerived::new();
        if stream.kind == EVENTS {
            derived.insert(MEETINGS, derived::compared(tx, stream, &self.settings.meeting_words).await?);
            derived.insert(INSTANCES, instances::verify::compared(tx, stream).await?);
        }
        Ok(derived)
    }

    async fn derive(&self, tx: &Transaction<'_>, stream: &Stream, derived: &AllDerived) -> anyhow::Result<()> {
        if let Some(meetings) = derived.get(MEETINGS) {
            derived::made(tx, stream, &self.settings.meeting_words, &meetings.found).await?;
        }
        if let Some(instances) = derived.get(INSTANCES) {
            instances::verify::rebuild(tx, stream, &instances.found).await?;
        }
        Ok(())
    }
}

/// Includes tombstones of exceptions, because a list contains the cancelled instances of a series. A `summary` that differs from `raw` gives a
/// version that matches no event.
async fn events(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
    let rows = tx
        .query_typed(
            "SELECT event_id, CASE WHEN summary IS DISTINCT FROM raw ->> 'summary' AND NOT 'summary' = ANY (coalesce(unread, '{}'))
               THEN 'differs from raw' ELSE coalesce(etag, '') END, deleted_at IS NULL
             FROM calendar_events WHERE stream_id = $1",
            &[(&stream.id, Type::INT8)],
        )
        .await
        .context("reading stored events")?;
    let version = |etag: String, alive| if alive { ItemState::alive(etag) } else { ItemState::dead() };
    rows.iter().map(|row| Ok((row.try_get(0)?, version(row.try_get(1)?, row.try_get(2)?)))).collect()
}

/// A calendar that should be synced but has no stream counts as not stored.
async fn calendars(tx: &Transaction<'_>, stream: &Stream, configured: &[String]) -> anyhow::Result<Things> {
    let rows = tx
        .query_typed(
            "SELECT c.calendar_id, coalesce(c.etag, ''), c.raw::text, EXISTS (SELECT 1 FROM streams s WHERE s.user_id = c.user_id
               AND s.service = $2 AND s.kind = $3 AND s.resource = c.calendar_id AND s.state <> 'removed')
             FROM calendars c WHERE c.user_id = $1 AND c.deleted_at IS NULL",
            &[(&stream.user_id, Type::UUID), (&REGISTERED.service, Type::TEXT), (&EVENTS, Type::TEXT)],
        )
        .await
        .context("reading stored calendars")?;
    let mut versions = Things::new();
    for row in &rows {
        let entry: Entry = serde_json::from_str(row.try_get(2)?).context("reading a stored calendar")?;
        let version = if entry.is_synced(configured) && !row.try_get::<_, bool>(3)? {
            ItemState::dead()
        } else {
            ItemState::alive(row.try_get::<_, String>(1)?)
        };
        versions.insert(row.try_get(0)?, version);
    }
    add_leftover_events(tx, stream, &mut versions).await?;
    Ok(versions)
}

/// Adds the events of calendars that are no longer synced, which no list contains.
async fn add_leftover_events(tx: &Transaction<'_>, stream: &Stream, versions: &mut Things) -> anyhow::Result<()> {
    let rows = tx
        .query_typed(
            "SELECT s.resource FROM streams s
             WHERE s.user_id = $1 AND s.service = $2 AND s.kind = $3 AND s.state = 'removed'
               AND EXISTS (SELECT 1 FROM calendar_events e WHERE e.stream_id = s.id AND e.deleted_at IS NULL)",
            &[(&stream.user_id, Type::UUID), (&REGISTERED.service, Type::TEXT), (&EVENTS, Type::TEXT)],
        )
        .await
        .context("looking for events of removed calendars")?;
    for row in &rows {
        let calendar: String = row.try_get(0)?;
        versions.insert(format!("events of {calendar}"), ItemState::alive(""));
    }
    Ok(())
}
