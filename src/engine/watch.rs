//! Watches over a run while it works: says that it lives, winds it down when its time is over or another run has its job, and lets no statement
//! hold it up then.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Source;
use super::shared::Shared;
use crate::db::Pool;
use crate::db::runs::{self, Progress};

/// So long after a run was told to wind down the last answers have come and are written: a statement that is still under way waits for somebody
/// else. And for how long its last statements may do so.
pub const WORK: Duration = Duration::from_secs(10);
pub const CLOSING: Duration = Duration::from_secs(5);

/// Keeps the run alive in the tables, and winds it down when its time is over. `exclusive`: or when it has lost the lock of its job.
pub async fn supervise<S: Source>(shared: Arc<Shared<S>>, max_duration: Option<Duration>, exclusive: bool) {
    let time = async {
        if let Some(limit) = max_duration {
            tokio::time::sleep(limit).await;
            log::info!("max_duration reached, winding down");
            shared.wind_down.cancel();
        }
    };
    // Side by side: a heartbeat that waits for the database must not hold up the end.
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
            // It was suspended, or cut off, for longer than its lease. What no lease of a stream fences is the other's to do.
            Ok(false) if exclusive && !wind_down.is_cancelled() => {
                shared.lose_job();
            }
            Ok(_) => {}
            // No verdict on the run: if this goes on, the leases lapse and the fence keeps others' work whole.
            Err(error) => log::warn!("heartbeat not written: {error:#}"),
        }
    }
}

/// Does `work` to its end. Once the run winds down, its statements get so much time: then they are cancelled, again and again until it has ended.
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
