//! Dispatcher of a run: claims what is due and lays it on the queue, closes what was idle, one statement for hundreds.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::shared::Shared;
use super::{Source, apply, workers};
use crate::db::claims::{self, Claim, Selection};
use crate::db::streams::{self, Idle};

/// How often it is tried to close idle streams before that ends the run, and the pause after the first time; it grows.
const CLOSE_TRIES: u32 = 6;
const GIVE_WAY: Duration = Duration::from_millis(50);

/// Polls everything that the selection names, until nothing is due or the run winds down.
///
/// # Errors
/// Only what ends the whole run: the database is gone.
pub async fn drain<S: Source>(shared: &Arc<Shared<S>>, selection: &Selection) -> anyhow::Result<()> {
    let dispatched = async {
        let dispatched = dispatch(shared, selection).await;
        if dispatched.is_err() {
            // Polls under way end with the page in hand: what they bring cannot be recorded.
            shared.wind_down.cancel();
        }
        shared.queue.close();
        dispatched
    };
    let (dispatched, ()) = tokio::join!(dispatched, workers::work(Arc::clone(shared)));
    dispatched
}

/// What is to be done next.
enum Next {
    List,
    Claim,
    Close(Vec<(Idle, Uuid)>),
    Wait,
    End,
}

/// One statement after the other: a second connection costs the server more than the wait costs the run.
async fn dispatch<S: Source>(shared: &Arc<Shared<S>>, selection: &Selection) -> anyhow::Result<()> {
    let engine = &shared.context.settings.engine;
    let queue = &shared.queue;
    let most = if shared.dry_run { usize::MAX } else { engine.chunk as usize };
    // A small first claim, so that Google is asked while the database makes the next, larger one.
    let mut chunk = most.min(2 * engine.concurrency as usize);
    let mut due: VecDeque<i64> = VecDeque::new();
    let (mut listed, mut threads) = (false, 1);
    loop {
        let winding_down = shared.wind_down.is_cancelled();
        let next = {
            let mut state = queue.state();
            anyhow::ensure!(!state.broken, "a worker panicked; what it said stands above");
            if winding_down {
                state.waiting.clear();
                due.clear();
            }
            // A dry run takes back what it brings up: a second look would find the first one's streams.
            listed &= !std::mem::take(&mut state.brought_up) || shared.dry_run;
            let may_claim = !winding_down && (!listed || !due.is_empty());
            state.low = if may_claim { chunk / 2 } else { 0 };
            if may_claim && (state.waiting.len() < state.low || state.is_quiet()) {
                if due.is_empty() { Next::List } else { Next::Claim }
            } else if !shared.dry_run && queue.may_close(&state) {
                Next::Close(std::mem::take(&mut state.idle))
            } else if state.is_quiet() {
                Next::End
            } else {
                Next::Wait
            }
        };
        match next {
            Next::List => {
                // What is brought up from here on was not seen by this look.
                listed = true;
                due.extend(claims::list_due(&shared.context.pool, shared.run, S::TABLES.service, selection).await?);
                shared.progress.found(due.len());
            }
            Next::Claim => {
                let ids: Vec<i64> = due.drain(..chunk.min(due.len())).collect();
                claim(shared, &ids, selection.force).await?;
                chunk = most.min(chunk.saturating_mul(8));
                while !due.is_empty() && threads < shared.threads() {
                    workers::start(shared)?;
                    threads += 1;
                }
                queue.filled.notify_waiters();
            }
            Next::Close(idle) => close(shared, idle).await?,
            Next::Wait => tokio::select! {
                () = queue.drained.notified() => {}
                () = shared.wind_down.cancelled(), if !winding_down => {}
            },
            Next::End => return Ok(()),
        }
    }
}

/// Claims streams and queues them.
async fn claim<S: Source>(shared: &Shared<S>, ids: &[i64], force: bool) -> anyhow::Result<()> {
    let pool = &shared.context.pool;
    let lease = shared.context.settings.engine.lease.as_secs_f64();
    let claim = Claim { run: shared.run, service: S::TABLES.service, lease, ids, force };
    if shared.dry_run {
        let rows = claims::preview(pool, &claim).await?;
        shared.queue.state().waiting.extend(rows);
        return Ok(());
    }
    let rows = claims::claim(pool, &claim).await?;
    shared.held().extend(rows.iter().map(|row| row.id));
    // Each of them makes one call at least.
    let mut expected: HashMap<(&str, bool), u64> = HashMap::new();
    for row in &rows {
        *expected.entry((&row.account.project, row.position.cursor.is_none())).or_default() += S::cost(&row.kind);
    }
    for ((project, first_syncs), units) in expected {
        shared.meter.expect(project, units, first_syncs).await?;
    }
    shared.queue.state().waiting.extend(rows);
    Ok(())
}

/// Closes idle streams with one statement. Where others write many streams at the same time, as the intake of notifications does, PostgreSQL
/// may have given it up for them.
async fn close<S: Source>(shared: &Shared<S>, idle: Vec<(Idle, Uuid)>) -> anyhow::Result<()> {
    let (idle, users): (Vec<Idle>, Vec<Uuid>) = idle.into_iter().unzip();
    let mut tries = 1;
    let closed = loop {
        match streams::close_idle(&shared.context.pool, shared.run, &idle).await {
            Err(error) if tries < CLOSE_TRIES && apply::was_sacrificed(&error) => {
                log::info!("closing idle streams again: {error:#}");
                // Those for whom it was given up must come to what they wait for.
                tokio::time::sleep(GIVE_WAY * tries).await;
                tries += 1;
            }
            closed => break closed?,
        }
    };
    let mut lost: HashMap<i64, Uuid> = idle.iter().map(|stream| stream.id).zip(users).collect();
    for id in closed {
        lost.remove(&id);
        shared.held().remove(&id);
    }
    let mut report = shared.report();
    lost.into_values().for_each(|user| report.lost(user));
    Ok(())
}
