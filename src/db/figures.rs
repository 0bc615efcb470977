//! How everything stands at this moment, in figures: jobs, streams, accounts, outbox, database. Changes nothing.

use std::collections::BTreeMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Pool;

/// The figures, for `metrics` and `report`.
#[derive(Debug, Serialize)]
pub struct Figures {
    pub jobs: Vec<Job>,
    pub streams: Vec<Streams>,
    /// Users with a stream that fails, or an account that is not called any more, by class of failure.
    pub accounts_failing: BTreeMap<String, i64>,
    pub outbox: Outbox,
    pub database_bytes: i64,
}

/// A job, and how it went last.
#[derive(Debug, Serialize)]
pub struct Job {
    /// `calendar cron`
    pub job: String,
    pub last_started_at: DateTime<Utc>,
    pub last_status: String,
    /// `None`: it still runs.
    pub last_seconds: Option<f64>,
    /// When a run ended last that was `completed`; `None`: none ever did.
    pub last_success_at: Option<DateTime<Utc>>,
}

/// The streams of a service.
#[derive(Debug, Serialize)]
pub struct Streams {
    pub service: String,
    /// Those that are polled.
    pub streams: i64,
    pub due: i64,
    /// How long the one that is due for longest has been; 0 when none is.
    pub oldest_due_seconds: f64,
    pub failing: i64,
    /// Items of theirs in quarantine.
    pub quarantined: i64,
}

/// Events for the outside that have not gone out.
#[derive(Debug, Serialize)]
pub struct Outbox {
    /// Deliveries that wait, and events that are not assigned to targets yet.
    pub pending: i64,
    /// Deliveries that are given up.
    pub dead: i64,
    /// Since the oldest of what waits was written; 0 when nothing does.
    pub oldest_seconds: f64,
}

/// Reads them.
pub async fn read(pool: &Pool) -> anyhow::Result<Figures> {
    Ok(Figures {
        jobs: jobs(pool).await?,
        streams: streams(pool).await?,
        accounts_failing: accounts_failing(pool).await?,
        outbox: outbox(pool).await?,
        database_bytes: database_bytes(pool).await?,
    })
}

/// Every job that ever ran. It steps from name to name by the index, and reads a few rows of each: `runs` holds those of months.
async fn jobs(pool: &Pool) -> anyhow::Result<Vec<Job>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "WITH RECURSIVE jobs (job) AS (
               (SELECT job FROM runs ORDER BY job LIMIT 1)
               UNION ALL
               SELECT (SELECT r.job FROM runs r WHERE r.job > jobs.job ORDER BY r.job LIMIT 1) FROM jobs WHERE jobs.job IS NOT NULL
             )
             SELECT jobs.job, last.started_at, last.status, extract(epoch FROM last.ended_at - last.started_at)::float8, good.ended_at
             FROM jobs
             CROSS JOIN LATERAL (
               SELECT started_at, status, ended_at FROM runs r WHERE r.job = jobs.job ORDER BY r.started_at DESC LIMIT 1) last
             LEFT JOIN LATERAL (
               SELECT ended_at FROM runs r WHERE r.job = jobs.job AND r.status = 'completed' ORDER BY r.started_at DESC LIMIT 1) good ON true
             ORDER BY jobs.job",
            &[],
        )
        .await
        .context("reading how the jobs went last")?;
    rows.iter()
        .map(|row| {
            Ok(Job {
                job: row.try_get(0)?,
                last_started_at: row.try_get(1)?,
                last_status: row.try_get(2)?,
                last_seconds: row.try_get(3)?,
                last_success_at: row.try_get(4)?,
            })
        })
        .collect()
}

async fn streams(pool: &Pool) -> anyhow::Result<Vec<Streams>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT s.service, count(*), count(*) FILTER (WHERE s.due_at <= now()),
               greatest(0, extract(epoch FROM now() - min(s.due_at)))::float8, count(*) FILTER (WHERE s.failures > 0),
               coalesce(sum(q.items), 0)::bigint
             FROM streams s LEFT JOIN (SELECT stream_id, count(*) AS items FROM quarantined_items GROUP BY stream_id) q ON q.stream_id = s.id
             WHERE s.state NOT IN ('removed', 'revoked') GROUP BY s.service ORDER BY s.service",
            &[],
        )
        .await
        .context("counting streams")?;
    rows.iter()
        .map(|row| {
            Ok(Streams {
                service: row.try_get(0)?,
                streams: row.try_get(1)?,
                due: row.try_get(2)?,
                oldest_due_seconds: row.try_get(3)?,
                failing: row.try_get(4)?,
                quarantined: row.try_get(5)?,
            })
        })
        .collect()
}

async fn accounts_failing(pool: &Pool) -> anyhow::Result<BTreeMap<String, i64>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT class, count(*) FROM (
               SELECT coalesce(failed_class, 'internal') AS class, user_id FROM streams
               WHERE failures > 0 AND state NOT IN ('removed', 'revoked') AND user_id IS NOT NULL
               UNION SELECT 'auth_revoked', user_id FROM accounts WHERE state = 'revoked'
             ) failing GROUP BY class",
            &[],
        )
        .await
        .context("counting accounts that fail")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

async fn outbox(pool: &Pool) -> anyhow::Result<Outbox> {
    let row = pool
        .get()
        .await?
        .query_typed_one(
            "SELECT pending.count + fresh.count, (SELECT count(*) FROM outbox_deliveries WHERE state = 'dead'),
               coalesce(extract(epoch FROM now() - least(pending.oldest, fresh.oldest)), 0)::float8
             FROM (SELECT count(*), min(e.created_at) AS oldest
                   FROM outbox_deliveries d JOIN outbox_events e ON e.id = d.event_id WHERE d.state = 'pending') pending,
                  (SELECT count(*), min(created_at) AS oldest FROM outbox_events WHERE NOT routed) fresh",
            &[],
        )
        .await
        .context("counting what waits in the outbox")?;
    Ok(Outbox { pending: row.try_get(0)?, dead: row.try_get(1)?, oldest_seconds: row.try_get(2)? })
}

async fn database_bytes(pool: &Pool) -> anyhow::Result<i64> {
    let row = pool
        .get()
        .await?
        .query_typed_one("SELECT pg_database_size(current_database())", &[])
        .await
        .context("asking for the size of the database")?;
    Ok(row.try_get(0)?)
}
