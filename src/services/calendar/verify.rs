//! Calendars and events for comparison: what `calendarList.list` and `events.list` name as in a first pass, and what is stored.

use anyhow::Context as _;
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::fetch::{self, Window};
use super::list::Entry;
use super::{Calendar, EVENTS, LIST, REGISTERED, derived, sweep};
use crate::engine::verify::{Derived, Differences, Thing, Things, Verify};
use crate::engine::{Calls, Stream};
use crate::error::Failure;

/// By how much less than the last complete pass a comparison looks ahead: that began some time before it ended.
const LENGTH_OF_A_PASS: Duration = Duration::days(1);

impl Verify for Calendar {
    type Scope = Window;
    const DERIVED: &'static str = "meetings";

    /// The window reaches back from today, because nothing that came into it since is older than the last pass, and ahead from that pass,
    /// which alone has asked for what lies there.
    fn scope(&self, _stream: &Stream, full_pass_at: DateTime<Utc>) -> Window {
        let at = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        let (now, settings) = (Utc::now(), &self.settings);
        Window {
            time_min: at(now - settings.window_past),
            time_max: at(full_pass_at + settings.window_future - LENGTH_OF_A_PASS),
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
                "UPDATE calendar_events SET etag = NULL, updated = NULL WHERE stream_id = $1 AND event_id = ANY ($2)",
                &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
            )
            .await
            .context("distrusting events")?;
        }
        Ok(())
    }

    async fn derived(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Derived> {
        match stream.kind.as_str() {
            EVENTS => derived::compared(tx, stream, &self.settings.meeting_words).await,
            _ => Ok(Derived::default()),
        }
    }

    async fn derive(&self, tx: &Transaction<'_>, stream: &Stream, found: &Differences) -> anyhow::Result<()> {
        derived::made(tx, stream, &self.settings.meeting_words, found).await
    }
}

/// Tombstones of exceptions are things too: a list names what is cancelled of a series. A column that does not say what was received is not the event.
async fn events(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
    let rows = tx
        .query_typed(
            "SELECT event_id, CASE WHEN summary IS DISTINCT FROM raw ->> 'summary' AND NOT 'summary' = ANY (coalesce(unread, '{}'))
               THEN 'not kept as it was told' ELSE coalesce(etag, '') END, deleted_at IS NULL
             FROM calendar_events WHERE stream_id = $1",
            &[(&stream.id, Type::INT8)],
        )
        .await
        .context("reading stored events")?;
    let thing = |etag: String, alive| if alive { Thing::alive(etag) } else { Thing::dead() };
    rows.iter().map(|row| Ok((row.try_get(0)?, thing(row.try_get(1)?, row.try_get(2)?)))).collect()
}

/// A calendar whose events should be followed, and that has no stream, is as good as not stored.
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
    let mut things = Things::new();
    for row in &rows {
        let entry: Entry = serde_json::from_str(row.try_get(2)?).context("reading a stored calendar")?;
        let thing = match entry.is_wanted(configured) && !row.try_get::<_, bool>(3)? {
            true => Thing::dead(),
            false => Thing::alive(row.try_get::<_, String>(1)?),
        };
        things.insert(row.try_get(0)?, thing);
    }
    left_standing(tx, stream, &mut things).await?;
    Ok(things)
}

/// Adds events of calendars that are not followed any more, which no list names.
async fn left_standing(tx: &Transaction<'_>, stream: &Stream, things: &mut Things) -> anyhow::Result<()> {
    let rows = tx
        .query_typed(
            "SELECT s.resource FROM streams s
             WHERE s.user_id = $1 AND s.service = $2 AND s.kind = $3 AND s.state = 'removed'
               AND EXISTS (SELECT 1 FROM calendar_events e WHERE e.stream_id = s.id AND e.deleted_at IS NULL)",
            &[(&stream.user_id, Type::UUID), (&REGISTERED.service, Type::TEXT), (&EVENTS, Type::TEXT)],
        )
        .await
        .context("looking for events of calendars that are gone")?;
    for row in &rows {
        let calendar: String = row.try_get(0)?;
        things.insert(format!("events of {calendar}"), Thing::alive(""));
    }
    Ok(())
}
