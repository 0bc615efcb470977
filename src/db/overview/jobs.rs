//! The last run of each job (tables `runs`, `*_cron_results`).

use std::collections::HashMap;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::db::runs::Progress;

/// Runs from which the usual time between two is taken.
const LOOKED_AT: i64 = 20;
/// Jobs that did not run for so many days are not told of.
const FORGOTTEN_AFTER: i32 = 62;

/// A job, and how its last run went.
#[derive(Debug, Clone, Serialize)]
pub struct JobState {
    /// `calendar cron`
    pub job: String,
    pub service: String,
    pub host: String,
    pub started_at: DateTime<Utc>,
    /// Seconds since it started.
    pub age_seconds: f64,
    /// `running`, `completed`, `partial`, `failed`, `skipped`, `abandoned`
    pub status: String,
    /// How long it took; `None`: it has not ended.
    pub seconds: Option<f64>,
    /// Its row says that it runs, and its heartbeat has stopped.
    pub is_dead: bool,
    /// One readable line.
    pub error: Option<String>,
    /// Seconds since a run ended well; `None`: none ever did.
    pub success_age_seconds: Option<f64>,
    /// Seconds from one run to the next, in the middle of the last ones; `None`: there are too few.
    pub usual_seconds: Option<f64>,
    /// What it is doing, while it runs; it says so three times in a lease.
    pub progress: Option<Progress>,
}

/// Steps from name to name by the index, and reads a few rows of each: `runs` holds those of months.
pub(super) async fn jobs(client: &impl GenericClient) -> anyhow::Result<Vec<JobState>> {
    let rows = client
        .query_typed(
            "WITH RECURSIVE jobs (job) AS (
               (SELECT job FROM runs ORDER BY job LIMIT 1)
               UNION ALL
               SELECT (SELECT r.job FROM runs r WHERE r.job > jobs.job ORDER BY r.job LIMIT 1) FROM jobs WHERE jobs.job IS NOT NULL
             )
             SELECT jobs.job, last.service, last.host, last.started_at, extract(epoch FROM now() - last.started_at)::float8, last.status,
               extract(epoch FROM last.ended_at - last.started_at)::float8, last.status = 'running' AND last.alive_until < now(), last.id::text,
               extract(epoch FROM now() - good.ended_at)::float8, usual.seconds,
               CASE WHEN last.status = 'running' THEN last.progress::text END, last.error_message
             FROM jobs
             CROSS JOIN LATERAL (SELECT * FROM runs r WHERE r.job = jobs.job ORDER BY r.started_at DESC LIMIT 1) last
             LEFT JOIN LATERAL (
               SELECT ended_at FROM runs r WHERE r.job = jobs.job AND r.status = 'completed' ORDER BY r.started_at DESC LIMIT 1) good ON true
             LEFT JOIN LATERAL (
               SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS seconds FROM (
                 SELECT extract(epoch FROM started_at - lag(started_at) OVER (ORDER BY started_at))::float8 AS gap
                 FROM (SELECT started_at FROM runs r WHERE r.job = jobs.job ORDER BY started_at DESC LIMIT $2) few) gaps
               WHERE gap IS NOT NULL HAVING count(*) > 1) usual ON true
             WHERE last.started_at > now() - make_interval(days => $1)
             ORDER BY jobs.job",
            &[(&FORGOTTEN_AFTER, Type::INT4), (&LOOKED_AT, Type::INT8)],
        )
        .await
        .context("reading how the jobs went last")?;
    let ids: Vec<&str> = rows.iter().map(|row| row.try_get(8)).collect::<Result<_, _>>()?;
    let mut errors = errors(client, &ids).await?;
    rows.iter()
        .map(|row| {
            Ok(JobState {
                job: row.try_get(0)?,
                service: row.try_get(1)?,
                host: row.try_get(2)?,
                started_at: row.try_get(3)?,
                age_seconds: row.try_get(4)?,
                status: row.try_get(5)?,
                seconds: row.try_get(6)?,
                is_dead: row.try_get(7)?,
                error: errors.remove(row.try_get::<_, &str>(8)?).or(row.try_get(12)?),
                success_age_seconds: row.try_get(9)?,
                usual_seconds: row.try_get(10)?,
                // Another version may say other things.
                progress: row.try_get::<_, Option<&str>>(11)?.and_then(|text| serde_json::from_str(text).ok()),
            })
        })
        .collect()
}

async fn errors(client: &impl GenericClient, ids: &[&str]) -> anyhow::Result<HashMap<String, String>> {
    let tables = ["calendar", "drive", "gmail", "attendee"].map(|service| {
        format!("SELECT execution_id, error_message FROM {service}_cron_results WHERE execution_id = ANY ($1) AND error_message IS NOT NULL")
    });
    let rows =
        client.query_typed(&tables.join(" UNION ALL "), &[(&ids, Type::TEXT_ARRAY)]).await.context("reading what went wrong")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
