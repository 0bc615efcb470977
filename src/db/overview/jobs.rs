//! How each job goes: its last run that ended, those that work, those that were skipped meanwhile (tables `runs`, `*_cron_results`).

use std::collections::HashMap;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::runs::Progress;
use crate::db::search_path::Reads;

/// Runs from which the usual time between two is taken.
const LOOKED_AT: i64 = 20;
/// Jobs that did not run for so many days are not told of.
const FORGOTTEN_AFTER: i32 = 62;

/// A job, and how its last run went that ended and was not skipped; before any has, the one that works.
#[derive(Debug, Clone, Serialize)]
pub struct JobState {
    /// `calendar cron`
    pub job: String,
    pub service: String,
    pub host: String,
    pub started_at: DateTime<Utc>,
    /// Seconds since the job's newest run started that was not skipped; it may still work.
    pub age_seconds: f64,
    /// `running`, `completed`, `partial`, `failed`, `paused`, `skipped`, `abandoned`
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
    /// Those that work now, the oldest first.
    pub running: Vec<Running>,
    /// Runs since the newest one that was not skipped: another run held the job.
    pub skipped_since: i64,
}

/// A run that works now.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    pub run: Uuid,
    pub host: String,
    pub pid: i32,
    /// Since it started.
    pub seconds: f64,
    /// What it is doing; it says so three times in a lease. Another version may say other things.
    #[serde(deserialize_with = "progress")]
    pub progress: Option<Progress>,
}

fn progress<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Progress>, D::Error> {
    let value = serde_json::Value::deserialize(from)?;
    Ok(serde_json::from_value(value).ok())
}

/// The run by which a job is judged: the newest that has ended or died; else the newest that works; else the newest.
const JUDGED: &str = "SELECT * FROM (
    (SELECT 1 AS place, r.* FROM runs r
     WHERE r.job = jobs.job AND r.status <> 'skipped' AND (r.status <> 'running' OR r.alive_until < now()) ORDER BY r.started_at DESC LIMIT 1)
    UNION ALL
    (SELECT 2, r.* FROM runs r WHERE r.job = jobs.job AND r.status = 'running' ORDER BY r.started_at DESC LIMIT 1)
    UNION ALL
    (SELECT 3, r.* FROM runs r WHERE r.job = jobs.job ORDER BY r.started_at DESC LIMIT 1)) places ORDER BY place LIMIT 1";

/// Steps from name to name by the index, and reads a few rows of each: `runs` holds those of months.
pub(super) async fn jobs(client: &impl Reads) -> anyhow::Result<Vec<JobState>> {
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
         CROSS JOIN LATERAL ({JUDGED}) last
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
        .query_typed(&statement, &[(&FORGOTTEN_AFTER, Type::INT4), (&LOOKED_AT, Type::INT8)])
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
                error: errors.remove(row.try_get::<_, &str>(8)?).or(row.try_get(13)?),
                success_age_seconds: row.try_get(9)?,
                usual_seconds: row.try_get(10)?,
                running: serde_json::from_str(row.try_get(11)?).context("reading which runs work")?,
                skipped_since: row.try_get(12)?,
            })
        })
        .collect()
}

async fn errors(client: &impl Reads, ids: &[&str]) -> anyhow::Result<HashMap<String, String>> {
    let tables = ["calendar", "drive", "gmail", "attendee", "classify"].map(|service| {
        format!("SELECT execution_id, error_message FROM {service}_cron_results WHERE execution_id = ANY ($1) AND error_message IS NOT NULL")
    });
    let rows =
        client.query_typed(&tables.join(" UNION ALL "), &[(&ids, Type::TEXT_ARRAY)]).await.context("reading what went wrong")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
