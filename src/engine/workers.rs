//! Workers: each polls many streams from the queue concurrently, in its own thread. Executes no statements.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::outcome::{Outcome, PollEnd};
use super::poll::{self, Until};
use super::queue::{Queue, Taken};
use super::shared::Shared;
use super::slice::Sliced;
use super::{Source, announce};
use crate::error::Class;

/// Polls streams from the queue until it is closed.
pub async fn work<S: Source>(shared: Arc<Shared<S>>) {
    shared.workers.fetch_add(1, Ordering::Relaxed);
    let queue = &shared.queue;
    let _alive = Alive(queue);
    // Not separate tasks: one thread runs them all, and a task costs more than an entry here.
    let mut slices: FuturesUnordered<_> = FuturesUnordered::new();
    // Few at first: the size of the pages is known only after some have arrived.
    let mut places = shared.width();
    loop {
        // Before checking the queue, so that no notification is missed in between.
        let filled = queue.filled.notified();
        let mut wake = None;
        let width = places.min(shared.places());
        while slices.len() < width && !shared.wind_down.is_cancelled() && (slices.is_empty() || shared.page_memory.is_left()) {
            match queue.take(shared.turns(), |task| shared.admit(task)) {
                Taken::Task(task, granted) => {
                    let checkpoint = announce::checkpoint(task.row.id, None);
                    slices.push(announce::on(checkpoint, poll::slice(Arc::clone(&shared), task, Some(granted), Until::Others)));
                }
                Taken::Nothing(until) => {
                    wake = until;
                    break;
                }
            }
        }
        if slices.is_empty() && queue.state().is_closed {
            break;
        }
        let is_full = slices.len() >= width;
        tokio::select! {
            Some(sliced) = slices.next() => {
                places += 1;
                take_back(&shared, sliced);
            }
            () = filled, if !is_full => {}
            () = sleep_until(wake), if !is_full && wake.is_some() => {}
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    if let Some(wake) = wake {
        tokio::time::sleep_until(wake.into()).await;
    }
}

/// Takes back a slice that has ended.
pub fn take_back<S: Source>(shared: &Shared<S>, sliced: Sliced) {
    match sliced {
        Sliced::Ended(task) => ended(shared, &task.outcome),
        Sliced::Waiting(task, wait) => shared.queue.put_back(task, wait.map(|wait| Instant::now() + wait)),
    }
}

fn ended<S: Source>(shared: &Shared<S>, outcome: &Outcome) {
    shared.report().add(outcome);
    shared.progress.ended(|| shared.report().users());
    let idle = match &outcome.end {
        PollEnd::Idle(idle) => Some(idle.clone()),
        // Still held, until the run gives back what it holds: otherwise the run would claim it over and over.
        PollEnd::Failed(failure) if failure.class == Class::Settings => None,
        PollEnd::Done | PollEnd::GaveWay | PollEnd::Failed(_) | PollEnd::Off(_) => {
            shared.held().remove(&outcome.id);
            None
        }
        // Still held, until the run gives back what it holds.
        PollEnd::Interrupted | PollEnd::Paused(_) => None,
    };
    shared.queue.ended(outcome, idle);
}

/// Starts a worker in its own thread. The connections that it opens stay until the command ends, because others may use them too.
///
/// # Errors
/// Returns an error if the system cannot create a thread.
pub fn start<S: Source>(shared: &Arc<Shared<S>>) -> anyhow::Result<()> {
    let (work, done) = (work(Arc::clone(shared)), shared.context.over.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("building a runtime")?;
    let thread = std::thread::Builder::new().name("worker".into());
    thread.spawn(move || runtime.block_on(async { tokio::join!(work, done.cancelled()) })).context("starting a thread")?;
    Ok(())
}

/// Held by a worker while it works: if it panics, the dispatcher must not wait for its streams.
struct Alive<'a>(&'a Queue);

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
    async fn a_panicking_worker_is_reported_to_the_dispatcher() {
        let queue = Queue::new(1, Arc::default());
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
