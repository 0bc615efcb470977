//! Moves the windows of `calendar_instances` on, and computes the instances of calendars that have none yet. Concurrent runs share the work. No
//! network access.

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;

use super::windows::{self, Covered, STRIDE_DAYS, zone};
use super::{Window, rows};
use crate::config;
use crate::db::Pool;
use crate::engine::Stream;
use crate::services::calendar::event::Event;
use crate::services::calendar::{EVENTS, REGISTERED, read};

/// How late the daily `calendar roll-instances` may be.
const MAX_DELAY: TimeDelta = TimeDelta::days(2);
/// Events per transaction while all instances of a calendar are computed. Pages of that calendar wait meanwhile.
const CHUNK: i64 = 500;

/// What one step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The calendar is up to date.
    Done,
    /// More events remain.
    More,
}

/// The calendars to roll: `streams.id`, without a window, with one that ends too early, or one that other settings determined.
///
/// # Errors
/// Returns an error of the database.
pub async fn due(pool: &Pool, settings: &config::Calendar) -> anyhow::Result<Vec<i64>> {
    let wanted = Window::at(Utc::now(), settings, 0);
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT s.id FROM streams s LEFT JOIN calendar_windows w ON w.stream_id = s.id
             WHERE s.service = $1 AND s.kind = $2 AND s.state <> 'removed' AND (w.rebuilt_to IS NOT NULL OR w.covered IS NULL
               OR upper(w.covered) < $4 OR upper(w.covered) > $4 + make_interval(days => $5)
               OR lower(w.covered) > $3 OR lower(w.covered) < $3 - make_interval(days => $5))
             ORDER BY upper(w.covered) NULLS FIRST, s.id",
            &[
                (&REGISTERED.service, Type::TEXT),
                (&EVENTS, Type::TEXT),
                (&wanted.from, Type::TIMESTAMPTZ),
                (&wanted.until, Type::TIMESTAMPTZ),
                (&i32::try_from(STRIDE_DAYS)?, Type::INT4),
            ],
        )
        .await
        .context("looking for windows to roll")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Number of calendars for which daily runs of `roll-instances` are missing: without a complete window, or with one that ends days too early.
///
/// # Errors
/// Returns an error of the database.
pub async fn behind(pool: &Pool, settings: &config::Calendar) -> anyhow::Result<i64> {
    let wanted = Window::at(Utc::now() - MAX_DELAY, settings, 0);
    let row = pool
        .get()
        .await?
        .query_typed_one(
            "SELECT count(*) FROM streams s LEFT JOIN calendar_windows w ON w.stream_id = s.id
             WHERE s.service = $1 AND s.kind = $2 AND s.state <> 'removed' AND s.cursor IS NOT NULL
               AND (w.rebuilt_to IS NOT NULL OR w.covered IS NULL OR upper(w.covered) < $3)",
            &[(&REGISTERED.service, Type::TEXT), (&EVENTS, Type::TEXT), (&wanted.until, Type::TIMESTAMPTZ)],
        )
        .await
        .context("counting calendars whose window ends too early")?;
    Ok(row.try_get(0)?)
}

/// Rolls a calendar's window, or computes the next chunk of its instances, in one transaction.
///
/// # Errors
/// Returns an error of the database.
pub async fn step(pool: &Pool, settings: &config::Calendar, id: i64) -> anyhow::Result<Step> {
    let mut client = pool.get().await?;
    let tx = client.begin("rolling a calendar").await?;
    // Excludes pages of this calendar, which could otherwise create the window at the same time.
    let row = tx
        .query_typed_opt(
            "SELECT user_id, resource FROM streams WHERE id = $1 AND state <> 'removed' FOR NO KEY UPDATE",
            &[(&id, Type::INT8)],
        )
        .await
        .context("locking a calendar")?;
    // Removed meanwhile.
    let Some(row) = row else { return Ok(Step::Done) };
    let stream = Stream { id, user_id: row.try_get(0)?, kind: EVENTS.into(), resource: row.try_get(1)?, full_pass_at: None };
    let row = tx
        .query_typed_opt(
            "SELECT lower(covered), upper(covered), time_zone, rebuilt_to FROM calendar_windows WHERE stream_id = $1 AND covered IS NOT NULL FOR UPDATE",
            &[(&id, Type::INT8)],
        )
        .await
        .context("locking the window of a calendar")?;
    let step = match row {
        Some(row) => moved(&tx, settings, &stream, &State::of(&row)?).await?,
        None => {
            let window = Window::at(Utc::now(), settings, id % STRIDE_DAYS);
            rebuild(&tx, &stream, window).await?;
            Step::More
        }
    };
    tx.commit().await.context("rolling a calendar")?;
    Ok(step)
}

/// A row of `calendar_windows`.
struct State {
    covered: Covered,
    rebuilt_to: Option<String>,
}

impl State {
    fn of(row: &Row) -> anyhow::Result<Self> {
        let window = Window { from: row.try_get(0)?, until: row.try_get(1)? };
        Ok(Self { covered: Covered { window, zone: zone(row.try_get(2)?) }, rebuilt_to: row.try_get(3)? })
    }
}

async fn moved(tx: &Transaction<'_>, settings: &config::Calendar, stream: &Stream, state: &State) -> anyhow::Result<Step> {
    let (now, old) = (Utc::now(), state.covered.window);
    if let Some(after) = &state.rebuilt_to {
        return fill(tx, stream, &state.covered, after).await;
    }
    let (least, most) = (Window::at(now, settings, 0), Window::at(now, settings, STRIDE_DAYS));
    if old.from > least.from || old.until > most.until {
        // Other settings: what is missing at the start, or excess at the end, is found event by event.
        rebuild(tx, stream, least).await?;
        return Ok(Step::More);
    }
    if old.until < least.until {
        extend(tx, stream, &state.covered, most.until).await?;
    }
    cut(tx, stream, Window { from: least.from, until: old.until.max(most.until) }).await?;
    Ok(Step::Done)
}

/// Gives a calendar this window, and lets the next steps compute all its instances.
async fn rebuild(tx: &Transaction<'_>, stream: &Stream, window: Window) -> anyhow::Result<()> {
    tx.execute_typed(
        "INSERT INTO calendar_windows AS w (stream_id, user_id, covered, time_zone, rebuilt_to)
         SELECT $1, $2, tstzrange($4, $5), (SELECT time_zone FROM calendars WHERE user_id = $2 AND calendar_id = $3), ''
         ON CONFLICT (stream_id) DO UPDATE SET covered = excluded.covered, rebuilt_to = ''",
        &windows::parameters(stream, &window),
    )
    .await
    .context("setting the window of a calendar")?;
    Ok(())
}

/// Computes the instances of the next events.
async fn fill(tx: &Transaction<'_>, stream: &Stream, covered: &Covered, after: &str) -> anyhow::Result<Step> {
    let rows = tx
        .query_typed(
            "SELECT event_id, raw::text FROM calendar_events WHERE stream_id = $1 AND event_id > $2 AND deleted_at IS NULL ORDER BY event_id LIMIT $3",
            &[(&stream.id, Type::INT8), (&after, Type::TEXT), (&CHUNK, Type::INT8)],
        )
        .await
        .context("reading events to compute their instances")?;
    let last: Option<&str> = rows.last().map(|row| row.try_get(0)).transpose()?;
    replace(tx, stream, covered, &rows, 1, false).await?;
    tx.execute_typed(
        "UPDATE calendar_windows SET rebuilt_to = $2 WHERE stream_id = $1",
        &[(&stream.id, Type::INT8), (&last, Type::TEXT)],
    )
    .await
    .context("storing the progress of a calendar")?;
    Ok(if last.is_some() { Step::More } else { Step::Done })
}

/// Adds the occurrences between the end of the window and `until`.
async fn extend(tx: &Transaction<'_>, stream: &Stream, covered: &Covered, until: DateTime<Utc>) -> anyhow::Result<()> {
    let rows = tx
        .query_typed(
            "SELECT raw::text FROM calendar_events WHERE stream_id = $1 AND deleted_at IS NULL AND raw ? 'recurrence'",
            &[(&stream.id, Type::INT8)],
        )
        .await
        .context("reading series to roll")?;
    let more = Covered { window: Window { from: covered.window.until, until }, ..*covered };
    replace(tx, stream, &more, &rows, 0, true).await
}

/// Writes the instances of the events with this JSON. An event that cannot be parsed has none.
async fn replace(
    tx: &Transaction<'_>,
    stream: &Stream,
    covered: &Covered,
    raws: &[Row],
    column: usize,
    adds_only: bool,
) -> anyhow::Result<()> {
    let mut events: Vec<Event> = Vec::with_capacity(raws.len());
    for row in raws {
        events.extend(read::event(row.try_get(column)?));
    }
    let events: Vec<(&Event, bool)> = events.iter().map(|event| (event, adds_only)).collect();
    rows::replace(tx, stream, covered, &events).await
}

/// Deletes what is outside a window, and stores the window.
async fn cut(tx: &Transaction<'_>, stream: &Stream, window: Window) -> anyhow::Result<()> {
    tx.execute_typed(
        "DELETE FROM calendar_instances WHERE user_id = $1 AND stream_id = $2 AND upper(during) <= $3",
        &[(&stream.user_id, Type::UUID), (&stream.id, Type::INT8), (&window.from, Type::TIMESTAMPTZ)],
    )
    .await
    .context("deleting old instances")?;
    tx.execute_typed(
        "UPDATE calendar_windows SET covered = tstzrange($2, $3) WHERE stream_id = $1",
        &[(&stream.id, Type::INT8), (&window.from, Type::TIMESTAMPTZ), (&window.until, Type::TIMESTAMPTZ)],
    )
    .await
    .context("moving the window of a calendar")?;
    Ok(())
}
