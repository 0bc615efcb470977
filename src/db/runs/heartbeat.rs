//! Heartbeats and progress of runs.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;

const HEARTBEAT: &str = include_str!("../sql/heartbeat.sql");

/// Progress of a run: number of streams by state (`runs.progress`).
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// Streams being fetched or written.
    pub under_way: usize,
    /// Polls waiting for their turn or for their project's quota.
    pub polls_waiting: usize,
    /// Full passes whose next page waits for its turn, for their project's quota, or for capacity.
    pub passes_waiting: usize,
    /// Streams waiting for their user's quota.
    pub without_quota: usize,
    /// Seconds until the first of these continues.
    pub next_seconds: Option<f64>,
    /// The run starts nothing new: it received a stop signal, its time is over, or another run has its job.
    #[serde(default)]
    pub winding_down: bool,
}

/// Extends the run's row, its lock and its leases on these streams by `lease` seconds. Returns whether the run still holds its job's lock: another run
/// takes over from one whose last heartbeat is older than its lease.
pub async fn heartbeat(pool: &Pool, run: Uuid, lease: f64, streams: &[i64], progress: &Progress) -> anyhow::Result<bool> {
    let progress = serde_json::to_string(progress)?;
    let mut client = pool.get().await?;
    // In a transaction with timeouts, because the run may end without waiting for it.
    let tx = client.begin("beginning the heartbeat").await?;
    let row = tx
        .query_typed_one(
            HEARTBEAT,
            &[(&run, Type::UUID), (&lease, Type::FLOAT8), (&streams, Type::INT8_ARRAY), (&progress, Type::TEXT)],
        )
        .await
        .context("writing the heartbeat")?;
    tx.commit().await.context("writing the heartbeat")?;
    Ok(row.try_get(0)?)
}

/// Locks the row of this run's job lock until the transaction ends. Returns `false` if another run has taken it over.
pub async fn keep_lock(tx: &Transaction<'_>, run: Uuid) -> anyhow::Result<bool> {
    let lock = tx
        .query_typed_opt("SELECT FROM job_locks WHERE run_id = $1 FOR SHARE", &[(&run, Type::UUID)])
        .await
        .context("keeping the lock of the job")?;
    Ok(lock.is_some())
}
