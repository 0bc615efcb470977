//! Who holds a stream or a job (tables `job_locks`, `runs`).

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;

/// A run that holds a stream or a job.
#[derive(Debug, Clone)]
pub struct Holder {
    pub run: Uuid,
    /// Job, host and process, where the run's row is there.
    pub who: Option<(String, String, i32)>,
    /// Until when, unless it renews its lease or ends before.
    pub until: DateTime<Utc>,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "run {}", self.run)?;
        if let Some((job, host, pid)) = &self.who {
            write!(f, " (`{job}` on {host}, pid {pid})")?;
        }
        write!(f, " holds it until {} unless it goes on", self.until.format("%F %T UTC"))
    }
}

impl Holder {
    /// Job, host and process of the run, from this column on.
    pub(super) fn who(row: &Row, place: usize) -> anyhow::Result<Option<(String, String, i32)>> {
        let job: Option<String> = row.try_get(place)?;
        job.map(|job| Ok((job, row.try_get(place + 1)?, row.try_get(place + 2)?))).transpose()
    }
}

/// Who holds a job's lock. `None`: nobody any more.
pub async fn of_job(pool: &Pool, job: &str) -> anyhow::Result<Option<Holder>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            "SELECT l.run_id, l.held_until, r.job, r.host, r.pid FROM job_locks l LEFT JOIN runs r ON r.id = l.run_id WHERE l.job = $1",
            &[(&job, Type::TEXT)],
        )
        .await
        .context("looking who holds a job")?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Holder { run: row.try_get(0)?, until: row.try_get(1)?, who: Holder::who(&row, 2)? }))
}
