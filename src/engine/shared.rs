//! State shared by the streams of a run.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::digest::Digest;
use super::isolated_streams::IsolatedStreams;
use super::meter::{For, Meter};
use super::page_memory::PageMemory;
use super::queue::{Admitted, Queue};
use super::slice::{Granted, Task};
use super::tokens::Broker;
use super::{Calls, Context, Report, Source};
use crate::db::Connection;
use crate::db::claims::{AccountRow, Due, StreamRow};
use crate::db::poll_prices::Prices;
use crate::progress::Progress;

/// Maximum number of concurrent streams in a dry run.
const MAX_DRY_RUN: usize = 4;

/// State shared by the streams of a run.
pub struct Shared<S> {
    pub source: S,
    pub context: Context,
    pub run: Uuid,
    pub broker: Arc<Broker>,
    pub meter: Arc<Meter>,
    /// Memory for pages that were read and are not yet written.
    pub page_memory: Arc<PageMemory>,
    /// Cancelled when no further page should start: on SIGTERM, or at the end of `--max-duration`.
    pub wind_down: CancellationToken,
    pub dry_run: bool,
    /// The service's settings that affect full passes.
    pub pass_settings: serde_json::Value,
    /// Prices of polls.
    pub prices: Prices,
    /// The connection on which a dry run writes what it rolls back, one stream at a time.
    pub stage: tokio::sync::Mutex<Option<Connection>>,
    /// Streams that this run has claimed and not given back; the heartbeat renews their leases.
    pub held: Mutex<HashSet<i64>>,
    /// Result of the first look, if the run was opened with one.
    pub seen: Mutex<Option<Due>>,
    /// Streams that were due at the last look and must be polled in isolation.
    pub isolated: IsolatedStreams,
    /// Number of started workers, which share `engine.concurrency`.
    pub workers: AtomicUsize,
    pub queue: Queue,
    pub report: Mutex<Report>,
    /// Problems of the run's streams, logged when it ends.
    pub digest: Arc<Digest>,
    /// Streams found and ended, for the progress display.
    pub progress: Progress,
}

impl<S> Shared<S> {
    /// Locks the set of held streams.
    pub fn held(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the streams that were due when the run was opened; returns them once.
    pub fn first_look(&self) -> Option<Due> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Maximum number of threads that poll.
    pub fn threads(&self) -> u32 {
        let engine = &self.context.settings.engine;
        engine.threads.min(engine.concurrency)
    }

    /// Maximum number of tasks in one worker that each hold a whole response.
    pub fn width(&self) -> usize {
        let engine = &self.context.settings.engine;
        // In a dry run, each poll may hold a page while it waits for the shared connection.
        let concurrency = if self.dry_run { MAX_DRY_RUN } else { engine.concurrency as usize };
        (concurrency / self.workers.load(Ordering::Relaxed).max(1)).max(1)
    }

    /// Maximum number of streams in progress in one worker: as many as the concurrent requests can carry.
    pub fn places(&self) -> usize {
        if self.dry_run {
            return self.width();
        }
        let streams = self.context.http.width() * self.context.settings.google.batch_size as usize;
        (streams / self.workers.load(Ordering::Relaxed).max(1)).max(self.width())
    }

    /// Maximum number of full passes in progress in the run: several for each request, because a pass may also be waiting for its token, writing a page, or
    /// waiting for its call to be batched. With two for each request, passes ran in step, and either the requests or the database were idle.
    pub fn turns(&self) -> usize {
        if self.dry_run { usize::MAX } else { 8 * self.context.http.width() }
    }

    /// Winds down because another run has taken over the job.
    pub fn lose_job(&self) {
        if !self.wind_down.is_cancelled() {
            log::warn!("another run has taken over the job; winding down");
            self.report().stopped_early = Some("another run has taken over the job".into());
            self.wind_down.cancel();
        }
    }

    /// Locks the report.
    pub fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> Shared<S> {
    /// Reserves what a stream needs to begin: units of its project and user and, for a page of a pass, page memory.
    pub fn admit(&self, task: &Task) -> Admitted<Granted> {
        let row = &task.row;
        let (what, cost) = if task.is_pass() {
            (For::Passes, self.source.page_cost(&row.kind, &row.position))
        } else {
            (For::Polls, S::cost(&row.kind)..=S::cost(&row.kind))
        };
        let booking = match self.meter.book(&row.account.project, row.user_id, &cost, what) {
            Ok(booking) => booking,
            Err(lack) => return Admitted::Lacks(lack),
        };
        if what == For::Polls {
            return Admitted::Yes(Granted { booking, memory: None });
        }
        match self.page_memory.take(&row.kind) {
            Some(memory) => Admitted::Yes(Granted { booking, memory: Some(memory) }),
            None => Admitted::Full,
        }
    }

    /// The calls of a claimed stream.
    pub fn calls(&self, row: &StreamRow) -> Calls {
        Calls { stream: row.id, deadly: row.deadly.clone(), ..self.calls_with(&row.account) }
    }

    /// The calls of an account.
    pub fn calls_with(&self, account: &AccountRow) -> Calls {
        Calls {
            stream: 0,
            deadly: Vec::new(),
            credential: self.broker.credential(account),
            user: account.user_id,
            project: account.project.clone(),
            scope: S::AUTH.scope(),
            meter: Arc::clone(&self.meter),
            settings: Arc::clone(&self.context.settings),
            gate: self.meter.gate(account.user_id, &self.context.settings.engine),
            wind_down: self.wind_down.clone(),
            full_pass: AtomicBool::new(false),
            digest: Arc::clone(&self.digest),
            booked: Mutex::default(),
        }
    }
}
