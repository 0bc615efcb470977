//! State of each job: its last ended run, its active runs, and the runs skipped since (tables `runs`, `*_cron_results`).

use std::collections::HashMap;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::reads::Reads;
use crate::db::runs::Progress;
use crate::state::RunStatus;

/// Number of runs used to compute the usual interval.
const INTERVAL_RUNS: i64 = 20;
/// Jobs that have not run for this many days are left out.
const FORGOTTEN_AFTER: i32 = 62;

/// A job with its last run that ended and was not skipped, else with its active run.
#[derive(Debug, Clone, Serialize)]
pub struct JobState {
    /// Such as `calendar cron`.
    pub job: String,
    pub service: String,
    pub host: String,
    pub started_at: DateTime<Utc>,
    /// Seconds since the start of the job's newest run that was not skipped; it may still be running.
    pub age_seconds: f64,
    pub status: RunStatus,
    /// Its duration; `None` if it has not ended.
    pub seconds: Option<f64>,
    /// Its row has status `running`, but its heartbeat has stopped.
    pub is_dead: bool,
    /// The error on one line.
    pub error: Option<String>,
    /// Seconds since a run completed; `None` if none ever did.
    pub success_age_seconds: Option<f64>,
    /// Median seconds from one run to the next over the last runs; `None` if there are too few.
    pub usual_seconds: Option<f64>,
    /// Active runs, oldest first.
    pub running: Vec<Running>,
    /// Skipped runs since the newest one that was not skipped: another run held the job.
    pub skipped_since: i64,
}

/// An active run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    pub run: Uuid,
    pub host: String,
    pub pid: i32,
    /// Seconds since it started.
    pub seconds: f64,
    /// Its progress, updated three times per lease. `None` if another version wrote a different format.
    #[serde(deserialize_with = "progress")]
    pub progress: Option<Progress>,
}

fn progress<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Progress>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).ok())
}

/// The run that represents a job: the newest that has ended or died, else the newest active run, else the newest.
const REPRESENTATIVE: &str = "SELECT * FROM (
    (SELECT 1 AS rank, r.* FROM runs r
     WHERE r.job = jobs.job AND r.status <> 'skipped' AND (r.status <> 'running' OR r.alive_until < now()) ORDER BY r.started_at DESC LIMIT 1)
    UNION ALL
    (SELECT 2, r.* FROM runs r WHERE r.job = jobs.job AND r.status = 'running' ORDER BY r.started_at DESC LIMIT 1)
    UNION ALL
    (SELECT 3, r.* FROM runs r WHERE r.job = jobs.job ORDER BY r.started_at DESC LIMIT 1)) ranked ORDER BY rank LIMIT 1";

/// Walks the index from job to job and reads a few rows of each: `runs` contains months of rows.
pub(super) async fn jobs(client: &impl Reads, services: &[&str]) -> anyhow::Result<Vec<JobState>> {
    let statement = format!(
        "WITH RECURSIVE jobs (job) AS (
           (SELECT job FROM runs ORDER BY job LIMIT 1)
           UNION ALL
           SELECT (SELECT r.job FROM runs r WHERE r.job > jobs.job ORDER BY r.job LIMIT 1) FROM jobs WHERE jobs.job IS NOT NULL
         )
         SELECT jobs.job, last.service, last.host, last.started_at, extract(epoch FROM now() - coalesce(newest.started_at, last.started_at))::float8,
           last.status, extract(epoch FROM last.ended_at - last.started_at)::float8, last.status = 'running' AND last.alive_until < now(),
           last.id::text, extract(epoch FROM now() - good.ended_at)::float8, usual.seconds, working.runs::text, skipped.count,
           last.error_message
         FROM jobs
         CROSS JOIN LATERAL ({REPRESENTATIVE}) last
         LEFT JOIN LATERAL (
           SELECT started_at FROM runs r WHERE r.job = jobs.job AND r.status <> 'skipped' ORDER BY r.started_at DESC LIMIT 1) newest ON true
         LEFT JOIN LATERAL (
           SELECT ended_at FROM runs r WHERE r.job = jobs.job AND r.status = 'completed' ORDER BY r.started_at DESC LIMIT 1) good ON true
         LEFT JOIN LATERAL (
           SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY gap) AS seconds FROM (
             SELECT extract(epoch FROM started_at - lag(started_at) OVER (ORDER BY started_at))::float8 AS gap
             FROM (SELECT started_at FROM runs r WHERE r.job = jobs.job AND r.status <> 'skipped' ORDER BY started_at DESC LIMIT $2) few) gaps
           WHERE gap IS NOT NULL HAVING count(*) > 1) usual ON true
         CROSS JOIN LATERAL (
           SELECT coalesce(jsonb_agg(jsonb_build_object('run', r.id, 'host', r.host, 'pid', r.pid,
               'seconds', extract(epoch FROM now() - r.started_at)::float8, 'progress', r.progress) ORDER BY r.started_at), '[]') AS runs
           FROM runs r WHERE r.job = jobs.job AND r.status = 'running' AND r.alive_until >= now()) working
         CROSS JOIN LATERAL (
           SELECT count(*) FROM runs r
           WHERE r.job = jobs.job AND r.status = 'skipped' AND r.started_at > coalesce(newest.started_at, '-infinity')) skipped
         WHERE coalesce(newest.started_at, last.started_at) > now() - make_interval(days => $1)
         ORDER BY jobs.job"
    );
    let rows = client
        .query_typed(&statement, &[(&FORGOTTEN_AFTER, Type::INT4), (&INTERVAL_RUNS, Type::INT8)])
        .await
        .context("reading the state of the jobs")?;
    let ids: Vec<&str> = rows.iter().map(|row| row.try_get(8)).collect::<Result<_, _>>()?;
    let mut errors = errors(client, services, &ids).await?;
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
                error: errors.remove(row.try_get::<_, &str>(8)?).or(row.try_get(13)?),
                success_age_seconds: row.try_get(9)?,
                usual_seconds: row.try_get(10)?,
                running: serde_json::from_str(row.try_get(11)?).context("reading the active runs")?,
                skipped_since: row.try_get(12)?,
            })
        })
        .collect()
}

async fn errors(client: &impl Reads, services: &[&str], ids: &[&str]) -> anyhow::Result<HashMap<String, String>> {
    let table = |service| {
        format!(
            "SELECT execution_id, error_message FROM {service}_cron_results WHERE execution_id = ANY ($1) AND error_message IS NOT NULL"
        )
    };
    let tables: Vec<String> = services.iter().map(table).collect();
    let rows = client
        .query_typed(&tables.join(" UNION ALL "), &[(&ids, Type::TEXT_ARRAY)])
        .await
        .context("reading the errors of runs")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
