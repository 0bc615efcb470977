//! The quota ledger that all hosts share (tables `quota_usage`, `quota_pauses`).

use anyhow::Context;
use tokio_postgres::types::Type;

use super::Pool;

/// The start of Google's quota day: midnight in California.
pub(super) const DAY_START: &str =
    "date_trunc('day', now() AT TIME ZONE 'America/Los_Angeles') AT TIME ZONE 'America/Los_Angeles'";

/// The answer to a reservation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reservation {
    /// Granted; the minute it counts for ends in so many seconds.
    Granted {
        /// Seconds until the minute ends.
        minute_ends: f64,
    },
    /// The minute is full: try when it ends.
    MinuteFull {
        /// Seconds until the minute ends.
        minute_ends: f64,
    },
    /// The day is full.
    DayFull {
        /// Seconds until the day ends.
        day_ends: f64,
    },
}

/// Reserves `units` for `subject` in this minute and this day, within both limits.
pub async fn reserve(
    pool: &Pool,
    service: &str,
    subject: &str,
    units: i64,
    per_minute: i64,
    per_day: i64,
) -> anyhow::Result<Reservation> {
    let statement = format!(
        "WITH spans (span, window_start) AS (VALUES ('minute', date_trunc('minute', now())), ('day', {DAY_START})),
         taken AS (
           INSERT INTO quota_usage AS q (service, subject, span, window_start, units)
           SELECT $1, $2, span, window_start, $3 FROM spans ORDER BY span
           ON CONFLICT (service, subject, span, window_start) DO UPDATE SET units = q.units + excluded.units
           WHERE q.units + excluded.units <= CASE q.span WHEN 'minute' THEN $4 ELSE $5 END
           RETURNING span
         )
         SELECT EXISTS (SELECT 1 FROM taken WHERE span = 'minute'), EXISTS (SELECT 1 FROM taken WHERE span = 'day'),
           extract(epoch FROM date_trunc('minute', now()) + interval '1 minute' - now())::float8,
           extract(epoch FROM {DAY_START} + interval '1 day' - now())::float8"
    );
    let row = pool
        .get()
        .await?
        .query_typed_one(
            &statement,
            &[
                (&service, Type::TEXT),
                (&subject, Type::TEXT),
                (&units, Type::INT8),
                (&per_minute, Type::INT8),
                (&per_day, Type::INT8),
            ],
        )
        .await
        .context("reserving quota")?;
    let (minute, day): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
    let (minute_ends, day_ends) = (row.try_get(2)?, row.try_get(3)?);
    Ok(match (minute, day) {
        (_, false) => Reservation::DayFull { day_ends },
        (false, true) => {
            // The day has counted what the minute refused.
            settle(pool, service, &[Unspent { subject: subject.to_owned(), minute: 0, day: units }], &[]).await?;
            Reservation::MinuteFull { minute_ends }
        }
        (true, true) => Reservation::Granted { minute_ends },
    })
}

/// Units of a subject that were reserved and not spent.
#[derive(Debug, Clone)]
pub struct Unspent {
    pub subject: String,
    /// Of the minute that goes on.
    pub minute: i64,
    /// Of today.
    pub day: i64,
}

/// Gives back what was reserved and not spent, and writes down what polls spent of each project in this hour: beside first syncs and resyncs,
/// which no pace foretells. Forgets windows that are long over.
pub async fn settle(pool: &Pool, service: &str, unspent: &[Unspent], polled: &[(String, i64)]) -> anyhow::Result<()> {
    let (projects, units): (Vec<&str>, Vec<i64>) = polled.iter().map(|(project, units)| (project.as_str(), *units)).unzip();
    let subjects: Vec<&str> = unspent.iter().map(|unspent| unspent.subject.as_str()).collect();
    let minutes: Vec<i64> = unspent.iter().map(|unspent| unspent.minute).collect();
    let days: Vec<i64> = unspent.iter().map(|unspent| unspent.day).collect();
    let statement = format!(
        "WITH old AS (
           DELETE FROM quota_usage
           WHERE window_start < now() - interval '3 days' OR (span = 'minute' AND window_start < now() - interval '10 minutes')
         ), polled AS (
           INSERT INTO quota_usage AS q (service, subject, span, window_start, units)
           SELECT $1, p.project, 'hour', date_trunc('hour', now()), p.units FROM unnest($5::text[], $6::bigint[]) AS p (project, units)
           ON CONFLICT (service, subject, span, window_start) DO UPDATE SET units = q.units + excluded.units
         )
         UPDATE quota_usage q
         SET units = greatest(0, q.units - CASE q.span WHEN 'minute' THEN back.minute ELSE back.day END)
         FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS back (subject, minute, day)
         WHERE q.service = $1 AND q.subject = back.subject
           AND q.window_start = CASE q.span WHEN 'minute' THEN date_trunc('minute', now()) ELSE {DAY_START} END
           AND q.span <> 'hour'"
    );
    pool.get()
        .await?
        .execute_typed(
            &statement,
            &[
                (&service, Type::TEXT),
                (&subjects, Type::TEXT_ARRAY),
                (&minutes, Type::INT8_ARRAY),
                (&days, Type::INT8_ARRAY),
                (&projects, Type::TEXT_ARRAY),
                (&units, Type::INT8_ARRAY),
            ],
        )
        .await
        .context("settling quota")?;
    Ok(())
}

/// Stops all streams of a project until Google's day ends. Answers the seconds until then.
pub async fn pause_until_day_ends(pool: &Pool, service: &str, project: &str, reason: &str) -> anyhow::Result<f64> {
    let statement = format!(
        "INSERT INTO quota_pauses (service, project, until, reason) VALUES ($1, $2, {DAY_START} + interval '1 day', $3)
         ON CONFLICT (service, project) DO UPDATE SET until = excluded.until, reason = excluded.reason
         RETURNING extract(epoch FROM until - now())::float8"
    );
    let row = pool
        .get()
        .await?
        .query_typed_one(&statement, &[(&service, Type::TEXT), (&project, Type::TEXT), (&reason, Type::TEXT)])
        .await
        .context("pausing a project")?;
    Ok(row.try_get(0)?)
}
