//! What the streams of a run have in common.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::meter::Meter;
use super::queue::Queue;
use super::tokens::Broker;
use super::{Calls, Context, Report, Source};
use crate::db::claims::{AccountRow, StreamRow};
use crate::db::prices::Prices;
use crate::progress::Progress;

/// What the streams of a run share.
pub struct Shared<S> {
    pub source: S,
    pub context: Context,
    pub run: Uuid,
    pub broker: Arc<Broker>,
    pub meter: Arc<Meter>,
    /// Bounds the full passes under way: each may hold a page of thousands of items.
    pub full_passes: Semaphore,
    /// Cancelled when no further page should be begun: SIGTERM, or the end of `--max-duration`.
    pub wind_down: CancellationToken,
    pub dry_run: bool,
    /// What polls cost.
    pub prices: Prices,
    /// Where a dry run writes what it takes back, one stream at a time.
    pub stage: tokio::sync::Mutex<Option<deadpool_postgres::Object>>,
    /// Streams that this run has claimed and not given back: what a heartbeat renews.
    pub held: Mutex<HashSet<i64>>,
    /// Workers that were started: they divide `engine.concurrency` among them.
    pub workers: AtomicUsize,
    pub queue: Queue,
    pub report: Mutex<Report>,
    /// Streams found and ended, for whoever watches.
    pub progress: Progress,
}

impl<S> Shared<S> {
    /// The streams held, to add to, take from or list.
    pub fn held(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Threads that may poll.
    pub fn threads(&self) -> u32 {
        let engine = &self.context.settings.engine;
        engine.threads.min(engine.concurrency)
    }

    /// How many calls one worker may have under way.
    pub fn width(&self) -> usize {
        let engine = &self.context.settings.engine;
        // In a dry run each poll may hold a page while it waits for the stage.
        let concurrency = if self.dry_run { engine.first_sync_concurrency } else { engine.concurrency } as usize;
        (concurrency / self.workers.load(Ordering::Relaxed).max(1)).max(1)
    }

    /// What the run did so far.
    pub fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> Shared<S> {
    /// The calls of a claimed stream.
    pub fn calls(&self, row: &StreamRow) -> Calls {
        self.calls_with(&row.account)
    }

    /// The calls of an account.
    pub fn calls_with(&self, account: &AccountRow) -> Calls {
        Calls {
            credential: self.broker.credential(account),
            user: account.user_id,
            project: account.project.clone(),
            scope: S::SCOPE,
            meter: Arc::clone(&self.meter),
            settings: Arc::clone(&self.context.settings),
            gate: self.meter.gate(account.user_id, &self.context.settings.engine),
            wind_down: self.wind_down.clone(),
            full_pass: AtomicBool::new(false),
        }
    }
}
