//! Run rows, job locks and heartbeats (tables `runs`, `job_locks`, `*_cron_results`, `*_cron_metrics`, `*_cron_summaries`).

mod heartbeat;
mod open;
mod standalone;

use anyhow::Context;
use futures_util::{Stream, StreamExt as _};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Pool;
use crate::state::RunStatus;

pub use heartbeat::{Progress, heartbeat, keep_lock};
pub use open::{Look, Opened, Opening, open};
pub use standalone::{begin, end};

/// The run tables of one service, with the names of its columns.
#[derive(Debug, Clone, Copy)]
pub struct Tables {
    /// Such as `calendar`, `drive`, `gmail` or `attendee`.
    pub service: &'static str,
    /// `total_users`, `total_files` or `total_meetings`.
    pub total: &'static str,
    /// `syncs` or `polls`.
    pub successes: &'static str,
    /// Jobs with their own summary tables, such as `renew-watches`; all others use `{service}_cron_summaries`.
    pub summaries: &'static [(&'static str, &'static str)],
}

impl Tables {
    /// The table with the summaries of a job, such as `calendar cron`.
    fn summaries_of(self, job: &str) -> String {
        let verb = job.split_once(' ').filter(|(service, _)| *service == self.service).map(|(_, verb)| verb);
        let own = self.summaries.iter().find(|(of, _)| Some(*of) == verb);
        own.map_or_else(|| format!("{}_cron_summaries", self.service), |(_, table)| (*table).to_owned())
    }

    /// All tables with summaries, each with the condition on the column `job` that selects its runs.
    pub(super) fn all_summaries(self) -> Vec<(String, String)> {
        let service = self.service;
        let own = self.summaries.iter().map(|(verb, table)| ((*table).to_owned(), format!("job = '{service} {verb}'")));
        let mut tables: Vec<(String, String)> = own.collect();
        let rest = tables.iter().map(|(_, condition)| format!(" AND NOT {condition}")).collect::<String>();
        tables.push((format!("{service}_cron_summaries"), format!("true{rest}")));
        tables
    }
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Closing<'a> {
    pub status: RunStatus,
    pub total: i32,
    pub successful: i32,
    pub failed: i32,
    pub elapsed_ms: i32,
    pub error_message: Option<&'a str>,
    /// Determines the summary table.
    pub job: &'a str,
    pub summary: &'a serde_json::Value,
}

/// Closes a run in one statement: result, metrics and summary rows, and the job's lock. A run that was suspended for longer than its lease has been
/// closed as `abandoned`; its own result replaces that. Rows are locked in the order of the heartbeat, which may be under way: the job's lock, then the run.
pub async fn close(pool: &Pool, tables: Tables, run: Uuid, closing: &Closing<'_>) -> anyhow::Result<()> {
    let Tables { service, total, successes, .. } = tables;
    let summaries = tables.summaries_of(closing.job);
    let statement = format!(
        "WITH lock AS (
           DELETE FROM job_locks WHERE run_id = $1 RETURNING 1
         ), was AS (
           SELECT status FROM runs, (SELECT count(*) FROM lock) locks WHERE id = $1 FOR UPDATE OF runs
         ), result AS (
           UPDATE {service}_cron_results
           SET end_time = now(), {total} = $3, successful_{successes} = $4, failed_{successes} = $5,
               total_processing_time_ms = $6, status = $2, error_message = $7
           WHERE execution_id = $1::text
         ), abandoned_metrics AS (
           DELETE FROM {service}_cron_metrics WHERE execution_id = $1::text
         ), abandoned_summary AS (
           DELETE FROM {summaries} WHERE summary_data ->> 'execution_id' = $1::text
         ), metrics AS (
           INSERT INTO {service}_cron_metrics (execution_id, successful_{successes}, failed_{successes}, total_processing_time_ms)
           VALUES ($1::text, $4, $5, $6)
         ), summary AS (
           INSERT INTO {summaries} (summary_data) VALUES ($8)
         )
         UPDATE runs SET status = $2, ended_at = now() FROM was WHERE id = $1 RETURNING was.status = 'abandoned'"
    );
    let parameters: [(&(dyn ToSql + Sync), Type); 8] = [
        (&run, Type::UUID),
        (&closing.status, Type::TEXT),
        (&closing.total, Type::INT4),
        (&closing.successful, Type::INT4),
        (&closing.failed, Type::INT4),
        (&closing.elapsed_ms, Type::INT4),
        (&closing.error_message, Type::TEXT),
        (closing.summary, Type::JSONB),
    ];
    let client = pool.get().await?;
    // Repeat if the run was `abandoned`: the statement does not see rows that another run committed after the statement began.
    for _ in 0..2 {
        let row = client.query_typed_opt(&statement, &parameters).await.context("closing the run row")?;
        if !row.is_some_and(|row| row.try_get(0).unwrap_or(false)) {
            break;
        }
    }
    Ok(())
}

/// Mean hours between `cron` runs of a service over the last day. Gaps of more than `max_hours` are ignored.
pub async fn mean_interval_hours(pool: &Pool, service: &str, max_hours: f64) -> anyhow::Result<f64> {
    let row = pool
        .get()
        .await?
        .query_typed_one(
            "SELECT coalesce(avg(hours) FILTER (WHERE hours <= $2), 0)::float8 FROM (
               SELECT extract(epoch FROM started_at - lag(started_at) OVER (ORDER BY started_at))::float8 / 3600 AS hours
               FROM runs WHERE service = $1 AND job = $1 || ' cron' AND started_at > now() - interval '1 day') gaps",
            &[(&service, Type::TEXT), (&max_hours, Type::FLOAT8)],
        )
        .await
        .context("reading the interval between runs")?;
    Ok(row.try_get(0)?)
}

/// Writes the summary of a run over several services, which has no row in the run tables.
pub async fn summarize(pool: &Pool, table: &'static str, summary: &serde_json::Value) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(&format!("INSERT INTO {table} (summary_data) VALUES ($1)"), &[(summary, Type::JSONB)])
        .await
        .context("writing the summary")?;
    Ok(())
}

/// One finished or running run, for `metrics`.
#[derive(Debug, Clone)]
pub struct PastRun {
    /// It started in the preceding period.
    pub is_before: bool,
    /// A `RunStatus`, or the word of another program that wrote to these tables.
    pub status: String,
    pub duration_ms: Option<i32>,
    pub successful: i32,
    pub failed: i32,
    pub summary: Option<serde_json::Value>,
}

/// Streams the runs that started within the last `seconds` and in the preceding period of the same length, with their summaries, by the database's
/// clock. A year of them needs no memory here.
pub async fn since(
    pool: &Pool,
    tables: Tables,
    seconds: f64,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<PastRun>> + use<>> {
    let Tables { service, successes, .. } = tables;
    // A summary is written when its run ends, so none of these is older than the period.
    let summaries: Vec<String> = tables
        .all_summaries()
        .into_iter()
        .map(|(table, _)| {
            format!("SELECT summary_data ->> 'execution_id' AS run, summary_data FROM {table} WHERE timestamp >= now() - 2 * make_interval(secs => $1)")
        })
        .collect();
    let statement = format!(
        "SELECT r.start_time < now() - make_interval(secs => $1), r.status, r.total_processing_time_ms, coalesce(r.successful_{successes}, 0), coalesce(r.failed_{successes}, 0),
           s.summary_data
         FROM {service}_cron_results r LEFT JOIN ({}) s ON s.run = r.execution_id
         WHERE r.start_time >= now() - 2 * make_interval(secs => $1)",
        summaries.join(" UNION ALL ")
    );
    let client = pool.get().await?;
    let period: [(&(dyn ToSql + Sync), Type); 1] = [(&seconds, Type::FLOAT8)];
    let rows = client.query_typed_raw(&statement, period).await.context("reading past runs")?;
    Ok(rows.map(move |row| {
        // Keep the connection until the last row.
        let _client = &client;
        let row = row.context("reading past runs")?;
        Ok(PastRun {
            is_before: row.try_get(0)?,
            status: row.try_get::<_, Option<String>>(1)?.unwrap_or_else(|| "unknown".into()),
            duration_ms: row.try_get(2)?,
            successful: row.try_get(3)?,
            failed: row.try_get(4)?,
            summary: row.try_get(5)?,
        })
    }))
}
