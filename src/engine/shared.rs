//! What the streams of a run have in common.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::digest::Digest;
use super::isolated::IsolatedStreams;
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

/// Streams under way at once in a dry run.
const REHEARSED: usize = 4;

/// What the streams of a run share.
pub struct Shared<S> {
    pub source: S,
    pub context: Context,
    pub run: Uuid,
    pub broker: Arc<Broker>,
    pub meter: Arc<Meter>,
    /// For pages that were read and are not written yet.
    pub room: Arc<PageMemory>,
    /// Cancelled when no further page should be begun: SIGTERM, or the end of `--max-duration`.
    pub wind_down: CancellationToken,
    pub dry_run: bool,
    /// Those of the service's that complete passes are made with.
    pub pass_settings: serde_json::Value,
    /// What polls cost.
    pub prices: Prices,
    /// Where a dry run writes what it takes back, one stream at a time.
    pub stage: tokio::sync::Mutex<Option<Connection>>,
    /// Streams that this run has claimed and not given back: what a heartbeat renews.
    pub held: Mutex<HashSet<i64>>,
    /// What the first look has found, where the run was opened with it.
    pub seen: Mutex<Option<Due>>,
    /// Streams that were due at the last look and are to be polled apart.
    pub apart: IsolatedStreams,
    /// Workers that were started: they divide `engine.concurrency` among them.
    pub workers: AtomicUsize,
    pub queue: Queue,
    pub report: Mutex<Report>,
    /// What went wrong with its streams, told when it ends.
    pub digest: Arc<Digest>,
    /// Streams found and ended, for whoever watches.
    pub progress: Progress,
}

impl<S> Shared<S> {
    /// The streams held, to add to, take from or list.
    pub fn held(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was due when the run was opened, once.
    pub fn first_look(&self) -> Option<Due> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Threads that may poll.
    pub fn threads(&self) -> u32 {
        let engine = &self.context.settings.engine;
        engine.threads.min(engine.concurrency)
    }

    /// How many things that each hold a whole answer may be under way in one worker.
    pub fn width(&self) -> usize {
        let engine = &self.context.settings.engine;
        // In a dry run each poll may hold a page while it waits for the stage.
        let concurrency = if self.dry_run { REHEARSED } else { engine.concurrency as usize };
        (concurrency / self.workers.load(Ordering::Relaxed).max(1)).max(1)
    }

    /// How many streams may be under way in one worker: as many as the requests under way have room for.
    pub fn places(&self) -> usize {
        if self.dry_run {
            return self.width();
        }
        let streams = self.context.http.width() * self.context.settings.google.batch_size as usize;
        (streams / self.workers.load(Ordering::Relaxed).max(1)).max(self.width())
    }

    /// How many full passes may be under way in the run: one for each request, and several more of which none is, because their token comes
    /// first, their page is being written, or their call waits to go with others. With two for each request they went in step, and either the
    /// requests or the database stood idle.
    pub fn turns(&self) -> usize {
        if self.dry_run { usize::MAX } else { 8 * self.context.http.width() }
    }

    /// Another run has taken the job over: nothing more is begun.
    pub fn lose_job(&self) {
        if !self.wind_down.is_cancelled() {
            log::warn!("another run has taken the job over, winding down");
            self.report().stopped_early = Some("another run has taken the job over".into());
            self.wind_down.cancel();
        }
    }

    /// What the run did so far.
    pub fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Source> Shared<S> {
    /// What a stream needs to begin: units of its project and user, and, for a page of a pass, room in memory.
    pub fn admit(&self, task: &Task) -> Admitted<Granted> {
        let row = &task.row;
        let (what, cost) = match task.is_pass() {
            true => (For::Passes, self.source.page_cost(&row.kind, &row.position)),
            false => (For::Polls, S::cost(&row.kind)..=S::cost(&row.kind)),
        };
        let booking = match self.meter.book(&row.account.project, row.user_id, &cost, what) {
            Ok(booking) => booking,
            Err(lack) => return Admitted::Lacks(lack),
        };
        if what == For::Polls {
            return Admitted::Yes(Granted { booking, room: None });
        }
        match self.room.take(&row.kind) {
            Some(room) => Admitted::Yes(Granted { booking, room: Some(room) }),
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
