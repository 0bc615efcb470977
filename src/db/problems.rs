//! Details for reports: failing accounts, age of stored data, used quota, and deliveries by target. Read-only.

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::{Pool, quota};

/// Upper bounds of the time since a stream was polled, in seconds. Older streams and those never polled are counted separately.
pub const AGES: [f64; 5] = [300.0, 900.0, 3600.0, 21_600.0, 86_400.0];

/// Streams of a service by the time since their last poll.
#[derive(Debug)]
pub struct Ages {
    pub service: String,
    /// Streams per bucket of `AGES`.
    pub within: Vec<i64>,
    pub older: i64,
    pub never: i64,
}

/// Counts the polled streams by the time since their last poll.
pub async fn ages(pool: &Pool) -> anyhow::Result<Vec<Ages>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT service, width_bucket(extract(epoch FROM now() - polled_at)::float8, $1::float8[]), count(*)
             FROM streams WHERE state NOT IN ('removed', 'revoked', 'off') GROUP BY 1, 2 ORDER BY 1",
            &[(&&AGES[..], Type::FLOAT8_ARRAY)],
        )
        .await
        .context("counting streams by age")?;
    let mut ages: Vec<Ages> = Vec::new();
    for row in rows {
        let (service, bucket, count): (String, Option<i32>, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if ages.last().is_none_or(|last| last.service != service) {
            ages.push(Ages { service, within: vec![0; AGES.len()], older: 0, never: 0 });
        }
        let Some(last) = ages.last_mut() else { continue };
        match bucket.map(|bucket| last.within.get_mut(bucket.unsigned_abs() as usize)) {
            None => last.never += count,
            Some(Some(within)) => *within += count,
            Some(None) => last.older += count,
        }
    }
    Ok(ages)
}

/// An account with one class of failures.
#[derive(Debug)]
pub struct Failing {
    pub user_id: Uuid,
    pub class: String,
    /// The affected services.
    pub services: String,
    pub since: Option<DateTime<Utc>>,
}

/// Accounts that fail or are no longer called, most recent first, and their total number, counted once per class.
pub async fn failing(pool: &Pool, limit: i64) -> anyhow::Result<(Vec<Failing>, i64)> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT user_id, class, coalesce(string_agg(DISTINCT service, ', '), 'all'), max(since), count(*) OVER () FROM (
               SELECT user_id, coalesce(failed_class, 'internal') AS class, service, failed_at AS since FROM streams
               WHERE failures > 0 AND state NOT IN ('removed', 'revoked', 'off') AND user_id IS NOT NULL
               UNION ALL SELECT user_id, 'auth_revoked', NULL, state_since FROM accounts WHERE state = 'revoked'
             ) failing GROUP BY user_id, class ORDER BY max(since) DESC NULLS LAST, user_id LIMIT $1",
            &[(&limit, Type::INT8)],
        )
        .await
        .context("listing accounts that fail")?;
    let all = rows.first().map_or(Ok(0), |row| row.try_get(4))?;
    let failing = rows.iter().map(|row| {
        Ok(Failing { user_id: row.try_get(0)?, class: row.try_get(1)?, services: row.try_get(2)?, since: row.try_get(3)? })
    });
    Ok((failing.collect::<anyhow::Result<_>>()?, all))
}

/// Used quota of a project.
#[derive(Debug)]
pub struct Spent {
    pub service: String,
    pub project: String,
    pub units: i64,
    /// When its pause ends, if it is paused.
    pub paused_until: Option<DateTime<Utc>>,
}

/// Quota units of each project since the start of Google's quota day.
pub async fn spent_today(pool: &Pool) -> anyhow::Result<Vec<Spent>> {
    let statement = format!(
        "SELECT q.service, q.subject, q.units, p.until
         FROM quota_usage q LEFT JOIN quota_pauses p ON p.service = q.service AND p.project = q.subject AND p.until > now()
         WHERE q.span = 'day' AND q.window_start = {}
           AND (q.subject IN (SELECT project FROM accounts) OR q.subject IN (SELECT id::text FROM attendee_projects))
         ORDER BY q.service, q.subject",
        quota::DAY_START
    );
    let rows = pool.get().await?.query_typed(&statement, &[]).await.context("reading the quota used today")?;
    rows.iter()
        .map(|row| {
            Ok(Spent {
                service: row.try_get(0)?,
                project: row.try_get(1)?,
                units: row.try_get(2)?,
                paused_until: row.try_get(3)?,
            })
        })
        .collect()
}

/// Deliveries to a target by state.
#[derive(Debug)]
pub struct Deliveries {
    pub target: String,
    pub pending: i64,
    pub dead: i64,
    /// Delivered since the start of the period.
    pub delivered: i64,
}

/// Counts deliveries by target and state.
pub async fn deliveries(pool: &Pool, since: DateTime<Utc>) -> anyhow::Result<Vec<Deliveries>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT target, count(*) FILTER (WHERE state = 'pending'), count(*) FILTER (WHERE state = 'dead'),
               count(*) FILTER (WHERE delivered_at >= $1)
             FROM outbox_deliveries GROUP BY target ORDER BY target",
            &[(&since, Type::TIMESTAMPTZ)],
        )
        .await
        .context("counting deliveries")?;
    rows.iter()
        .map(|row| {
            Ok(Deliveries {
                target: row.try_get(0)?,
                pending: row.try_get(1)?,
                dead: row.try_get(2)?,
                delivered: row.try_get(3)?,
            })
        })
        .collect()
}
