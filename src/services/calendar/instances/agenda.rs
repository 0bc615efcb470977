//! Reads `calendar_instances`: what calendars show, and when their users are busy. No network access.

use anyhow::Context as _;
use chrono::{DateTime, NaiveDate, Utc};
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Window;
use crate::db::Pool;
use crate::state::StreamState;

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

/// A calendar whose events in a span are not all known, or not known to be current.
#[derive(Debug)]
pub struct Incomplete {
    pub user: Uuid,
    /// `None`: the user has no calendar at all.
    pub calendar: Option<String>,
    pub why: Gap,
}

/// Why events may be missing.
#[derive(Debug, PartialEq, Eq)]
pub enum Gap {
    /// No calendar has been listed yet.
    NoCalendar,
    /// The state of the stream in which it is not synced.
    NotSynced(StreamState),
    /// No pass has listed all events since there are instances.
    NotListed,
    /// `calendar roll-instances` has not computed the occurrences of its series yet.
    NotRolled,
    /// Its last poll failed, so that changes may be unknown.
    Failing,
    /// Events or rules of it could not be read.
    Unread,
    /// Events are known in this span only.
    Outside(Window),
}

/// The calendars of these users, or only their primary ones, whose events in a span are not all known.
///
/// # Errors
/// Returns an error of the database.
pub async fn incomplete(pool: &Pool, users: &[Uuid], span: Window, primary_only: bool) -> anyhow::Result<Vec<Incomplete>> {
    let parameters = parameters(&users, &span);
    let parameters: Vec<_> = parameters.into_iter().chain([(&primary_only as &(dyn ToSql + Sync), Type::BOOL)]).collect();
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT u.id, coalesce(c.summary, s.resource), s.state, s.cursor IS NULL OR w.listed IS NULL, w.covered IS NULL OR w.rebuilt_to IS NOT NULL,
               lower(w.covered * w.listed), upper(w.covered * w.listed), s.failures > 0, unread.is_there
             FROM unnest($1::uuid[]) AS u (id)
             LEFT JOIN (calendars c JOIN streams s ON s.user_id = c.user_id AND s.service = 'calendar' AND s.resource = c.calendar_id
               AND s.kind = 'events' AND s.state <> 'removed') ON c.user_id = u.id AND (c.is_primary OR NOT $4)
             LEFT JOIN calendar_windows w ON w.stream_id = s.id
             LEFT JOIN LATERAL (SELECT EXISTS (SELECT FROM quarantined_items q WHERE q.stream_id = s.id)
                 OR EXISTS (SELECT FROM calendar_events e WHERE e.user_id = u.id AND e.stream_id = s.id AND 'recurrence' = ANY (e.unread)
                   AND e.deleted_at IS NULL)) AS unread (is_there) ON true
             WHERE s.id IS NULL OR s.state NOT IN ('active', 'degraded') OR s.cursor IS NULL OR w.listed IS NULL OR w.covered IS NULL
               OR w.rebuilt_to IS NOT NULL OR NOT w.covered * w.listed @> tstzrange($2, $3) OR s.failures > 0
               OR unread.is_there
             ORDER BY u.id, s.id",
            &parameters,
        )
        .await
        .context("looking for calendars that are not complete")?;
    rows.iter().map(|row| Ok(Incomplete { user: row.try_get(0)?, calendar: row.try_get(1)?, why: gap(row)? })).collect()
}

fn gap(row: &Row) -> anyhow::Result<Gap> {
    Ok(match row.try_get(2)? {
        None => Gap::NoCalendar,
        Some(state @ (StreamState::Stopped | StreamState::Revoked | StreamState::Removed | StreamState::Off)) => {
            Gap::NotSynced(state)
        }
        Some(StreamState::Active | StreamState::Degraded) if row.try_get(3)? => Gap::NotListed,
        Some(StreamState::Active | StreamState::Degraded) if row.try_get(4)? => Gap::NotRolled,
        Some(StreamState::Active | StreamState::Degraded) if row.try_get(7)? => Gap::Failing,
        Some(StreamState::Active | StreamState::Degraded) if row.try_get(8)? => Gap::Unread,
        Some(StreamState::Active | StreamState::Degraded) => {
            Gap::Outside(Window { from: row.try_get(5)?, until: row.try_get(6)? })
        }
    })
}

fn parameters<'a>(users: &'a &[Uuid], span: &'a Window) -> [(&'a (dyn ToSql + Sync), Type); 3] {
    [(users, Type::UUID_ARRAY), (&span.from, Type::TIMESTAMPTZ), (&span.until, Type::TIMESTAMPTZ)]
}
