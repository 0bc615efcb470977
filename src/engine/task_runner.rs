//! Runs of work that follows no feed: a service does it with the calls of its streams, and each task is counted like a polled stream. Independent of any
//! service.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use deadpool_postgres::Transaction;

use super::digest::Digest;
use super::job::{self, Job};
use super::outcome::{Outcome, PollEnd};
use super::report::Covered;
use super::shared::Shared;
use super::{Calls, Context, Counts, Report, Source};
use crate::db::claims::{self, StreamRow};
use crate::db::{Pool, runs, streams};
use crate::error::{Class, Failure};

/// Context of such a run.
pub struct TaskRunner<S> {
    shared: Arc<Shared<S>>,
    rows: HashMap<uuid::Uuid, StreamRow>,
}

/// Runs `work`, and records it like any other run. Ignores `job.selection`.
///
/// # Errors
/// Returns an error only if the run could not be recorded at all.
pub async fn run<S: Source>(
    context: &Context,
    source: S,
    job: &Job,
    work: impl AsyncFnOnce(&TaskRunner<S>) -> anyhow::Result<()>,
) -> anyhow::Result<Report> {
    job::recorded(context, source, job, async |shared| {
        let ids = streams::of_service(&context.pool, S::TABLES.service).await?;
        let rows = claims::read(&context.pool, &ids).await?;
        let rows = rows.into_iter().map(|row| (row.user_id, row)).collect();
        work(&TaskRunner { shared, rows }).await
    })
    .await
}

impl<S: Source> TaskRunner<S> {
    pub fn source(&self) -> &S {
        &self.shared.source
    }

    pub fn pool(&self) -> &Pool {
        &self.shared.context.pool
    }

    /// Whether to fetch and compare only, writing nothing.
    pub fn is_dry_run(&self) -> bool {
        self.shared.dry_run
    }

    /// Whether no further task should start.
    pub fn is_winding_down(&self) -> bool {
        self.shared.wind_down.is_cancelled()
    }

    /// Maximum number of concurrent tasks.
    pub fn width(&self) -> usize {
        self.shared.width()
    }

    /// The calls of this owner's stream. `None` if there is no such stream.
    pub fn calls(&self, owner: uuid::Uuid) -> Option<Calls> {
        Some(self.shared.calls(self.rows.get(&owner)?))
    }

    /// Keeps the job for this run while a transaction lasts: a run that was suspended must not carry out its plans after another run took over.
    ///
    /// # Errors
    /// Returns `LeaseLost` if another run has the job; this run then starts nothing more.
    pub async fn keep_job(&self, tx: &Transaction<'_>) -> Result<(), Failure> {
        if runs::keep_lock(tx, self.shared.run).await? {
            return Ok(());
        }
        self.shared.lose_job();
        Err(Failure::new(Class::LeaseLost, "another run has taken over the job"))
    }

    /// Where to report problems that need attention.
    pub fn digest(&self) -> &Digest {
        &self.shared.digest
    }

    /// Counts a completed task of this owner's stream.
    pub fn done(&self, owner: uuid::Uuid, started: Instant, ended: Result<Counts, Failure>) {
        let Some(row) = self.rows.get(&owner) else { return };
        let mut outcome = Outcome::of(row);
        outcome.took = started.elapsed();
        match ended {
            Ok(counts) => outcome.counts = counts,
            Err(failure) => outcome.end = PollEnd::Failed(failure),
        }
        self.shared.report().add(&outcome);
    }

    /// Sets the counts for the run tables.
    pub fn cover(&self, total: u64, failed: u64) {
        self.shared.report().covered = Some(Covered { total, failed });
    }
}
