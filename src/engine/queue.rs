//! What dispatcher and workers of a run hand each other: claimed streams one way, idle ones the other. Knows no statement.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::db::claims::StreamRow;
use crate::db::streams::Idle;

/// The queue of one run.
pub struct Queue {
    state: Mutex<State>,
    /// Idle streams that are worth a statement.
    closed_together: usize,
    /// Tells the workers that rows have come, or that none will come any more.
    pub filled: Notify,
    /// Tells the dispatcher that there may be a statement to make.
    pub drained: Notify,
}

/// What is in the queue.
#[derive(Default)]
pub struct State {
    /// Claimed, and not begun.
    pub waiting: VecDeque<StreamRow>,
    /// The dispatcher wants to know when fewer than these wait.
    pub low: usize,
    /// Begun, and not ended.
    pub under_way: usize,
    /// Ended without a change, to be closed together; each with its user.
    pub idle: Vec<(Idle, Uuid)>,
    /// A list brought new streams up: they are due in this very run.
    pub brought_up: bool,
    /// A worker died of a panic, and its streams with it.
    pub broken: bool,
    /// No rows will come any more.
    pub over: bool,
}

impl State {
    /// Whether every stream that was claimed has ended.
    pub fn is_quiet(&self) -> bool {
        self.under_way == 0 && self.waiting.is_empty()
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(closed_together: usize) -> Self {
        Self { state: Mutex::default(), closed_together, filled: Notify::new(), drained: Notify::new() }
    }

    /// What is in it now. Not to be held over an await.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a statement that closes idle streams is worth its cost: there are many, or nothing else is to be waited for.
    pub fn may_close(&self, state: &State) -> bool {
        !state.idle.is_empty() && (state.idle.len() >= self.closed_together || state.is_quiet())
    }

    /// A stream to begin with.
    pub fn take(&self) -> Option<StreamRow> {
        let mut state = self.state();
        let row = state.waiting.pop_front()?;
        state.under_way += 1;
        if state.waiting.len() + 1 == state.low {
            self.drained.notify_one();
        }
        Some(row)
    }

    /// A stream of this user that was taken has ended; `idle`: to be closed with others.
    pub fn ended(&self, user: Uuid, idle: Option<Idle>, brought_up: bool) {
        let mut state = self.state();
        state.under_way -= 1;
        state.brought_up |= brought_up;
        state.idle.extend(idle.map(|idle| (idle, user)));
        // Streams that were brought up must not wait for others to end; while some wait in the queue there is no need to look.
        if state.is_quiet() || self.may_close(&state) || (state.brought_up && state.waiting.is_empty()) {
            self.drained.notify_one();
        }
    }

    /// No rows will come any more; those that wait are not begun.
    pub fn close(&self) {
        let mut state = self.state();
        state.waiting.clear();
        state.over = true;
        self.filled.notify_waiters();
    }
}

/// Held by a worker while it works: if it panics, the dispatcher must not wait for its streams.
pub struct Alive<'a>(pub &'a Queue);

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.state().broken = true;
            self.0.drained.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_worker_that_panics_is_told_to_the_dispatcher() {
        let queue = Queue::new(1);
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| {
                let _alive = Alive(&queue);
                std::panic::resume_unwind(Box::new("a panic"));
            });
            worker.join().expect_err("it panicked");
        });
        queue.drained.notified().await;
        assert!(queue.state().broken);
    }
}
