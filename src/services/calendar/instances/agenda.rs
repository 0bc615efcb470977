//! Reads `calendar_instances`: what calendars show, and when their users are busy. No network access.

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Window;
use crate::db::Pool;
use crate::db::completeness::{COLUMNS, Feed};
use crate::services::calendar::{EVENTS, LIST, REGISTERED};
use crate::state::Missing;

/// An event in a user's calendar (view `my_agenda`).
#[derive(Debug)]
pub struct Shown {
    /// The name of the calendar.
    pub calendar: Option<String>,
    pub instance_id: String,
    pub start: DateTime<Utc>,
    /// Exclusive.
    pub end: DateTime<Utc>,
    /// First and last day, the latter exclusive, of an all-day event.
    pub days: Option<(NaiveDate, NaiveDate)>,
    pub title: Option<String>,
    /// It blocks the user's time: neither shown as free nor declined.
    pub is_busy: bool,
    /// needsAction, declined, tentative or accepted. `None`: not invited.
    pub response: Option<String>,
    pub location: Option<String>,
    pub meet_link: Option<String>,
}

/// What a user's calendars show in a span, in the order of its start.
///
/// # Errors
/// Returns an error of the database.
pub async fn shown(pool: &Pool, user: Uuid, span: Window) -> anyhow::Result<Vec<Shown>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT calendar, instance_id, start_at, end_at, start_date, end_date, title, busy, response, location, meet_link
             FROM my_agenda WHERE user_id = $1 AND during && tstzrange($2, $3) ORDER BY start_at, end_at, calendar_id, instance_id",
            &[(&user, Type::UUID), (&span.from, Type::TIMESTAMPTZ), (&span.until, Type::TIMESTAMPTZ)],
        )
        .await
        .context("reading an agenda")?;
    rows.iter()
        .map(|row| {
            let days: (Option<NaiveDate>, Option<NaiveDate>) = (row.try_get(4)?, row.try_get(5)?);
            Ok(Shown {
                calendar: row.try_get(0)?,
                instance_id: row.try_get(1)?,
                start: row.try_get(2)?,
                end: row.try_get(3)?,
                days: days.0.zip(days.1),
                title: row.try_get(6)?,
                is_busy: row.try_get(7)?,
                response: row.try_get(8)?,
                location: row.try_get(9)?,
                meet_link: row.try_get(10)?,
            })
        })
        .collect()
}

/// When users are busy within a span.
#[derive(Debug, Default)]
pub struct BusyTimes {
    /// Each user's busy spans, merged, by user and start.
    pub busy: Vec<(Uuid, Window)>,
    /// The spans in which none of them is busy.
    pub free: Vec<Window>,
}

/// When these users are busy in a span (view `busy`). Events that take no time are left out.
///
/// # Errors
/// Returns an error of the database.
pub async fn busy(pool: &Pool, users: &[Uuid], span: Window) -> anyhow::Result<BusyTimes> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "WITH spans AS (
               SELECT user_id, range_agg(during * tstzrange($2, $3)) AS spans FROM busy
               WHERE user_id = ANY ($1) AND during && tstzrange($2, $3) AND lower(during) < upper(during) GROUP BY user_id
             )
             SELECT user_id, lower(span), upper(span) FROM (SELECT user_id, unnest(spans) AS span FROM spans) AS busy
             UNION ALL
             SELECT NULL, lower(span), upper(span)
             FROM unnest(tstzmultirange(tstzrange($2, $3)) - coalesce((SELECT range_agg(span) FROM spans, unnest(spans) AS span), '{}')) AS span
             ORDER BY 1, 2",
            &parameters(&users, &span),
        )
        .await
        .context("reading busy times")?;
    let mut times = BusyTimes::default();
    for row in &rows {
        let span = Window { from: row.try_get(1)?, until: row.try_get(2)? };
        match row.try_get(0)? {
            Some(user) => times.busy.push((user, span)),
            None => times.free.push(span),
        }
    }
    Ok(times)
}

/// A calendar whose events in a span are not all known, or not known to be current; or a user's list of calendars.
#[derive(Debug)]
pub struct Incomplete {
    pub user: Uuid,
    pub why: Gap,
}

/// Why events may be missing.
#[derive(Debug, PartialEq, Eq)]
pub enum Gap {
    /// No calendar has been listed yet.
    NoCalendar,
    /// The calendar, or the list, is not complete.
    Missing(Feed),
    /// Events of the calendar are known in this span only.
    Outside(Feed, Window),
}

/// The calendars of these users, or only their primary ones, whose events in a span are not all known. Not only for primary ones, also lists of calendars
/// that are not complete.
///
/// # Errors
/// Returns an error of the database.
pub async fn incomplete(pool: &Pool, users: &[Uuid], span: Window, primary_only: bool) -> anyhow::Result<Vec<Incomplete>> {
    let parameters = parameters(&users, &span);
    let more: [(&(dyn ToSql + Sync), Type); 4] =
        [(&primary_only, Type::BOOL), (&REGISTERED.service, Type::TEXT), (&EVENTS, Type::TEXT), (&LIST, Type::TEXT)];
    let parameters: Vec<_> = parameters.into_iter().chain(more).collect();
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!(
                "SELECT u.id, f.stream_id, f.instances_from, f.instances_until, {COLUMNS}
                 FROM unnest($1::uuid[]) AS u (id) LEFT JOIN (
                   SELECT f.* FROM sync_completeness f LEFT JOIN calendars c ON c.user_id = f.user_id AND c.calendar_id = f.resource
                   WHERE f.user_id = ANY ($1) AND f.service = $5
                     AND (f.kind = $6 AND (c.is_primary OR NOT $4) OR f.kind = $7 AND NOT $4 AND f.missing IS NOT NULL)) AS f ON f.user_id = u.id
                 WHERE f.stream_id IS NULL OR f.missing IS NOT NULL OR (f.instances_from <= $2 AND f.instances_until >= $3) IS NOT TRUE
                 ORDER BY u.id, f.stream_id"
            ),
            &parameters,
        )
        .await
        .context("looking for calendars that are not complete")?;
    rows.iter().map(|row| Ok(Incomplete { user: row.try_get(0)?, why: gap(row)? })).collect()
}

fn gap(row: &Row) -> anyhow::Result<Gap> {
    if row.try_get::<_, Option<i64>>(1)?.is_none() {
        return Ok(Gap::NoCalendar);
    }
    let feed = Feed::of(row, 4)?;
    let known: (Option<DateTime<Utc>>, Option<DateTime<Utc>>) = (row.try_get(2)?, row.try_get(3)?);
    Ok(match (feed.missing, known) {
        (None, (Some(from), Some(until))) => Gap::Outside(feed, Window { from, until }),
        // The spans of the last pass and of the instances have nothing in common.
        (None, _) => Gap::Missing(Feed { missing: Some(Missing::Instances), ..feed }),
        (Some(_), _) => Gap::Missing(feed),
    })
}

fn parameters<'a>(users: &'a &[Uuid], span: &'a Window) -> [(&'a (dyn ToSql + Sync), Type); 3] {
    [(users, Type::UUID_ARRAY), (&span.from, Type::TIMESTAMPTZ), (&span.until, Type::TIMESTAMPTZ)]
}
