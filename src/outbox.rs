//! Delivery of outbox events to the configured targets: at least once, in order per document, from any number of hosts.
//!
//! New events become deliveries (`db::routing`). A run claims due deliveries, sends them outside of any transaction, and records the results
//! in bulk (`db::deliveries`). A killed process leaves only leases, which expire: deliveries that were sent but not recorded are sent again with
//! the same idempotency key. Independent of services and Google.

mod pace;
mod reachability;
mod sender;
mod target;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use futures_util::future::join_all;
use serde::Serialize;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{EventTypes, Outbox, Settings, Target};
use crate::db::routing::{self, Route, Waiting};
use crate::db::{Pool, deliveries};
use crate::error::{Exit, Fault};
use crate::http::address::Private;

pub use reachability::{Reached, reach};

/// Circuit of a target after repeated consecutive failures: a run sends it only one request.
const OPEN: &str = "open";
/// Maximum number of events routed per transaction.
const ROUTE_CHUNK: i64 = 5000;
/// Maximum number of events deleted per statement.
const FORGET_CHUNK: i64 = 1000;

/// The message for a target that is not called because of its address.
pub fn refused(private: Private) -> String {
    format!("{private}, where events are not sent: set outbox.allow_private=true if this is intended (n8n on localhost)")
}

/// What to deliver.
#[derive(Debug, Clone, Copy, Default)]
pub struct Order {
    /// Deliver this event again to every target subscribed to it.
    pub replay: Option<Uuid>,
    /// Retry dead deliveries too.
    pub dead: bool,
    /// Start no request after this time.
    pub max_duration: Option<Duration>,
}

/// The result of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    pub targets: Vec<TargetReport>,
    /// Number of old events deleted.
    pub forgotten: u64,
    pub elapsed_ms: u64,
}

/// The result of a run for one target, and its remaining deliveries.
#[derive(Debug, Serialize)]
pub struct TargetReport {
    pub target: String,
    pub delivered: u64,
    /// Failed attempts of this run.
    pub failed: u64,
    /// Deliveries given up, in this run or earlier.
    pub dead: i64,
    pub pending: i64,
    /// `open`: after repeated consecutive failures, a run sends the target only one request.
    pub circuit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip)]
    refused: bool,
    /// The last error of an earlier run.
    #[serde(skip)]
    last_error: Option<String>,
}

impl TargetReport {
    /// Whether events wait because the target does not answer, even if this run made no attempt.
    fn is_held_up(&self) -> bool {
        self.circuit == OPEN && self.pending > 0
    }

    /// Explains why events wait, if this run made no attempt.
    fn explain(&mut self) {
        if self.error.is_none() && self.is_held_up() {
            let last_error = self.last_error.as_deref().unwrap_or("no answer");
            self.error = Some(format!(
                "does not answer, {} events wait and none was due for a retry; last error: {last_error}",
                self.pending
            ));
        }
    }
}

impl Report {
    /// `Exit::SomeFailed` (1) if anything failed in this run, or a target with an open circuit has pending events.
    pub fn exit(&self) -> Exit {
        if self.targets.iter().any(|target| target.failed > 0 || target.refused || target.is_held_up()) {
            Exit::SomeFailed
        } else {
            Exit::Done
        }
    }

    /// The errors of all targets, on one line.
    pub fn error_message(&self) -> Option<String> {
        let wrong: Vec<String> =
            self.targets.iter().filter_map(|target| Some(format!("{}: {}", target.target, target.error.as_ref()?))).collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }
}

/// Delivers due events and deletes old ones. `types`: those of all services.
///
/// # Errors
/// Returns `Fault::usage` (exit 2) if the event to replay does not exist or matches no target. Returns database errors.
pub async fn deliver(
    pool: &Pool,
    settings: &Outbox,
    types: &[EventTypes],
    order: &Order,
    stop: &CancellationToken,
) -> anyhow::Result<Report> {
    let started = Instant::now();
    let until = order.max_duration.map(|limit| started + limit);
    prepare(pool, settings, types, order).await?;
    let mut targets = send(pool, settings, settings.timeout, until, false, stop).await?;
    let names = names(settings);
    let mut forgotten = 0;
    while !names.is_empty() && !stop.is_cancelled() && until.is_none_or(|until| Instant::now() < until) {
        let chunk = routing::forget(pool, &names, settings.keep, FORGET_CHUNK).await?;
        forgotten += chunk;
        if chunk < FORGET_CHUNK.unsigned_abs() {
            break;
        }
    }
    let client = pool.get().await?;
    for (target, waiting) in targets.iter_mut().zip(routing::waiting(&client, &names).await?) {
        (target.pending, target.dead) = (waiting.pending, waiting.dead);
        target.explain();
    }
    Ok(Report { targets, forgotten, elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX) })
}

/// The deliveries that `deliver` would find due, without changing anything.
pub async fn preview(pool: &Pool, settings: &Outbox, types: &[EventTypes], order: &Order) -> anyhow::Result<Vec<Waiting>> {
    let routes = routes(settings, types);
    let mut client = pool.get().await?;
    let tx = client.begin("beginning the preview").await?;
    renew(&tx, settings, &routes, order).await?;
    if !routes.is_empty() {
        while routing::route(&tx, &routes, ROUTE_CHUNK).await? == ROUTE_CHUNK as usize {}
    }
    let waiting = routing::waiting(&*tx, &names(settings)).await?;
    tx.rollback().await.context("rolling the preview back")?;
    Ok(waiting)
}

/// Delivers the events of a sync at its end. Takes no longer than `budget` and never fails the sync: errors are logged, and the remaining events
/// wait for the next run. Skips targets with an open circuit that were tried recently.
pub async fn deliver_after_run(pool: &Pool, settings: &Settings, types: &[EventTypes], budget: Duration) {
    let settings = &settings.outbox;
    if settings.targets.is_empty() || budget.is_zero() {
        return;
    }
    // Requests start in the first two fifths and take at most half of the budget. The rest is for recording the results.
    let (until, timeout) = (Instant::now() + budget.mul_f64(0.4), settings.timeout.min(budget / 2));
    let stop = CancellationToken::new();
    let work = async {
        prepare(pool, settings, types, &Order::default()).await?;
        send(pool, settings, timeout, Some(until), true, &stop).await
    };
    match tokio::time::timeout(budget, work).await {
        Ok(Ok(targets)) => {
            for TargetReport { target, failed, error, .. } in targets {
                if let Some(error) = error {
                    log::warn!(target = target.as_str(), failed; "events were not delivered: {error}");
                }
            }
        }
        Ok(Err(error)) => log::warn!("events were not delivered: {error:#}"),
        Err(_) => log::warn!("events were not delivered in {budget:?}; the next run continues"),
    }
}

/// Creates deliveries for new events, and makes the ordered deliveries due again.
async fn prepare(pool: &Pool, settings: &Outbox, types: &[EventTypes], order: &Order) -> anyhow::Result<()> {
    let routes = routes(settings, types);
    let mut client = pool.get().await?;
    if order.dead || order.replay.is_some() {
        let tx = client.begin("beginning a replay").await?;
        renew(&tx, settings, &routes, order).await?;
        tx.commit().await.context("committing a replay")?;
    }
    // Without targets, events stay unrouted until the first target is configured.
    while !routes.is_empty() {
        let tx = client.begin("beginning to route events").await?;
        let routed = routing::route(&tx, &routes, ROUTE_CHUNK).await?;
        tx.commit().await.context("committing routed events")?;
        if routed < ROUTE_CHUNK as usize {
            break;
        }
    }
    Ok(())
}

async fn renew(tx: &Transaction<'_>, settings: &Outbox, routes: &[Route], order: &Order) -> anyhow::Result<()> {
    if order.dead {
        routing::revive(tx, &names(settings)).await?;
    }
    if let Some(event) = order.replay {
        match routing::replay(tx, routes, event).await? {
            None => return Err(Fault::usage(format!("no event {event}; see `syncctl outbox list`")).into()),
            Some(0) => return Err(Fault::usage(format!("no target in the settings is subscribed to event {event}")).into()),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Serves all targets concurrently, so that a slow target does not delay the others.
async fn send(
    pool: &Pool,
    settings: &Outbox,
    timeout: Duration,
    until: Option<Instant>,
    in_sync: bool,
    stop: &CancellationToken,
) -> anyhow::Result<Vec<TargetReport>> {
    if settings.targets.is_empty() {
        return Ok(Vec::new());
    }
    let due_by = deliveries::now(pool).await?;
    let run = target::Run { id: Uuid::now_v7(), pool, settings, sender: OnceCell::new(), timeout, until, due_by, in_sync, stop };
    let served = join_all(settings.targets.iter().map(|target| target::serve(&run, target))).await;
    settings
        .targets
        .iter()
        .zip(served)
        .map(|(target, served)| {
            let served = served?;
            Ok(TargetReport {
                target: target.name.clone(),
                delivered: served.delivered,
                failed: served.failed,
                dead: 0,
                pending: 0,
                circuit: if served.open { OPEN } else { "closed" },
                error: served.error,
                refused: served.refused,
                last_error: served.last_error,
            })
        })
        .collect()
}

fn names(settings: &Outbox) -> Vec<&str> {
    settings.targets.iter().map(|target| target.name.as_str()).collect()
}

/// The patterns of the settings as LIKE patterns, which must agree with `config::matches`, and the opt-in types that each target does not take. By
/// pattern, so that hosts with an older version also route the types of newer ones.
fn routes(settings: &Outbox, types: &[EventTypes]) -> Vec<Route> {
    let like = |pattern: &String| {
        let escaped = pattern.replace('_', "\\_");
        escaped.strip_suffix('*').map_or(escaped.clone(), |prefix| format!("{prefix}%"))
    };
    let route = |target: &Target| Route {
        target: target.name.clone(),
        patterns: target.events.iter().map(like).collect(),
        except: types
            .iter()
            .flat_map(|types| types.opt_in.iter().copied().filter(|kind| !target.asks_for(kind, types)))
            .collect(),
    };
    settings.targets.iter().map(route).collect()
}
