//! The span of each calendar's occurrences (table `calendar_windows`). No network access.

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Window;
use crate::config;
use crate::engine::Stream;
use crate::zone::Zone;

/// Days by which a window moves at a time: each calendar's series are expanded once a week.
pub const STRIDE_DAYS: i64 = 7;

impl Window {
    /// The window of these settings, and a few days more, so that it need not move every day.
    pub fn at(now: DateTime<Utc>, settings: &config::Calendar, more_days: i64) -> Self {
        Self { from: now - settings.instances_past, until: now + settings.instances_future + TimeDelta::days(more_days) }
    }
}

/// What determines the instances of a calendar's events.
#[derive(Debug, Clone, Copy)]
pub struct Covered {
    pub window: Window,
    /// The zone of the calendar, in which days begin.
    pub zone: Zone,
}

/// The window of a calendar, which gets one before its first event. `None`: its events were stored before there were instances, and wait for
/// `calendar roll-instances`. The row is locked against a change of the window.
///
/// # Errors
/// Returns an error of the database.
pub async fn of(tx: &Transaction<'_>, settings: &config::Calendar, stream: &Stream) -> anyhow::Result<Option<Covered>> {
    if let Some(covered) = known(tx, stream).await? {
        return Ok(Some(covered));
    }
    let window = Window::at(Utc::now(), settings, stream.id % STRIDE_DAYS);
    tx.execute_typed(
        "INSERT INTO calendar_windows AS w (stream_id, user_id, covered, time_zone)
         SELECT $1, $2, tstzrange($4, $5), (SELECT time_zone FROM calendars WHERE user_id = $2 AND calendar_id = $3)
         WHERE NOT EXISTS (SELECT FROM calendar_events WHERE stream_id = $1)
         -- A complete pass of a calendar without events has noted its own window only.
         ON CONFLICT (stream_id) DO UPDATE SET covered = excluded.covered WHERE w.covered IS NULL",
        &parameters(stream, &window),
    )
    .await
    .context("creating the window of a calendar")?;
    known(tx, stream).await
}

/// The window of a calendar that has one. The row is locked against a change of the window.
pub async fn known(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Option<Covered>> {
    let row = tx
        .query_typed_opt(
            "SELECT lower(covered), upper(covered), time_zone FROM calendar_windows WHERE stream_id = $1 AND covered IS NOT NULL FOR SHARE",
            &[(&stream.id, Type::INT8)],
        )
        .await
        .context("reading the window of a calendar")?;
    row.as_ref().map(covered).transpose()
}

/// Parameters of a statement that writes a window: $1 stream, $2 user, $3 calendar, $4 start, $5 end.
pub(super) fn parameters<'a>(stream: &'a Stream, window: &'a Window) -> [(&'a (dyn ToSql + Sync), Type); 5] {
    [
        (&stream.id, Type::INT8),
        (&stream.user_id, Type::UUID),
        (&stream.resource, Type::TEXT),
        (&window.from, Type::TIMESTAMPTZ),
        (&window.until, Type::TIMESTAMPTZ),
    ]
}

/// The window of a calendar whose instances are all stored.
///
/// # Errors
/// Returns an error of the database.
pub async fn complete(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Option<Covered>> {
    let row = tx
        .query_typed_opt(
            "SELECT lower(covered), upper(covered), time_zone FROM calendar_windows
             WHERE stream_id = $1 AND covered IS NOT NULL AND rebuilt_to IS NULL",
            &[(&stream.id, Type::INT8)],
        )
        .await
        .context("reading the window of a calendar to compare")?;
    row.as_ref().map(covered).transpose()
}

/// The window of the last complete pass.
///
/// # Errors
/// Returns an error of the database.
pub async fn listed(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Option<Window>> {
    let row = tx
        .query_typed_opt(
            "SELECT lower(listed), upper(listed) FROM calendar_windows WHERE stream_id = $1 AND listed IS NOT NULL",
            &[(&stream.id, Type::INT8)],
        )
        .await
        .context("reading the window of the last complete pass")?;
    row.map(|row| Ok(Window { from: row.try_get(0)?, until: row.try_get(1)? })).transpose()
}

fn covered(row: &Row) -> anyhow::Result<Covered> {
    let window = Window { from: row.try_get(0)?, until: row.try_get(1)? };
    Ok(Covered { window, zone: zone(row.try_get(2)?) })
}

/// Notes the window of a complete pass.
///
/// # Errors
/// Returns an error of the database.
pub async fn note_listed(tx: &Transaction<'_>, stream: &Stream, listed: Window) -> anyhow::Result<()> {
    tx.execute_typed(
        "INSERT INTO calendar_windows AS w (stream_id, user_id, listed, time_zone)
         SELECT $1, $2, tstzrange($4, $5), (SELECT time_zone FROM calendars WHERE user_id = $2 AND calendar_id = $3)
         ON CONFLICT (stream_id) DO UPDATE SET listed = excluded.listed",
        &parameters(stream, &listed),
    )
    .await
    .context("noting the window of a complete pass")?;
    Ok(())
}

/// The zone with this name. Google names a zone for every calendar; days of one whose zone is unknown begin in UTC.
pub fn zone(name: Option<&str>) -> Zone {
    Zone::of(name, chrono::FixedOffset::east_opt(0)).unwrap_or(Zone::Place(chrono_tz::UTC))
}

/// Moves the all-day events of a user's calendars whose time zone has changed.
///
/// # Errors
/// Returns an error of the database.
pub async fn follow_zones(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<()> {
    // Locks the windows first, so that no page writes days of the former zone meanwhile.
    let rows = tx
        .query_typed(
            "UPDATE calendar_windows w SET time_zone = c.time_zone
             FROM streams s JOIN calendars c ON c.user_id = s.user_id AND c.calendar_id = s.resource
             WHERE s.user_id = $1 AND s.id = w.stream_id AND c.time_zone IS DISTINCT FROM w.time_zone RETURNING w.stream_id, w.time_zone",
            &[(&user, Type::UUID)],
        )
        .await
        .context("looking for calendars with another time zone")?;
    for row in &rows {
        move_days(tx, user, row.try_get(0)?, zone(row.try_get(1)?)).await?;
    }
    Ok(())
}

async fn move_days(tx: &Transaction<'_>, user: Uuid, stream: i64, zone: Zone) -> anyhow::Result<()> {
    let rows = tx
        .query_typed(
            "SELECT instance_id, start_date, end_date FROM calendar_instances WHERE user_id = $1 AND stream_id = $2 AND all_day",
            &[(&user, Type::UUID), (&stream, Type::INT8)],
        )
        .await
        .context("reading all-day events")?;
    let (mut ids, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        if let (Some(start), Some(end)) = (midnight(zone, row.try_get(1)?), midnight(zone, row.try_get(2)?)) {
            ids.push(row.try_get::<_, &str>(0)?);
            starts.push(start);
            ends.push(end);
        }
    }
    tx.execute_typed(
        "UPDATE calendar_instances i SET during = tstzrange(t.starts, t.ends)
         FROM unnest($3::text[], $4::timestamptz[], $5::timestamptz[]) AS t (id, starts, ends)
         WHERE i.user_id = $1 AND i.stream_id = $2 AND i.instance_id = t.id",
        &[
            (&user, Type::UUID),
            (&stream, Type::INT8),
            (&ids, Type::TEXT_ARRAY),
            (&starts, Type::TIMESTAMPTZ_ARRAY),
            (&ends, Type::TIMESTAMPTZ_ARRAY),
        ],
    )
    .await
    .context("moving all-day events to another time zone")?;
    Ok(())
}

/// When a day begins.
pub fn midnight(zone: Zone, date: NaiveDate) -> Option<DateTime<Utc>> {
    zone.instant(date.and_time(NaiveTime::MIN))
}
