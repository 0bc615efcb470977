//! Finds out why a bot is removed: its meeting moved beyond the window, or it is no longer wanted. Writes nothing.

use std::collections::HashMap;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::eligible;
use super::plan::{Event, Step, Why};
use super::window::Window;
use crate::db::Pool;

/// Sets the reasons of the steps that remove bots.
///
/// # Errors
/// Returns an error if the database fails.
pub async fn explain(pool: &Pool, window: &Window<'_>, steps: &mut [Step]) -> anyhow::Result<()> {
    let bots: Vec<Uuid> = steps.iter().filter_map(removed).collect();
    let Some(latest) = latest(pool, window, &bots).await? else { return Ok(()) };
    // A meeting that moved may no longer be eligible either: check with a window that reaches the latest one.
    let further = Window { until: latest + chrono::Duration::seconds(1), ..*window };
    let eligible = eligible::find(pool, &further).await?;
    let later = eligible.occurrences.into_iter().filter(|one| one.start >= window.until);
    let later: HashMap<(Uuid, Event), DateTime<Utc>> = later.map(|one| ((one.user, one.event), one.start)).collect();
    for step in steps {
        if let Step::Remove(bot, why) = step
            && let Some(at) = bot.links.iter().filter_map(|link| later.get(link)).min()
        {
            *why = Why::MovedTo(*at);
        }
    }
    Ok(())
}

fn removed(step: &Step) -> Option<Uuid> {
    match step {
        Step::Remove(bot, _) => Some(bot.id),
        Step::Create(_) | Step::Keep(..) => None,
    }
}

/// Returns the latest start of these bots' meetings beyond the window; `None` if no meeting is beyond it.
async fn latest(pool: &Pool, window: &Window<'_>, bots: &[Uuid]) -> anyhow::Result<Option<DateTime<Utc>>> {
    if bots.is_empty() {
        return Ok(None);
    }
    let row = pool
        .get()
        .await?
        .query_typed_one(
            "SELECT max(m.start_at) FROM attendee_bot_meetings bm
             JOIN calendar_events e ON e.stream_id = bm.stream_id
               AND (e.event_id = bm.event_id OR (e.recurring_event_id = bm.event_id AND e.original_start_at = bm.original_start))
             JOIN meetings m ON m.stream_id = e.stream_id AND m.event_id = e.event_id
             WHERE bm.bot = ANY ($1) AND NOT m.is_series AND m.event_status <> 'cancelled' AND e.deleted_at IS NULL AND m.start_at >= $2",
            &[(&bots, Type::UUID_ARRAY), (&window.until, Type::TIMESTAMPTZ)],
        )
        .await
        .context("reading the new times of meetings")?;
    Ok(row.try_get(0)?)
}
