//! Opens runs (tables `runs`, `job_locks`, `*_cron_results`) and closes those that died.

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Tables;
use crate::db::Pool;
use crate::db::claims::{Due, LIST_DUE, Selection};
use crate::db::host::host;

/// The parameters of a starting run.
#[derive(Debug, Clone)]
pub struct Opening<'a> {
    /// `execution_id` of all its rows.
    pub run: Uuid,
    /// Such as `calendar cron`.
    pub job: &'a str,
    /// Whether to take the job's lock or be skipped.
    pub exclusive: bool,
    /// Seconds without a heartbeat after which others may take over.
    pub lease: f64,
    /// Look for due streams in the same statement, if nothing has to be done before.
    pub look: Option<Look<'a>>,
}

/// The first query of a run for due streams.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// The streams to look for.
    pub selection: &'a Selection,
    /// A statement that first makes streams due: `engine::Source::WAKE`.
    pub wake: Option<&'static str>,
}

/// The result of opening a run.
#[derive(Debug)]
pub struct Opened {
    /// The run may continue. If not, it is to be closed as `skipped`.
    pub is_ours: bool,
    /// The due streams. `None`: it did not look, or it made streams due, which the same statement does not see.
    pub due: Option<Due>,
}

/// Opens a run: takes the job's lock, writes the run row and looks for due streams in one statement, then closes the rows of dead runs, if any.
pub async fn open(pool: &Pool, tables: Tables, opening: &Opening<'_>) -> anyhow::Result<Opened> {
    let all = Selection::default();
    let selection = opening.look.map_or(&all, |look| look.selection);
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    let row = pool
        .get()
        .await?
        .query_typed_one(
            &statement(tables, opening.look.as_ref()),
            &[
                (&opening.run, Type::UUID),
                (&tables.service, Type::TEXT),
                (&selection.force, Type::BOOL),
                (&selection.users, Type::UUID_ARRAY),
                (&selection.pushed, Type::BOOL),
                (&selection.apart, Type::INT8_ARRAY),
                (&opening.job, Type::TEXT),
                (&opening.exclusive, Type::BOOL),
                (&opening.lease, Type::FLOAT8),
                (&host(), Type::TEXT),
                (&pid, Type::INT4),
                (&env!("CARGO_PKG_VERSION"), Type::TEXT),
            ],
        )
        .await
        .context("opening the run row")?;
    if row.try_get(1)? {
        close_died(pool, tables, opening.run).await?;
    }
    let has_woken: bool = row.try_get(2)?;
    let due = match opening.look {
        Some(_) if !has_woken => Some(Due::of(&row, 3)?),
        _ => None,
    };
    Ok(Opened { is_ours: row.try_get(0)?, due })
}

/// The parameters $1 to $6 are those of `list_due_streams.sql`.
fn statement(tables: Tables, look: Option<&Look<'_>>) -> String {
    let Tables { service, total, successes, .. } = tables;
    let (wake, woken) = match look.and_then(|look| look.wake) {
        Some(wake) => (format!(", {wake}"), "EXISTS (SELECT FROM woken)"),
        None => (String::new(), "false"),
    };
    // Without a look, the subquery has no columns.
    let look = look.map_or("(SELECT)", |_| "({LIST_DUE})").replace("{LIST_DUE}", LIST_DUE);
    format!(
        "WITH lock AS (
           INSERT INTO job_locks (job, run_id, held_until)
           SELECT $7, $1, now() + make_interval(secs => $9) WHERE $8
           ON CONFLICT (job) DO UPDATE SET run_id = excluded.run_id, held_until = excluded.held_until
           WHERE job_locks.held_until < now()
           RETURNING 1
         ), opened AS (
           INSERT INTO runs (id, service, job, host, pid, version, alive_until)
           SELECT $1, $2, $7, $10, $11, $12, now() + make_interval(secs => $9)
         ), result AS (
           INSERT INTO {service}_cron_results (execution_id, start_time, status, {total}, successful_{successes}, failed_{successes})
           VALUES ($1::text, now(), 'running', 0, 0, 0)
         ){wake}
         SELECT NOT $8 OR EXISTS (SELECT 1 FROM lock),
           EXISTS (SELECT 1 FROM runs WHERE service = $2 AND status = 'running' AND alive_until < now()),
           {woken}, look.*
         FROM {look} look"
    )
}

/// Closes the runs of a service whose heartbeat has stopped as `abandoned`, with the metrics and summary rows that every run has.
async fn close_died(pool: &Pool, tables: Tables, by: Uuid) -> anyhow::Result<()> {
    let Tables { service, successes, .. } = tables;
    let summaries: String = tables
        .all_summaries()
        .into_iter()
        .map(|(table, condition)| {
            format!(
                ", {table}_written AS (
                   INSERT INTO {table} (summary_data)
                   SELECT jsonb_build_object('execution_id', id, 'job', job, 'status', 'abandoned', 'closed_by', $1) FROM died WHERE {condition}
                 )"
            )
        })
        .collect();
    let statement = format!(
        "WITH died AS (
           UPDATE runs SET status = 'abandoned', ended_at = now()
           WHERE service = $2 AND status = 'running' AND alive_until < now()
           RETURNING id, job, (extract(epoch FROM alive_until - started_at) * 1000)::int AS lived_ms
         ), died_results AS (
           UPDATE {service}_cron_results r
           SET status = 'abandoned', end_time = now(), total_processing_time_ms = died.lived_ms,
               error_message = 'the process died before it could close this run'
           FROM died WHERE r.execution_id = died.id::text AND r.status = 'running'
         ){summaries}
         INSERT INTO {service}_cron_metrics (execution_id, successful_{successes}, failed_{successes}, total_processing_time_ms)
         SELECT id::text, 0, 0, lived_ms FROM died"
    );
    pool.get()
        .await?
        .execute_typed(&statement, &[(&by, Type::UUID), (&service, Type::TEXT)])
        .await
        .context("closing the rows of runs that died")?;
    Ok(())
}
