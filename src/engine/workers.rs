//! Workers: each polls streams from the queue, many at once, in a thread of its own. Knows no statement.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::Source;
use super::poll::{self, End};
use super::queue::Alive;
use super::shared::Shared;

/// Polls what comes to the queue until nothing will come any more.
pub async fn work<S: Source>(shared: Arc<Shared<S>>) {
    shared.workers.fetch_add(1, Ordering::Relaxed);
    let queue = &shared.queue;
    let _alive = Alive(queue);
    // Not tasks of their own: one thread runs them all, and a task costs more than a place in here.
    let mut polls: FuturesUnordered<_> = FuturesUnordered::new();
    loop {
        // Before the look at the queue, so that nothing is missed in between.
        let filled = queue.filled.notified();
        let width = shared.width();
        while polls.len() < width
            && !shared.wind_down.is_cancelled()
            && let Some(row) = queue.take()
        {
            polls.push(poll::poll(Arc::clone(&shared), row));
        }
        if polls.is_empty() && queue.state().over {
            break;
        }
        let full = polls.len() >= width;
        tokio::select! {
            Some(outcome) = polls.next() => {
                shared.report().add(&outcome);
                shared.progress.ended(|| shared.report().users());
                let idle = match outcome.end {
                    End::Idle(idle) => Some(idle),
                    End::Done | End::Failed(_) | End::Off(_) => {
                        shared.held().remove(&outcome.id);
                        None
                    }
                    // Still ours, until the run gives back what it holds.
                    End::Interrupted => None,
                };
                queue.ended(outcome.user_id, idle, outcome.counts.streams > 0);
            }
            () = filled, if !full => {}
        }
    }
}

/// Starts a worker in a thread of its own. The connections that it opens are there until the command is over, because others may use them too.
///
/// # Errors
/// The system gives no thread.
pub fn start<S: Source>(shared: &Arc<Shared<S>>) -> anyhow::Result<()> {
    let (work, over) = (work(Arc::clone(shared)), shared.context.over.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("building a runtime")?;
    let thread = std::thread::Builder::new().name("worker".into());
    thread.spawn(move || runtime.block_on(async { tokio::join!(work, over.cancelled()) })).context("starting a thread")?;
    Ok(())
}
