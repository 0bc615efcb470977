//! Feeds claimed streams to concurrent polls and closes the idle ones together.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::poll::{self, End};
use super::shared::Shared;
use super::{Report, Source};
use crate::db::claims::{self, Selection, StreamRow};
use crate::db::streams::{self, Idle};

/// Polls everything that the selection names, until nothing is due or the run winds down.
///
/// # Errors
/// Only what ends the whole run: the database is gone.
pub async fn drain<S: Source>(shared: &Arc<Shared<S>>, selection: &Selection, report: &mut Report) -> anyhow::Result<()> {
    let engine = &shared.context.settings.engine;
    let (limit, width) = (i64::from(engine.chunk), engine.concurrency as usize);
    let mut queue: VecDeque<StreamRow> = VecDeque::new();
    // Not tasks of their own: one thread runs them all, and a task costs more than a place in here.
    let mut polls: FuturesUnordered<_> = FuturesUnordered::new();
    let mut claims = JoinSet::new();
    let mut closer = Closer::new(shared);
    let mut next_limit = limit.min(8 * i64::from(engine.concurrency));
    // Whether a claim may still find something: streams to follow, and after them first syncs, which yield.
    let (mut more, mut more_first) = (true, true);
    loop {
        let winding_down = shared.wind_down.is_cancelled();
        if winding_down {
            queue.clear();
        }
        while polls.len() < width
            && let Some(row) = queue.pop_front()
        {
            polls.push(poll::poll(Arc::clone(shared), row));
        }
        if (more || more_first) && !winding_down && claims.is_empty() && 2 * queue.len() < next_limit as usize {
            let first_syncs = !more;
            // Whatever asks for another claim from here on was not seen by this one.
            *(if first_syncs { &mut more_first } else { &mut more }) = false;
            // A small first claim, so that Google is asked while the database looks for the next, larger one.
            let asked = next_limit;
            next_limit = limit.min(4 * asked);
            claims.spawn(claim(Arc::clone(shared), asked, selection.clone(), first_syncs));
        }
        if polls.is_empty() && claims.is_empty() {
            closer.flush();
            if closer.closing.is_empty() {
                break;
            }
        }
        tokio::select! {
            Some(claimed) = claims.join_next() => {
                let (claimed, asked, first_syncs) = claimed??;
                *(if first_syncs { &mut more_first } else { &mut more }) |= claimed.len() == asked as usize;
                shared.held().extend(claimed.iter().map(|row| row.id));
                queue.extend(claimed);
            }
            Some(outcome) = polls.next() => {
                report.add(&outcome);
                // A list that brought new streams up: they are due in this very run.
                more_first |= outcome.counts.streams > 0;
                match outcome.end {
                    End::Idle(idle) => closer.push(idle, outcome.user_id),
                    End::Done | End::Failed(_) => drop(shared.held().remove(&outcome.id)),
                    // Still ours, until the run gives back what it holds.
                    End::Interrupted => {}
                }
            }
            Some(closed) = closer.closing.join_next() => {
                for user in closed?? {
                    report.lost(user);
                }
            }
            () = shared.wind_down.cancelled(), if !winding_down => {}
        }
    }
    Ok(())
}

async fn claim<S: Source>(
    shared: Arc<Shared<S>>,
    limit: i64,
    selection: Selection,
    first_syncs: bool,
) -> anyhow::Result<(Vec<StreamRow>, i64, bool)> {
    let pool = &shared.context.pool;
    let service = S::TABLES.service;
    if shared.dry_run {
        return Ok((claims::preview(pool, shared.run, service, &selection, first_syncs).await?, i64::MAX, first_syncs));
    }
    let lease = shared.context.settings.engine.lease.as_secs_f64();
    let claimed = claims::claim(pool, shared.run, service, lease, limit, &selection, first_syncs).await?;
    // Each of them makes one call at least.
    let mut expected: HashMap<&str, u64> = HashMap::new();
    for row in &claimed {
        *expected.entry(&row.account.project).or_default() += S::cost(&row.kind);
    }
    for (project, units) in expected {
        shared.meter.expect(project, units, first_syncs).await?;
    }
    Ok((claimed, limit, first_syncs))
}

/// Collects idle streams; one statement closes a chunk of them while polls go on.
struct Closer<'a, S> {
    shared: &'a Arc<Shared<S>>,
    waiting: Vec<(Idle, Uuid)>,
    /// Answers the users whose streams were not ours any more.
    closing: JoinSet<anyhow::Result<Vec<Uuid>>>,
}

impl<'a, S: Source> Closer<'a, S> {
    fn new(shared: &'a Arc<Shared<S>>) -> Self {
        Self { shared, waiting: Vec::new(), closing: JoinSet::new() }
    }

    fn push(&mut self, idle: Idle, user: Uuid) {
        self.waiting.push((idle, user));
        // Half a chunk, so that the last of them is not what the run waits for.
        if self.waiting.len() * 2 >= self.shared.context.settings.engine.chunk as usize {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.waiting.is_empty() || self.shared.dry_run {
            return;
        }
        let shared = Arc::clone(self.shared);
        let waiting = std::mem::take(&mut self.waiting);
        self.closing.spawn(async move {
            let (idle, users): (Vec<Idle>, Vec<Uuid>) = waiting.into_iter().unzip();
            let closed = streams::close_idle(&shared.context.pool, shared.run, &idle).await?;
            let mut lost: HashMap<i64, Uuid> = idle.iter().map(|stream| stream.id).zip(users).collect();
            for id in closed {
                lost.remove(&id);
                shared.held().remove(&id);
            }
            Ok(lost.into_values().collect())
        });
    }
}
