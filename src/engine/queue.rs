//! What dispatcher and workers of a run hand each other: claimed streams one way, idle ones the other. Knows no statement.
//!
//! A stream that was claimed is in one of these places until it has ended:
//!
//! | place | what is there | who takes it out |
//! |---|---|---|
//! | a lane's polls | follows a cursor and is due | a worker with a place free, when project and user have quota |
//! | a lane's first pages | has nothing yet: the first page of a full pass | the same, when no poll may begin and a page has room |
//! | a lane's deeper pages | any later page of a full pass | the same, when no first page waits |
//! | `parked` | its user or the minute lacks quota | the time |
//! | under way | a request is, or the answer is written | itself, after a page of a pass |
//!
//! Each project has a lane. A pass goes behind all others after each page, so that the newest part of everybody comes before the second part of anybody.

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

/// How long idle streams wait for others to be closed with them.
const TOGETHER: Duration = Duration::from_secs(1);

/// The queue of one run.
pub struct Queue {
    state: Mutex<State>,
    /// Idle streams that are worth a statement.
    closed_together: usize,
    /// Tells the workers that there may be something to begin, or that nothing will come any more.
    pub filled: Arc<Notify>,
    /// Tells the dispatcher that there may be a statement to make.
    pub drained: Notify,
}

/// What is in the queue.
#[derive(Default)]
pub struct State {
    lanes: Lanes,
    parked: BTreeMap<(Instant, u64), Box<Task>>,
    /// Tells those apart that are parked until the same moment.
    number: u64,
    /// The dispatcher wants to know when there are fewer.
    pub low: Low,
    /// Begun, and not ended.
    pub under_way: usize,
    /// Full passes among them.
    turns: usize,
    /// Full passes among them and among those that wait.
    pub passes: usize,
    /// Ended without a change, to be closed together; each with its user.
    pub idle: Vec<(Idle, Uuid)>,
    idle_since: Option<Instant>,
    /// A list brought new streams up: they are due in this very run.
    pub brought_up: bool,
    /// A worker died of a panic, and its streams with it.
    pub broken: bool,
    /// No rows will come any more.
    pub over: bool,
}

/// Polls and passes that are ready, and passes that wait for their first page.
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
    /// The pages in hand leave no room for another.
    Full,
}

/// What there is to begin with.
pub enum Taken<G> {
    /// A stream, with what it was granted.
    Task(Box<Task>, G),
    /// Nothing until then, or until the queue says so.
    Nothing(Option<Instant>),
}

impl State {
    /// Whether every stream that was claimed has ended.
    pub fn is_quiet(&self) -> bool {
        self.under_way == 0 && self.parked.is_empty() && self.waiting() == (0, 0)
    }

    /// Polls, and passes, that wait for their turn.
    pub fn waiting(&self) -> (usize, usize) {
        self.lanes.waiting()
    }

    /// Those of them whose project has quota.
    pub fn ready(&self, now: Instant) -> (usize, usize) {
        self.lanes.ready(now)
    }

    /// Passes of which nothing is stored that wait for their turn.
    pub fn firsts(&self) -> usize {
        self.lanes.firsts()
    }

    /// Takes out at most so many passes that wait for their second page or a later one.
    pub fn take_deep(&mut self, most: usize) -> Vec<Outcome> {
        let mut deep = self.lanes.take_deep(most);
        // Of those that lack quota, who waits longest.
        let parked = self.parked.iter().rev().filter(|(_, task)| task.is_pass() && !task.is_first()).map(|(key, _)| *key);
        let keys: Vec<_> = parked.take(most - deep.len()).collect();
        deep.extend(keys.iter().filter_map(|key| self.parked.remove(key)).map(|task| task.outcome));
        self.passes -= deep.len();
        deep
    }

    /// Adds streams that were claimed, or a pass that has come a page further.
    pub fn add(&mut self, mut task: Box<Task>) {
        if task.is_pass() {
            self.passes += usize::from(!std::mem::replace(&mut task.outcome.is_pass, true));
        }
        self.lanes.push(task);
    }

    /// Leaves a stream alone until then.
    fn park(&mut self, task: Box<Task>, until: Instant) {
        self.number += 1;
        self.parked.insert((until, self.number), task);
    }

    /// Takes out all streams that are not under way; answers how far they have come.
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

    /// A poll that may begin, else a page of a pass. `Err`: when one may.
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

    /// What is in it now. Not to be held over an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a statement that closes idle streams is worth its cost: there are many, they have waited, or nothing else is to be waited for.
    pub fn may_close(&self, state: &State, now: Instant) -> bool {
        let have_waited = state.idle_since.is_some_and(|since| now >= since + TOGETHER);
        !state.idle.is_empty() && (state.idle.len() >= self.closed_together || have_waited || state.is_quiet())
    }

    /// Takes the idle streams out.
    pub fn take_idle(state: &mut State) -> Vec<(Idle, Uuid)> {
        state.idle_since = None;
        std::mem::take(&mut state.idle)
    }

    /// When idle streams will have waited.
    pub fn close_by(state: &State) -> Option<Instant> {
        state.idle_since.map(|since| since + TOGETHER)
    }

    /// A stream to begin with: polls first.
    ///
    /// `turns`: the most passes that may be under way.
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

    /// Where the streams are.
    pub fn progress(&self) -> Progress {
        let state = self.state();
        let (polls_waiting, passes_waiting) = state.waiting();
        let next = state.parked.keys().next().map(|(until, _)| until.saturating_duration_since(Instant::now()));
        let next_seconds = next.map(|next| next.as_secs_f64());
        let (under_way, without_quota) = (state.under_way, state.parked.len());
        Progress { under_way, polls_waiting, passes_waiting, without_quota, next_seconds, winding_down: false }
    }

    /// Whether another page of this project is waiting for its turn: then nobody goes on.
    pub fn is_wanted(&self, project: &str) -> bool {
        self.state().lanes.has_pass(project)
    }

    /// A stream that was taken waits for its next page, not before `until`.
    pub fn put_back(&self, mut task: Box<Task>, until: Option<Instant>) {
        let mut state = self.state();
        state.under_way -= 1;
        state.turns -= usize::from(std::mem::take(&mut task.outcome.has_turn));
        match until {
            Some(until) => state.park(task, until),
            None => state.add(task),
        }
        // A run that winds down begins nothing any more.
        if state.under_way == 0 {
            self.drained.notify_one();
        }
        drop(state);
        self.filled.notify_waiters();
    }

    /// A stream that was taken has ended; `idle`: to be closed with others.
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
        // Its turn is free for another one, in whichever thread.
        if outcome.has_turn {
            self.filled.notify_waiters();
        }
        // Streams that were brought up must not wait for others to end, unless some wait in the queue.
        if state.under_way == 0 || self.may_close(&state, now) || (state.brought_up && state.waiting().0 == 0) {
            self.drained.notify_one();
        }
    }

    /// No rows will come any more; those that wait are not begun, and answered.
    pub fn close(&self) -> Vec<Outcome> {
        let mut state = self.state();
        state.over = true;
        self.filled.notify_waiters();
        state.clear()
    }
}

#[cfg(test)]
mod tests;
