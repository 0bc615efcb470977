//! `calendar.meeting.starting`: an outbox event some minutes before a meeting of a user begins. No network access.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;

use super::changes::{STARTING, fields, instant};
use super::{EVENT_TYPES, read};
use crate::config::Settings;
use crate::db::Pool;
use crate::db::outbox::{self, ItemEvent};

const STARTING_MEETINGS: &str = include_str!("sql/starting_meetings.sql");
/// Ids of calendars that belong to no user's account.
const SHARED: &str = "%@group.calendar.google.com";
/// Meetings per transaction.
const CHUNK: i64 = 1_000;

/// Writes an event for each meeting that begins within `calendar.meeting_notice`, if a target asks for it. Each meeting is announced at most once for
/// each start.
///
/// # Errors
/// Returns an error of the database.
pub async fn announce(pool: &Pool, settings: &Settings) -> anyhow::Result<()> {
    if !settings.outbox.requested(&EVENT_TYPES).contains(STARTING) {
        return Ok(());
    }
    let mut client = pool.get().await?;
    loop {
        let tx = client.begin("announcing meetings").await?;
        let count = announce_some(&tx, settings).await?;
        tx.commit().await.context("announcing meetings")?;
        if count < CHUNK as usize {
            return Ok(());
        }
    }
}

async fn announce_some(tx: &Transaction<'_>, settings: &Settings) -> anyhow::Result<usize> {
    let rows = tx
        .query_typed(
            STARTING_MEETINGS,
            &[
                (&settings.calendar.meeting_notice.as_secs_f64(), Type::FLOAT8),
                (&STARTING, Type::TEXT),
                (&SHARED, Type::TEXT),
                (&CHUNK, Type::INT8),
            ],
        )
        .await
        .context("looking for meetings that begin soon")?;
    let events: Vec<ItemEvent> = rows.iter().map(event).collect::<anyhow::Result<_>>()?;
    outbox::emit_of_items(tx, &events).await?;
    Ok(rows.len())
}

fn event(row: &Row) -> anyhow::Result<ItemEvent> {
    let (calendar, instance): (&str, &str) = (row.try_get(3)?, row.try_get(4)?);
    let (start, end): (DateTime<Utc>, DateTime<Utc>) = (row.try_get(6)?, row.try_get(7)?);
    // An event that can no longer be read is announced by its id and times alone.
    let mut meeting = read::event(row.try_get(8)?).unwrap_or_default();
    let event: String = row.try_get(5)?;
    if !meeting.recurrence.is_empty() {
        // An occurrence, whose series is the event.
        meeting.recurrence.clear();
        meeting.recurring_event_id = Some(event.clone());
    }
    let zone = meeting.start.as_ref().and_then(|start| start.time_zone.as_deref());
    let times = (instant(start, zone), instant(end, zone));
    let status = meeting.status.as_deref().unwrap_or("confirmed");
    let about = fields(calendar, instance, &meeting, status, times);
    Ok(ItemEvent {
        kind: STARTING,
        stream: row.try_get(2)?,
        item: event,
        user: row.try_get(1)?,
        id: Some(row.try_get(0)?),
        about,
    })
}
