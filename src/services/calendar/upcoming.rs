//! Polls calendars with a meeting soon more often, if the price of a poll allows it. No network access.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, TimeDelta, Utc};
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::event::Event;
use super::read;
use crate::db::Pool;

/// Time before a meeting from which it counts as soon.
const SOON: TimeDelta = TimeDelta::hours(2);
/// Time between polls, as a share of the time left.
const SHARE: f64 = 0.125;
/// Maximum number of series whose next occurrence one run determines.
const MAX_SERIES: i64 = 1000;

/// The meetings of `streams` that begin soon.
const COMING: &str = "SELECT stream_id, start_at AS at FROM meetings
    WHERE NOT is_series AND event_status <> 'cancelled' AND start_at BETWEEN now() AND now() + make_interval(secs => $1)
  UNION ALL SELECT stream_id, next_start_at FROM meetings
    WHERE is_series AND event_status <> 'cancelled' AND next_start_at BETWEEN now() AND now() + make_interval(secs => $1)";

/// Makes calendars with a meeting soon due earlier: after an eighth of the time left, and at least `min` after the last poll. `min_price` is the
/// price of a poll while no budget is short; with a higher price, the interval is stretched like all others.
pub async fn advance_due(pool: &Pool, min: Duration, min_price: f64) -> anyhow::Result<u64> {
    pool.get()
        .await?
        .execute_typed(
            &format!(
                "UPDATE streams s SET due_at = greatest(now(), s.polled_at + w.wait)
                 FROM (SELECT c.stream_id, greatest(make_interval(secs => $2), (min(c.at) - now()) * $3
                         * sqrt(greatest(1, coalesce(min(p.price), $4) / $4))) AS wait
                       FROM ({COMING}) c JOIN streams t ON t.id = c.stream_id JOIN accounts a ON a.user_id = t.user_id
                       LEFT JOIN pace_prices p ON p.service = 'calendar' AND p.project = a.project
                       GROUP BY c.stream_id) w
                 WHERE s.id = w.stream_id AND s.failures = 0 AND s.state IN ('active', 'degraded')
                   AND coalesce(s.claimed_until < now(), true) AND coalesce(s.push_until < now(), true)
                   AND s.due_at > greatest(now(), s.polled_at + w.wait)"
            ),
            &[
                (&SOON.as_seconds_f64(), Type::FLOAT8),
                (&min.as_secs_f64(), Type::FLOAT8),
                (&SHARE, Type::FLOAT8),
                (&min_price, Type::FLOAT8),
            ],
        )
        .await
        .context("making calendars with a meeting soon due earlier")
}

/// The start of the next meeting that begins soon, by `streams.id`, for the calendars of a user.
pub async fn coming(pool: &Pool, user: Uuid) -> anyhow::Result<HashMap<i64, DateTime<Utc>>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!(
                "SELECT c.stream_id, min(c.at) FROM ({COMING}) c JOIN streams s ON s.id = c.stream_id WHERE s.user_id = $2 GROUP BY c.stream_id"
            ),
            &[(&SOON.as_seconds_f64(), Type::FLOAT8), (&user, Type::UUID)],
        )
        .await
        .context("looking for upcoming meetings")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Determines the next occurrence of series whose last known one has begun.
pub async fn follow_series(pool: &Pool) -> anyhow::Result<()> {
    let client = pool.get().await?;
    let rows = client
        .query_typed(
            "SELECT m.id, e.raw::text FROM meetings m JOIN calendar_events e USING (stream_id, event_id)
             WHERE m.is_series AND m.event_status <> 'cancelled' AND m.next_start_at < now() ORDER BY m.next_start_at LIMIT $1",
            &[(&MAX_SERIES, Type::INT8)],
        )
        .await
        .context("looking for series to advance")?;
    if rows.is_empty() {
        return Ok(());
    }
    let now = Utc::now();
    let (mut ids, mut next) = (Vec::new(), Vec::new());
    for row in &rows {
        ids.push(row.try_get::<_, Uuid>(0)?);
        // The next occurrence of a series that cannot be parsed is unknown.
        next.push(read::event(row.try_get(1)?).ok().and_then(|event| next_start(&event, now)));
    }
    client
        .execute_typed(
            "UPDATE meetings m SET next_start_at = n.at, changed_xid = DEFAULT FROM unnest($1::uuid[], $2::timestamptz[]) AS n (id, at)
             WHERE m.id = n.id",
            &[(&ids, Type::UUID_ARRAY), (&next, Type::TIMESTAMPTZ_ARRAY)],
        )
        .await
        .context("storing the next occurrences of series")?;
    Ok(())
}

/// The next start of a series after `now`; `None` for all-day events.
pub(super) fn next_start(event: &Event, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    event.start.as_ref()?.instant()?;
    let from = now + TimeDelta::seconds(1);
    event.rules(Some(from))?.between(from, now + TimeDelta::days(3 * 366), 1)?.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_follows_the_local_time_of_its_zone_until_it_ends() {
        // Summer time ends on 25 October.
        let event: Event = serde_json::from_str(
            r#"{"id":"a","start":{"dateTime":"2026-10-12T09:00:00+02:00","timeZone":"Europe/Berlin"},"recurrence":["RRULE:FREQ=WEEKLY;COUNT=3"]}"#,
        )
        .expect("an event");
        let at = |time: &str| time.parse::<DateTime<Utc>>().expect("a time");
        assert_eq!(next_start(&event, at("2026-10-12T07:00:00Z")), Some(at("2026-10-19T07:00:00Z")));
        assert_eq!(next_start(&event, at("2026-10-20T00:00:00Z")), Some(at("2026-10-26T08:00:00Z")));
        assert_eq!(next_start(&event, at("2026-10-26T08:00:00Z")), None);
    }
}
