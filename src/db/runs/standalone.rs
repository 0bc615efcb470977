//! Runs of jobs that are of no service: deliveries, tidying, reports (table `runs` alone).

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::host;
use crate::db::Pool;

/// What `runs.service` says of them.
const SERVICE: &str = "syncctl";

/// Writes the row of a run that begins, and closes those of the same job that died. `lease`: seconds until the next heartbeat must have come.
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

/// Closes a run with its status (`completed`, `partial` or `failed`), why it failed, and what it did.
pub async fn end(pool: &Pool, run: Uuid, status: &str, error: Option<&str>, summary: &serde_json::Value) -> anyhow::Result<()> {
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
