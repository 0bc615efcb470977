//! How a run says that it lives, and what it is doing.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;

const HEARTBEAT: &str = include_str!("../sql/heartbeat.sql");

/// What a run is doing: streams by where they are (`runs.progress`).
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// Asked for, or written.
    pub under_way: usize,
    /// Polls whose turn, or project's quota, has not come.
    pub polls_waiting: usize,
    /// Full passes whose next page waits for its turn, their project's quota, or room.
    pub passes_waiting: usize,
    /// Streams whose user lacks quota at the moment.
    pub without_quota: usize,
    /// Seconds until the first of these goes on.
    pub next_seconds: Option<f64>,
    /// It begins nothing any more: it was told to stop, its time is over, or another run has its job.
    #[serde(default)]
    pub winding_down: bool,
}

/// Says that the run lives: its row, its lock and its leases on these streams hold for another `lease` seconds. Answers whether the lock of a job
/// is still its own: another run takes it from one that was silent for longer than its lease.
pub async fn heartbeat(pool: &Pool, run: Uuid, lease: f64, streams: &[i64], progress: &Progress) -> anyhow::Result<bool> {
    let progress = serde_json::to_string(progress)?;
    let mut client = pool.get().await?;
    // Bounded, because nobody waits for its end: the run may be over before.
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

/// Keeps the lock of this run's job while the transaction lasts. `false`: another run has taken it over.
pub async fn keep_lock(tx: &Transaction<'_>, run: Uuid) -> anyhow::Result<bool> {
    let lock = tx
        .query_typed_opt("SELECT FROM job_locks WHERE run_id = $1 FOR SHARE", &[(&run, Type::UUID)])
        .await
        .context("keeping the lock of the job")?;
    Ok(lock.is_some())
}
