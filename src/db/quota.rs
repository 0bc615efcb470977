//! The quota ledger shared by all hosts (tables `quota_minutes`, `quota_usage`, `quota_pauses`).

mod pauses;

use anyhow::Context;
use tokio_postgres::types::Type;

use super::Pool;

pub use pauses::{Pause, list, pause_until_day_ends, resume, take_probes};

/// The start of Google's quota day: midnight Pacific Time.
pub(super) const DAY_START: &str =
    "date_trunc('day', now() AT TIME ZONE 'America/Los_Angeles') AT TIME ZONE 'America/Los_Angeles'";

/// The second in which units are reserved.
const SECOND: &str = "floor(extract(epoch FROM now()))::bigint";

/// Seconds for which a reservation counts, from the start of its second: a minute, the second itself, and one more for the time until the units are
/// spent and the call arrives.
const COUNTED_SECONDS: i64 = 62;

/// The result of a reservation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reservation {
    /// Granted.
    Granted {
        /// The second in which it counts (Unix time).
        second: i64,
    },
    /// The last minute has less capacity left.
    MinuteFull {
        /// Units that can be reserved now.
        room: i64,
        /// Seconds until the requested units can be reserved.
        room_in: f64,
    },
    /// The daily limit is reached.
    DayFull {
        /// Seconds until the day ends.
        day_ends: f64,
    },
}

/// Units reserved earlier and not spent, carried over into a new reservation.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carried {
    pub units: i64,
    /// The second in which they were reserved (Unix time).
    pub second: i64,
}

/// The limits of a subject.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub per_minute: i64,
    pub per_day: i64,
}

/// Reserves `units` for `subject` within the limits of the minute and the day, and carries over the rest of an earlier reservation. Hosts serialise on
/// the subject's row, so the sum is exact.
pub async fn reserve(
    pool: &Pool,
    service: &str,
    subject: &str,
    units: i64,
    carried: Carried,
    limits: &Limits,
) -> anyhow::Result<Reservation> {
    let row = pool
        .get()
        .await?
        .query_typed_one(
            &reserve_statement(),
            &[
                (&service, Type::TEXT),
                (&subject, Type::TEXT),
                (&units, Type::INT8),
                (&limits.per_minute, Type::INT8),
                (&limits.per_day, Type::INT8),
                (&carried.units, Type::INT8),
                (&carried.second, Type::INT8),
            ],
        )
        .await
        .context("reserving quota")?;
    Ok(match (row.try_get(0)?, row.try_get(1)?) {
        (true, false) => Reservation::Granted { second: row.try_get(2)? },
        (_, true) => Reservation::DayFull { day_ends: row.try_get(4)? },
        // NULL if another host inserted the row after this statement began.
        (false, false) => Reservation::MinuteFull {
            room: row.try_get::<_, Option<i64>>(5)?.unwrap_or(0),
            room_in: row.try_get::<_, Option<f64>>(3)?.unwrap_or(1.0).max(0.1),
        },
    })
}

/// $1 service, $2 subject, $3 units, $4 limit per minute, $5 limit per day, $6 units carried over, $7 their second
fn reserve_statement() -> String {
    // Units of the minute without those carried over. A call that costs more than the limit of a minute is made when there are none.
    let others = format!(
        "(SELECT coalesce(sum(units), 0)::bigint - CASE WHEN $7 > {SECOND} - {COUNTED_SECONDS} THEN $6 ELSE 0 END
          FROM unnest(q.seconds, q.units) AS spent (second, units) WHERE second > {SECOND} - {COUNTED_SECONDS})"
    );
    format!(
        "WITH today AS (
           SELECT coalesce((SELECT units FROM quota_usage WHERE service = $1 AND subject = $2 AND span = 'day' AND window_start = {DAY_START}), 0)
             + $3 > $5 AS is_full
         ), minute AS (
           INSERT INTO quota_minutes AS q (service, subject, seconds, units)
           SELECT $1, $2, ARRAY[{SECOND}], ARRAY[$3 + $6] FROM today WHERE NOT is_full
           ON CONFLICT (service, subject) DO UPDATE SET (seconds, units) = (
             SELECT array_agg(second ORDER BY second), array_agg(greatest(0, units) ORDER BY second) FROM (
               SELECT second, sum(units)::bigint AS units FROM (
                 SELECT * FROM unnest(q.seconds, q.units) AS spent (second, units)
                 UNION ALL VALUES ({SECOND}, $3 + $6), ($7, -$6)
               ) AS spent WHERE second > {SECOND} - {COUNTED_SECONDS} GROUP BY second
             ) AS spent
           ) WHERE (SELECT others <= 0 OR others + $6 + $3 <= $4 FROM {others} AS minute (others))
           RETURNING true
         ), day AS (
           INSERT INTO quota_usage AS q (service, subject, span, window_start, units) SELECT $1, $2, 'day', {DAY_START}, $3 FROM minute
           ON CONFLICT (service, subject, span, window_start) DO UPDATE SET units = q.units + excluded.units
           WHERE q.units + excluded.units <= $5
           RETURNING true
         )
         SELECT EXISTS (SELECT FROM minute), EXISTS (SELECT FROM minute) > EXISTS (SELECT FROM day) OR is_full, {SECOND},
           CASE WHEN NOT EXISTS (SELECT FROM minute) THEN (
             SELECT coalesce(min(second) FILTER (WHERE later + $3 <= $4), max(second)) + {COUNTED_SECONDS} - extract(epoch FROM now())
             FROM (SELECT spent.second, sum(spent.units) OVER (ORDER BY spent.second DESC) - spent.units AS later
                   FROM quota_minutes q, unnest(q.seconds, q.units) AS spent (second, units) WHERE q.service = $1 AND q.subject = $2) AS spent
           ) END::float8,
           extract(epoch FROM {DAY_START} + interval '1 day' - now())::float8,
           CASE WHEN NOT EXISTS (SELECT FROM minute) THEN (
             SELECT $4 - $6 - others FROM quota_minutes q, LATERAL {others} AS minute (others) WHERE q.service = $1 AND q.subject = $2
           ) END
         FROM today"
    )
}

/// Unspent reserved units of a subject.
#[derive(Debug, Clone)]
pub struct Unspent {
    pub subject: String,
    pub left: Carried,
}

/// Releases unspent units and records what polls spent of each project's quota in this hour, without first syncs and resyncs, which the pace cannot
/// predict. Deletes old rows.
pub async fn release(pool: &Pool, service: &str, unspent: &[Unspent], polled: &[(String, i64)]) -> anyhow::Result<()> {
    let (projects, units): (Vec<&str>, Vec<i64>) = polled.iter().map(|(project, units)| (project.as_str(), *units)).unzip();
    let subjects: Vec<&str> = unspent.iter().map(|unspent| unspent.subject.as_str()).collect();
    let leftover: Vec<i64> = unspent.iter().map(|unspent| unspent.left.units).collect();
    let seconds: Vec<i64> = unspent.iter().map(|unspent| unspent.left.second).collect();
    // Lock rows in the same order as all other statements to avoid deadlocks: minutes before days, like a reservation, and each by subject.
    let statement = format!(
        "WITH old AS (
           DELETE FROM quota_usage WHERE window_start < now() - interval '3 days'
         ), expired AS (
           DELETE FROM quota_minutes WHERE seconds[cardinality(seconds)] < {SECOND} - 600
         ), polled AS (
           INSERT INTO quota_usage AS q (service, subject, span, window_start, units)
           SELECT $1, p.project, 'hour', date_trunc('hour', now()), p.units FROM unnest($5::text[], $6::bigint[]) AS p (project, units)
           ORDER BY p.project
           ON CONFLICT (service, subject, span, window_start) DO UPDATE SET units = q.units + excluded.units
         ), back AS (
           SELECT * FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS back (subject, units, second)
         ), minutes AS (
           SELECT q.subject FROM quota_minutes q JOIN back USING (subject)
           WHERE q.service = $1 AND q.seconds[cardinality(q.seconds)] >= {SECOND} - 600 ORDER BY q.subject FOR UPDATE OF q
         ), minute AS (
           UPDATE quota_minutes q SET units = (
             SELECT array_agg(CASE spent.second WHEN back.second THEN greatest(0, spent.units - back.units) ELSE spent.units END ORDER BY spent.second)
             FROM unnest(q.seconds, q.units) AS spent (second, units))
           FROM back JOIN minutes USING (subject) WHERE q.service = $1 AND q.subject = back.subject
           RETURNING true
         ), days AS (
           SELECT q.subject FROM quota_usage q JOIN back USING (subject)
           WHERE (SELECT count(*) FROM minute) >= 0 AND q.service = $1 AND q.span = 'day' AND q.window_start = {DAY_START}
           ORDER BY q.subject FOR UPDATE OF q
         )
         UPDATE quota_usage q SET units = greatest(0, q.units - back.units)
         FROM back JOIN days USING (subject) WHERE q.service = $1 AND q.subject = back.subject AND q.span = 'day' AND q.window_start = {DAY_START}"
    );
    pool.get()
        .await?
        .execute_typed(
            &statement,
            &[
                (&service, Type::TEXT),
                (&subjects, Type::TEXT_ARRAY),
                (&leftover, Type::INT8_ARRAY),
                (&seconds, Type::INT8_ARRAY),
                (&projects, Type::TEXT_ARRAY),
                (&units, Type::INT8_ARRAY),
            ],
        )
        .await
        .context("settling quota")?;
    Ok(())
}
