//! Supervises a run: keeps it marked as alive, winds it down when its time is up or another run has its job, and cancels statements that would then hold it
//! up.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Source;
use super::shared::Shared;
use crate::db::Pool;
use crate::db::runs::{self, Progress};

/// After a run was asked to wind down, its last responses arrive and are written within this time; a statement that is still running is blocked by another
/// session. The second is the time for its closing statements.
pub const WORK: Duration = Duration::from_secs(10);
pub const CLOSING: Duration = Duration::from_secs(5);

/// Keeps the run alive in the tables, and winds it down when its time is up or, if `exclusive`, when it has lost the lock of its job.
pub async fn supervise<S: Source>(shared: Arc<Shared<S>>, max_duration: Option<Duration>, exclusive: bool) {
    let time = async {
        if let Some(limit) = max_duration {
            tokio::time::sleep(limit).await;
            log::info!("max_duration reached; winding down");
            shared.wind_down.cancel();
        }
    };
    // Concurrently: a heartbeat that waits for the database must not delay the end.
    tokio::join!(time, beat(&shared, exclusive));
}

async fn beat<S: Source>(shared: &Shared<S>, exclusive: bool) {
    let Shared { context, run, wind_down, dry_run, .. } = shared;
    if *dry_run {
        return;
    }
    let lease = context.settings.engine.lease;
    let mut beats = tokio::time::interval(lease / 3);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beats.tick().await;
    loop {
        beats.tick().await;
        let held: Vec<i64> = shared.held().iter().copied().collect();
        let progress = Progress { winding_down: wind_down.is_cancelled(), ..shared.queue.progress() };
        match runs::heartbeat(&context.pool, *run, lease.as_secs_f64(), &held, &progress).await {
            // The run was suspended, or disconnected, for longer than its lease. Work that no stream lease fences is now the other run's.
            Ok(false) if exclusive && !wind_down.is_cancelled() => {
                shared.lose_job();
            }
            Ok(_) => {}
            // Not fatal: if this persists, the leases lapse and the fence protects the work of others.
            Err(error) => log::warn!("could not write the heartbeat: {error:#}"),
        }
    }
}

/// Does `work` to its end. Once the run winds down, its statements get this much time and are then cancelled, repeatedly until it has ended.
pub async fn in_time<T>(pool: &Pool, wind_down: &CancellationToken, patience: Duration, work: impl Future<Output = T>) -> T {
    tokio::select! {
        done = work => done,
        never = cancel_late(pool, wind_down, patience) => match never {},
    }
}

async fn cancel_late(pool: &Pool, wind_down: &CancellationToken, patience: Duration) -> Infallible {
    wind_down.cancelled().await;
    loop {
        tokio::time::sleep(patience).await;
        pool.cancel().await;
    }
}
