//! Compares meetings with the events that they are derived from, and rebuilds them. No network access.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;

use super::event::{Event, When};
use super::{detect, meetings, read};
use crate::engine::Stream;
use crate::engine::verify::{Derived, Differences, Mismatch, wrong};

/// Compares the meetings of a calendar with its stored events.
pub async fn compared(tx: &Transaction<'_>, stream: &Stream, words: &[String]) -> anyhow::Result<Derived> {
    let rows = tx
        .query_typed(
            "SELECT e.event_id, CASE WHEN e.deleted_at IS NULL THEN e.raw::text END, m.event_id IS NOT NULL, m.title, m.start_at, m.end_at, m.link,
               m.link_kind, m.bot_capable, m.detected_by, m.event_status, m.is_series, num_nonnulls(m.bot_id, m.transcript_id, m.project_id) > 0
             FROM calendar_events e LEFT JOIN meetings m USING (stream_id, event_id)
             WHERE e.stream_id = $1 AND (e.deleted_at IS NULL OR m.event_id IS NOT NULL)",
            &[(&stream.id, Type::INT8)],
        )
        .await
        .context("reading events and their meetings")?;
    let mut derived = Derived::default();
    for row in &rows {
        let raw: Option<&str> = row.try_get(1)?;
        // An event that cannot be parsed proves nothing.
        let event = match raw.map(read::event) {
            Some(Err(_)) => continue,
            Some(Ok(event)) => Some(event),
            None => None,
        };
        let expected = event.as_ref().and_then(|event| Some((event, detect::meeting(event, words)?)));
        if let Some(outcome) = mismatch(row, expected.as_ref())? {
            derived.add(row.try_get(0)?, outcome);
        }
    }
    Ok(derived)
}

/// How the meeting of an event differs. `None`: there is no meeting, and there should not be one.
fn mismatch(row: &Row, expected: Option<&(&Event, detect::Detected)>) -> anyhow::Result<Option<Option<Mismatch>>> {
    let is_there: bool = row.try_get(2)?;
    Ok(match (expected, is_there) {
        (None, false) => None,
        (Some(_), false) => Some(Some(Mismatch::Missing)),
        // A meeting with a bot, a transcript or a project is kept, but is marked as cancelled or as one that no bot can join.
        (None, true) => {
            let is_kept = row.try_get(12)? && (row.try_get::<_, &str>(10)? == "cancelled" || !row.try_get::<_, bool>(8)?);
            Some((!is_kept).then_some(Mismatch::Excess))
        }
        (Some((event, detected)), true) => Some((!is_same(row, event, detected)?).then_some(Mismatch::Stale)),
    })
}

fn is_same(row: &Row, event: &Event, detected: &detect::Detected) -> anyhow::Result<bool> {
    let instant = |when: &Option<When>| when.as_ref().and_then(When::instant);
    let link = detected.link.as_ref();
    let text = |column: usize| row.try_get::<_, Option<&str>>(column);
    let time = |column: usize| row.try_get::<_, Option<DateTime<Utc>>>(column);
    Ok(text(3)? == event.summary.as_deref()
        && time(4)? == instant(&event.start)
        && time(5)? == instant(&event.end)
        && text(6)? == link.map(|link| link.url.as_str())
        && text(7)? == link.map(|link| link.kind.name())
        && row.try_get::<_, bool>(8)? == link.is_some_and(|link| link.rank() > 0)
        && text(9)? == Some(detected.rule)
        && text(10)? == Some(event.status.as_deref().unwrap_or("confirmed"))
        && row.try_get::<_, bool>(11)? != event.recurrence.is_empty())
}

/// Rebuilds meetings from the stored events.
pub async fn made(tx: &Transaction<'_>, stream: &Stream, words: &[String], differences: &Differences) -> anyhow::Result<()> {
    let ids = wrong(differences);
    let rows = tx
        .query_typed(
            "SELECT event_id, CASE WHEN deleted_at IS NULL THEN raw::text END FROM calendar_events WHERE stream_id = $1 AND event_id = ANY ($2)",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading events to rebuild their meetings")?;
    let (mut events, mut gone) = (Vec::new(), Vec::new());
    for row in &rows {
        match row.try_get::<_, Option<&str>>(1)?.map(read::event) {
            Some(Ok(event)) => events.push(event),
            Some(Err(_)) => {}
            None => gone.push(row.try_get::<_, String>(0)?),
        }
    }
    let events: Vec<(&Event, bool)> = events.iter().map(|event| (event, false)).collect();
    meetings::apply(tx, stream, words, &events).await?;
    meetings::cancel(tx, stream, &gone).await
}
