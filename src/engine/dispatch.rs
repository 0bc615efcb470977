//! Dispatcher of a run: looks for due streams while there is work, claims and queues them, and closes idle ones, hundreds per statement.

mod close;
mod first_pages;
mod others;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::outcome::Outcome;
use super::queue::{Low, Queue, State};
use super::shared::Shared;
use super::slice::Task;
use super::{Source, workers};
use crate::db::claims::{self, Claim, Selection};
use crate::db::streams::Idle;

/// How long new streams wait for further ones, so that one look finds them all.
const SHARED_LOOK: Duration = Duration::from_millis(500);
/// Maximum number of polls that wait in a run for their project's quota; polls of other projects may be behind them.
const MAX_POLLS: usize = 2_000;
/// More full passes are claimed when fewer than this many are ready to start.
const READY_PASSES: usize = 200;

/// Polls everything that the selection names, until nothing is due or the run winds down.
///
/// # Errors
/// Returns only errors that end the run: the database is gone.
pub async fn drain<S: Source>(shared: &Arc<Shared<S>>, selection: &Selection) -> anyhow::Result<()> {
    let dispatched = async {
        let dispatched = Dispatcher::new(shared, selection).run().await;
        if dispatched.is_err() {
            // Polls in progress end after the current page: their results cannot be recorded.
            shared.wind_down.cancel();
        }
        shared.report().give_back(shared.queue.close());
        dispatched
    };
    let (dispatched, ()) = tokio::join!(dispatched, workers::work(Arc::clone(shared)));
    dispatched
}

/// The next step of the dispatcher.
enum Next {
    List,
    Claim(Vec<i64>),
    GiveWay(Vec<Outcome>),
    Close(Vec<(Idle, Uuid)>),
    /// Until something changes, or until this time.
    Wait(Option<Instant>),
    End,
}

struct Dispatcher<'a, S: Source> {
    shared: &'a Arc<Shared<S>>,
    selection: &'a Selection,
    /// Seen by the last look and not yet claimed: incremental polls and full passes.
    polls: VecDeque<i64>,
    passes: VecDeque<i64>,
    /// How many passes, at the front, belong to users who have no data yet.
    firsts: usize,
    looked: Option<Instant>,
    /// Number of streams to claim next, and its maximum.
    chunk: usize,
    max_chunk: usize,
    threads: u32,
    /// Number of named streams held by others, and until when to wait for them.
    others: usize,
    patience: Instant,
}

/// Statements run one after the other: a second connection would cost the server more than the wait costs the run.
impl<'a, S: Source> Dispatcher<'a, S> {
    fn new(shared: &'a Arc<Shared<S>>, selection: &'a Selection) -> Self {
        let engine = &shared.context.settings.engine;
        let max_chunk = if shared.dry_run { usize::MAX } else { engine.chunk as usize };
        // The first claim is small, so that Google is called while the database processes the next, larger one.
        let chunk = max_chunk.min(2 * engine.concurrency as usize);
        Self {
            shared,
            selection,
            polls: VecDeque::new(),
            passes: VecDeque::new(),
            firsts: 0,
            looked: None,
            chunk,
            max_chunk,
            threads: 1,
            others: 0,
            patience: Instant::now() + engine.lease,
        }
    }

    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            let winding_down = self.shared.wind_down.is_cancelled();
            if winding_down {
                self.give_back();
            }
            match self.next(winding_down)? {
                Next::List => self.look().await?,
                Next::Claim(ids) => self.claim(&ids).await?,
                Next::GiveWay(deep) => self.give_way(deep).await?,
                Next::Close(idle) => close::idle(self.shared, idle).await?,
                Next::Wait(until) => self.wait(until, winding_down).await,
                Next::End => return Ok(()),
            }
        }
    }

    /// Starts nothing more. The leases of claimed streams are given back together with all others.
    fn give_back(&mut self) {
        self.polls.clear();
        self.passes.clear();
        self.firsts = 0;
        let outcomes = self.shared.queue.state().clear();
        self.shared.report().give_back(outcomes);
    }

    fn next(&mut self, winding_down: bool) -> anyhow::Result<Next> {
        let queue = &self.shared.queue;
        let now = Instant::now();
        let mut state = queue.state();
        anyhow::ensure!(!state.broken, "a worker panicked; see its message above");
        if !winding_down && self.must_look(&mut state, now) {
            return Ok(Next::List);
        }
        let ids = self.claimable(&mut state, now);
        if !ids.is_empty() {
            return Ok(Next::Claim(ids));
        }
        let deep = self.to_give_way(&mut state);
        if !deep.is_empty() {
            return Ok(Next::GiveWay(deep));
        }
        if !self.shared.dry_run && queue.may_close(&state, now) {
            return Ok(Next::Close(Queue::take_idle(&mut state)));
        }
        if state.is_quiet() {
            return Ok(self.others_by(now).filter(|_| !winding_down).map_or(Next::End, |until| Next::Wait(Some(until))));
        }
        let look_in = if state.brought_up { SHARED_LOOK } else { self.look_every() };
        let look = self.looked.filter(|_| self.looks_again() && !winding_down).map(|looked| looked + look_in);
        // If enough work is ready, the time for the new streams has passed and they wait until other work starts.
        let wake = Queue::close_by(&state).into_iter().chain(look.filter(|look| *look > now)).min();
        Ok(Next::Wait(wake.or(look.map(|_| now + SHARED_LOOK))))
    }

    fn look_every(&self) -> Duration {
        self.shared.context.settings.engine.look_every
    }

    fn must_look(&self, state: &mut State, now: Instant) -> bool {
        let Some(looked) = self.looked else { return true };
        if !self.looks_again() {
            return false;
        }
        if state.is_quiet() && self.others_by(now).is_some_and(|until| until <= now) {
            return true;
        }
        // New streams are looked for immediately if little other work is ready; lists that add streams one after the other share a look.
        let (polls, passes) = state.ready(now);
        let has_work = !self.polls.is_empty() || polls > 0 || passes >= READY_PASSES;
        if state.brought_up && !has_work && (state.is_quiet() || now >= looked + SHARED_LOOK) {
            state.brought_up = false;
            return true;
        }
        now >= looked + self.look_every()
    }

    /// Streams to claim now: polls whenever few are ready, passes when few are ready and no poll is left to claim.
    fn claimable(&mut self, state: &mut State, now: Instant) -> Vec<i64> {
        let (polls, passes) = state.ready(now);
        let low = (self.chunk / 2).max(1);
        let polls_left = self.polls.len().min(MAX_POLLS.max(self.chunk).saturating_sub(state.waiting().0));
        let passes_left = self.passes.len().min(self.max_passes().saturating_sub(state.passes));
        let low_if = |is_wanted: bool, low: usize| if is_wanted { low } else { 0 };
        state.low = Low {
            polls: low_if(polls_left > 0, low),
            passes: low_if(passes_left > 0, READY_PASSES),
            firsts: low_if(polls_left == 0 && self.firsts > 0, READY_PASSES),
        };
        let wants_passes = passes < state.low.passes || state.firsts() < state.low.firsts;
        let max_chunk = self.chunk;
        let ids: Vec<i64> = if polls < state.low.polls {
            self.polls.drain(..max_chunk.min(polls_left)).collect()
        } else if polls_left == 0 && passes_left > 0 && wants_passes {
            let count = max_chunk.min(passes_left);
            self.firsts = self.firsts.saturating_sub(count);
            self.passes.drain(..count).collect()
        } else {
            return Vec::new();
        };
        self.chunk = self.max_chunk.min(self.chunk.saturating_mul(8));
        ids
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        // This look does not see streams that are added, or become due, from here on.
        let is_first = self.looked.is_none();
        self.looked = Some(Instant::now());
        let known = self.polls.len() + self.passes.len();
        let due = match self.shared.first_look() {
            Some(due) => due,
            None => claims::list_due(&self.shared.context.pool, self.shared.run, S::TABLES.service, self.selection).await?,
        };
        self.shared.progress.add_streams((due.polls.len() + due.passes.len()).saturating_sub(known));
        if !is_first {
            log::debug!(polls = due.polls.len(), passes = due.passes.len(); "looked for newly due streams");
        }
        (self.polls, self.passes, self.firsts) = (due.polls.into(), due.passes.into(), due.firsts);
        self.others = due.held;
        let mut report = self.shared.report();
        report.saw_pause |= due.paused;
        report.saw_refused |= due.refused;
        drop(report);
        self.shared.isolated.put(due.apart);
        Ok(())
    }

    /// Claims streams and queues them.
    async fn claim(&mut self, ids: &[i64]) -> anyhow::Result<()> {
        let Self { shared, selection, .. } = self;
        // A lease of this run may have lapsed if it is slow or was suspended: do not claim streams that it is still working on.
        let ids: Vec<i64> = ids.iter().copied().filter(|id| !shared.held().contains(id)).collect();
        let pool = &shared.context.pool;
        let lease = shared.context.settings.engine.lease.as_secs_f64();
        let claim = Claim { run: shared.run, lease, ids: &ids, force: selection.force, settings: &shared.pass_settings };
        let rows = if shared.dry_run { claims::preview(pool, &claim).await? } else { claims::claim(pool, &claim).await? };
        let missed = ids.len() - rows.len();
        let tasks: Vec<Box<Task>> = rows.into_iter().map(|row| Task::of(&shared.source, row)).collect();
        if !shared.dry_run {
            shared.held().extend(tasks.iter().map(|task| task.row.id));
            // Each poll makes at least one call.
            let mut expected: HashMap<&str, u64> = HashMap::new();
            for task in tasks.iter().filter(|task| !task.is_pass()) {
                *expected.entry(&task.row.account.project).or_default() += S::cost(&task.row.kind);
            }
            for (project, units) in expected {
                shared.meter.expect(project, units).await?;
            }
        }
        {
            let mut state = shared.queue.state();
            tasks.into_iter().for_each(|task| state.add(task));
        }
        self.missed(missed);
        while !(self.polls.is_empty() && self.passes.is_empty()) && self.threads < self.shared.threads() {
            workers::start(self.shared)?;
            self.threads += 1;
        }
        self.shared.queue.filled.notify_waiters();
        Ok(())
    }

    /// `winding_down` is the value that the decision was based on; otherwise, a wind-down that begins in between would be missed.
    async fn wait(&self, until: Option<Instant>, winding_down: bool) {
        let deadline = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.shared.queue.drained.notified() => {}
            () = self.shared.wind_down.cancelled(), if !winding_down => {}
            () = deadline => {}
        }
    }
}
