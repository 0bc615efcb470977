//! The run that holds a stream or a job (tables `job_locks`, `runs`).

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;

/// The process of a run.
#[derive(Debug, Clone)]
pub struct Who {
    pub job: String,
    pub host: String,
    pub pid: i32,
    pub since: DateTime<Utc>,
}

/// A run that holds a stream or a job.
#[derive(Debug, Clone)]
pub struct Holder {
    pub run: Uuid,
    /// `None`: the run has no row.
    pub who: Option<Who>,
    /// Expiry of the lease, unless the run renews it or ends earlier.
    pub until: DateTime<Utc>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "run {}", self.run)?;
        if let Some(Who { job, host, pid, since }) = &self.who {
            write!(f, " (`{job}` on {host}, pid {pid}, since {})", since.format("%F %T UTC"))?;
        }
        write!(f, " holds it until {} unless it renews its lease", self.until.format("%F %T UTC"))
    }
}

impl Holder {
    /// The columns that `who` reads; `r` is the holder's row in `runs`, outer joined.
    pub(super) const WHO: &str = "r.job, r.host, r.pid, r.started_at";

    /// Reads the columns of `WHO`, starting at `first_column`.
    pub(super) fn who(row: &Row, first_column: usize) -> anyhow::Result<Option<Who>> {
        let Some(job) = row.try_get::<_, Option<String>>(first_column)? else { return Ok(None) };
        let (host, pid) = (row.try_get(first_column + 1)?, row.try_get(first_column + 2)?);
        Ok(Some(Who { job, host, pid, since: row.try_get(first_column + 3)? }))
    }
}

/// The run that holds a job's lock; `None` if it has been released.
pub async fn of_job(pool: &Pool, job: &str) -> anyhow::Result<Option<Holder>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            &format!(
                "SELECT l.run_id, l.held_until, {} FROM job_locks l LEFT JOIN runs r ON r.id = l.run_id WHERE l.job = $1",
                Holder::WHO
            ),
            &[(&job, Type::TEXT)],
        )
        .await
        .context("looking up the holder of a job")?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Holder { run: row.try_get(0)?, until: row.try_get(1)?, who: Holder::who(&row, 2)? }))
}
