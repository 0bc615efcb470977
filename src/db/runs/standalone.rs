//! Runs of jobs without a service: deliveries, cleanup, reports (table `runs` only).

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;
use crate::db::host::host;
use crate::state::RunStatus;

/// Their value of `runs.service`.
const SERVICE: &str = "syncctl";

/// Writes the row of a starting run and closes dead runs of the same job. `lease`: maximum seconds until the next heartbeat.
pub async fn begin(pool: &Pool, run: Uuid, job: &str, lease: f64) -> anyhow::Result<()> {
    let pid = i32::try_from(std::process::id()).unwrap_or(0);
    pool.get()
        .await?
        .execute_typed(
            "WITH died AS (
               UPDATE runs SET status = 'abandoned', ended_at = now(), error_message = 'the process died before it could close this run'
               WHERE job = $3 AND status = 'running' AND alive_until < now()
             )
             INSERT INTO runs (id, service, job, host, pid, version, alive_until)
             VALUES ($1, $2, $3, $4, $5, $6, now() + make_interval(secs => $7))",
            &[
                (&run, Type::UUID),
                (&SERVICE, Type::TEXT),
                (&job, Type::TEXT),
                (&host(), Type::TEXT),
                (&pid, Type::INT4),
                (&env!("CARGO_PKG_VERSION"), Type::TEXT),
                (&lease, Type::FLOAT8),
            ],
        )
        .await
        .context("opening the run row")?;
    Ok(())
}

/// Closes a run with its status, its error and its summary.
pub async fn end(
    pool: &Pool,
    run: Uuid,
    status: RunStatus,
    error: Option<&str>,
    summary: &serde_json::Value,
) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE runs SET status = $2, ended_at = now(), error_message = $3, summary = $4 WHERE id = $1",
            &[(&run, Type::UUID), (&status, Type::TEXT), (&error, Type::TEXT), (summary, Type::JSONB)],
        )
        .await
        .context("closing the run row")?;
    Ok(())
}
