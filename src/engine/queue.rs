//! Exchange between dispatcher and workers of a run: claimed streams one way, idle ones the other. Executes no statements.
//!
//! Until it ends, a claimed stream is in one of these places:
//!
//! | place | contents | taken out by |
//! |---|---|---|
//! | a lane's polls | incremental polls that are due | a worker with a free slot, when project and user have quota |
//! | a lane's first pages | the first page of a full pass of a stream without data | the same, when no poll may begin and page memory is free |
//! | a lane's deeper pages | any later page of a full pass | the same, when no first page waits |
//! | `parked` | its user or the minute lacks quota | time |
//! | under way | a request is in progress, or its response is being written | the stream itself, after a page of a pass |
//!
//! Each project has a lane. After each page, a pass goes behind all others, so that all users get the newest part of their data before any user gets a
//! second part.

mod lane;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use uuid::Uuid;

use super::meter::{For, Lack};
use super::outcome::Outcome;
use super::slice::Task;
use crate::db::runs::Progress;
use crate::db::streams::Idle;
use lane::Lanes;

/// How long idle streams wait to be closed together with others.
const CLOSE_DELAY: Duration = Duration::from_secs(1);

/// The queue of one run.
pub struct Queue {
    state: Mutex<State>,
    /// Number of idle streams that justify a statement.
    closed_together: usize,
    /// Notifies the workers that there may be work, or that no more will come.
    pub filled: Arc<Notify>,
    /// Notifies the dispatcher that a statement may be due.
    pub drained: Notify,
}

/// Contents of the queue.
#[derive(Default)]
pub struct State {
    lanes: Lanes,
    parked: BTreeMap<(Instant, u64), Box<Task>>,
    /// Distinguishes tasks that are parked until the same moment.
    number: u64,
    /// Thresholds below which the dispatcher wants to be notified.
    pub low: Low,
    /// Started and not ended.
    pub under_way: usize,
    /// Full passes in progress.
    turns: usize,
    /// Full passes in progress and waiting.
    pub passes: usize,
    /// Streams that ended without a change, to be closed together; each with its user.
    pub idle: Vec<(Idle, Uuid)>,
    idle_since: Option<Instant>,
    /// A list added new streams: they are due in this same run.
    pub brought_up: bool,
    /// A worker panicked, and its streams are lost to this run.
    pub broken: bool,
    /// No more streams will be added.
    pub is_closed: bool,
}

/// Numbers of ready polls, ready passes, and passes that wait for their first page.
#[derive(Default)]
pub struct Low {
    pub polls: usize,
    pub passes: usize,
    pub firsts: usize,
}

/// Whether a stream may begin.
pub enum Admitted<G> {
    Yes(G),
    Lacks(Lack),
    /// No page memory is free.
    Full,
}

/// What can begin.
pub enum Taken<G> {
    /// A stream, with its grant.
    Task(Box<Task>, G),
    /// Nothing until this time, or until the queue is notified.
    Nothing(Option<Instant>),
}

impl State {
    /// Whether every claimed stream has ended.
    pub fn is_quiet(&self) -> bool {
        self.under_way == 0 && self.parked.is_empty() && self.waiting() == (0, 0)
    }

    /// Numbers of polls and passes that wait for their turn.
    pub fn waiting(&self) -> (usize, usize) {
        self.lanes.waiting()
    }

    /// The same, counting only projects with quota.
    pub fn ready(&self, now: Instant) -> (usize, usize) {
        self.lanes.ready(now)
    }

    /// Number of passes without stored data that wait for their turn.
    pub fn firsts(&self) -> usize {
        self.lanes.firsts()
    }

    /// Takes out at most `max` passes that wait for their second page or a later one.
    pub fn take_deep(&mut self, max: usize) -> Vec<Outcome> {
        let mut deep = self.lanes.take_deep(max);
        // Of those that lack quota, the one with the longest wait first.
        let parked = self.parked.iter().rev().filter(|(_, task)| task.is_pass() && !task.is_first()).map(|(key, _)| *key);
        let keys: Vec<_> = parked.take(max - deep.len()).collect();
        deep.extend(keys.iter().filter_map(|key| self.parked.remove(key)).map(|task| task.outcome));
        self.passes -= deep.len();
        deep
    }

    /// Adds a claimed stream, or a pass that has completed a page.
    pub fn add(&mut self, mut task: Box<Task>) {
        if task.is_pass() {
            self.passes += usize::from(!std::mem::replace(&mut task.outcome.is_pass, true));
        }
        self.lanes.push(task);
    }

    /// Parks a stream until this time.
    fn park(&mut self, task: Box<Task>, until: Instant) {
        self.number += 1;
        self.parked.insert((until, self.number), task);
    }

    /// Takes out all streams that are not in progress; returns their outcomes so far.
    pub fn clear(&mut self) -> Vec<Outcome> {
        let parked = std::mem::take(&mut self.parked).into_values().map(|task| task.outcome);
        self.lanes.clear().into_iter().chain(parked).collect()
    }

    fn unpark(&mut self, now: Instant) {
        while let Some(first) = self.parked.first_entry().filter(|entry| entry.key().0 <= now) {
            let task = first.remove();
            self.add(task);
        }
    }

    /// Takes a poll that may begin, otherwise a page of a pass. `Err`: when one may.
    fn begin<G>(
        &mut self,
        now: Instant,
        turns: usize,
        mut admit: impl FnMut(&Task) -> Admitted<G>,
    ) -> Result<(Box<Task>, G), Option<Instant>> {
        let mut until = None;
        for what in [For::Polls, For::Passes] {
            if what == For::Passes && self.turns >= turns {
                break;
            }
            let (taken, waits) = self.lanes.take(what, now, &mut admit);
            waits.users.into_iter().for_each(|(task, until)| self.park(task, until));
            if let Some((mut task, granted)) = taken {
                task.outcome.has_turn = what == For::Passes;
                self.turns += usize::from(what == For::Passes);
                self.under_way += 1;
                return Ok((task, granted));
            }
            until = until.into_iter().chain(waits.until).min();
        }
        Err(until.into_iter().chain(self.parked.keys().next().map(|(until, _)| *until)).min())
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(closed_together: usize, filled: Arc<Notify>) -> Self {
        Self { state: Mutex::default(), closed_together, filled, drained: Notify::new() }
    }

    /// Locks the state. Must not be held across an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether closing idle streams now is worth a statement: there are many, they have waited, or nothing else is pending.
    pub fn may_close(&self, state: &State, now: Instant) -> bool {
        let have_waited = state.idle_since.is_some_and(|since| now >= since + CLOSE_DELAY);
        !state.idle.is_empty() && (state.idle.len() >= self.closed_together || have_waited || state.is_quiet())
    }

    /// Takes out the idle streams.
    pub fn take_idle(state: &mut State) -> Vec<(Idle, Uuid)> {
        state.idle_since = None;
        std::mem::take(&mut state.idle)
    }

    /// When idle streams will have waited long enough.
    pub fn close_by(state: &State) -> Option<Instant> {
        state.idle_since.map(|since| since + CLOSE_DELAY)
    }

    /// Takes a stream to begin: polls first.
    ///
    /// `turns`: maximum number of passes in progress.
    pub fn take<G>(&self, turns: usize, admit: impl FnMut(&Task) -> Admitted<G>) -> Taken<G> {
        self.take_at(Instant::now(), turns, admit)
    }

    fn take_at<G>(&self, now: Instant, turns: usize, admit: impl FnMut(&Task) -> Admitted<G>) -> Taken<G> {
        let mut state = self.state();
        state.unpark(now);
        let taken = match state.begin(now, turns, admit) {
            Ok((task, granted)) => Taken::Task(task, granted),
            Err(until) => Taken::Nothing(until),
        };
        let (polls, passes) = state.ready(now);
        if polls < state.low.polls || passes < state.low.passes || state.firsts() < state.low.firsts {
            self.drained.notify_one();
        }
        taken
    }

    /// Number of streams in each place.
    pub fn progress(&self) -> Progress {
        let state = self.state();
        let (polls_waiting, passes_waiting) = state.waiting();
        let next = state.parked.keys().next().map(|(until, _)| until.saturating_duration_since(Instant::now()));
        let next_seconds = next.map(|next| next.as_secs_f64());
        let (under_way, without_quota) = (state.under_way, state.parked.len());
        Progress { under_way, polls_waiting, passes_waiting, without_quota, next_seconds, winding_down: false }
    }

    /// Whether another page of this project waits for its turn; then a pass gives up its turn after each page.
    pub fn is_wanted(&self, project: &str) -> bool {
        self.state().lanes.has_pass(project)
    }

    /// Puts a stream back to wait for its next page, not before `until`.
    pub fn put_back(&self, mut task: Box<Task>, until: Option<Instant>) {
        let mut state = self.state();
        state.under_way -= 1;
        state.turns -= usize::from(std::mem::take(&mut task.outcome.has_turn));
        match until {
            Some(until) => state.park(task, until),
            None => state.add(task),
        }
        // A run that winds down starts nothing more.
        if state.under_way == 0 {
            self.drained.notify_one();
        }
        drop(state);
        self.filled.notify_waiters();
    }

    /// Records that a taken stream has ended; `idle`: to be closed together with others.
    pub fn ended(&self, outcome: &Outcome, idle: Option<Idle>) {
        let mut state = self.state();
        state.under_way -= 1;
        state.passes -= usize::from(outcome.is_pass);
        state.turns -= usize::from(outcome.has_turn);
        state.brought_up |= outcome.counts.streams > 0;
        let now = Instant::now();
        if let Some(idle) = idle {
            state.idle_since.get_or_insert(now);
            state.idle.push((idle, outcome.user_id));
        }
        // Its turn is free for another stream, in any thread.
        if outcome.has_turn {
            self.filled.notify_waiters();
        }
        // New streams must not wait for others to end, unless some streams wait in the queue.
        if state.under_way == 0 || self.may_close(&state, now) || (state.brought_up && state.waiting().0 == 0) {
            self.drained.notify_one();
        }
    }

    /// Closes the queue: no more streams will be added, and waiting ones are returned without being started.
    pub fn close(&self) -> Vec<Outcome> {
        let mut state = self.state();
        state.is_closed = true;
        self.filled.notify_waiters();
        state.clear()
    }
}

#[cfg(test)]
mod tests;
