//! Delivery of outbox events to the targets in the settings: at least once, in order for each document, by any number of hosts.
//!
//! New events become deliveries (`db::routing`); a run claims those that are due, sends them outside of any transaction, and records the results
//! in bulk (`db::deliveries`). A process killed anywhere leaves only leases, which lapse: what it had sent and not recorded is sent again, with
//! the same idempotency key. Knows no service and no Google.

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

use crate::config::{Outbox, Settings};
use crate::db::routing::{self, Route, Waiting};
use crate::db::{Pool, deliveries};
use crate::error::{Exit, Fault};
use crate::http::address::Private;

pub use reachability::{Reached, reach};

/// The circuit of a target that failed so often in a row that a run sends it one request only.
const OPEN: &str = "open";
/// Events routed in one transaction.
const ROUTE_CHUNK: i64 = 5000;
/// Events forgotten by one statement.
const FORGET_CHUNK: i64 = 1000;

/// What to say of a target that is not called because of where it is.
pub fn refused(private: Private) -> String {
    format!("{private}, where events are not sent: set outbox.allow_private=true if that is where it belongs (n8n on localhost)")
}

/// What to deliver.
#[derive(Debug, Clone, Copy, Default)]
pub struct Order {
    /// This event again, to every target that wants it.
    pub replay: Option<Uuid>,
    /// Dead deliveries too.
    pub dead: bool,
    /// Begin no request after this long.
    pub max_duration: Option<Duration>,
}

/// What a run did.
#[derive(Debug, Serialize)]
pub struct Report {
    pub targets: Vec<TargetReport>,
    /// Old events that were forgotten.
    pub forgotten: u64,
    pub elapsed_ms: u64,
}

/// What a run did for one target, and what is left.
#[derive(Debug, Serialize)]
pub struct TargetReport {
    pub target: String,
    pub delivered: u64,
    /// Tries of this run that failed.
    pub failed: u64,
    /// Deliveries that are given up, of this run or earlier.
    pub dead: i64,
    pub pending: i64,
    /// `open`: the target failed so often in a row that a run sends it one request only.
    pub circuit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(skip)]
    refused: bool,
    /// What it answered last, in an earlier run.
    #[serde(skip)]
    answered: Option<String>,
}

impl TargetReport {
    /// Events wait because it does not answer, whether this run tried one or not.
    fn is_held_up(&self) -> bool {
        self.circuit == OPEN && self.pending > 0
    }

    /// Says why nothing went out, where no try of this run does.
    fn explain(&mut self) {
        if self.error.is_none() && self.is_held_up() {
            let answered = self.answered.as_deref().unwrap_or("no answer");
            self.error = Some(format!(
                "does not answer, {} events wait and none was due for another try; the last one: {answered}",
                self.pending
            ));
        }
    }
}

impl Report {
    /// 1 if anything failed in this run, or a target whose circuit is open has events waiting.
    pub fn exit(&self) -> Exit {
        match self.targets.iter().any(|target| target.failed > 0 || target.refused || target.is_held_up()) {
            true => Exit::SomeFailed,
            false => Exit::Done,
        }
    }

    /// What went wrong, in one line.
    pub fn error_message(&self) -> Option<String> {
        let wrong: Vec<String> =
            self.targets.iter().filter_map(|target| Some(format!("{}: {}", target.target, target.error.as_ref()?))).collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }
}

/// Delivers what is due, and forgets what is old.
///
/// # Errors
/// An event to replay that does not exist or that nobody wants (exit 2); the database.
pub async fn deliver(pool: &Pool, settings: &Outbox, order: &Order, stop: &CancellationToken) -> anyhow::Result<Report> {
    let started = Instant::now();
    let until = order.max_duration.map(|limit| started + limit);
    prepare(pool, settings, order).await?;
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

/// What `deliver` would find due, without changing anything.
pub async fn preview(pool: &Pool, settings: &Outbox, order: &Order) -> anyhow::Result<Vec<Waiting>> {
    let routes = routes(settings);
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

/// Delivers what a sync has just written, at its end. Never fails it, and takes no longer than `budget`: problems are logged, and what is left
/// waits for the next run. Targets that do not answer are left alone.
pub async fn deliver_after_run(pool: &Pool, settings: &Settings, budget: Duration) {
    let settings = &settings.outbox;
    if settings.targets.is_empty() || budget.is_zero() {
        return;
    }
    // Requests begin in the first two fifths and take half of it at most; the rest is for the results.
    let (until, timeout) = (Instant::now() + budget.mul_f64(0.4), settings.timeout.min(budget / 2));
    let stop = CancellationToken::new();
    let work = async {
        prepare(pool, settings, &Order::default()).await?;
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
        Err(_) => log::warn!("events were not delivered in {budget:?}; the next run carries on"),
    }
}

/// Makes deliveries of new events, and due again what is ordered.
async fn prepare(pool: &Pool, settings: &Outbox, order: &Order) -> anyhow::Result<()> {
    let routes = routes(settings);
    let mut client = pool.get().await?;
    if order.dead || order.replay.is_some() {
        let tx = client.begin("beginning a replay").await?;
        renew(&tx, settings, &routes, order).await?;
        tx.commit().await.context("committing a replay")?;
    }
    // Without targets events stay new: whoever is set first gets them.
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
            Some(0) => return Err(Fault::usage(format!("no target in the settings wants event {event}")).into()),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Serves all targets side by side: a slow one holds up nobody else.
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
                answered: served.answered,
            })
        })
        .collect()
}

fn names(settings: &Outbox) -> Vec<&str> {
    settings.targets.iter().map(|target| target.name.as_str()).collect()
}

/// Whether a pattern of the settings wants events of this type, as `routes` has the database decide it.
pub fn matches(pattern: &str, kind: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == kind, |beginning| kind.starts_with(beginning))
}

/// The patterns of the settings as LIKE has them.
fn routes(settings: &Outbox) -> Vec<Route> {
    let like = |pattern: &String| {
        let escaped = pattern.replace('_', "\\_");
        escaped.strip_suffix('*').map_or(escaped.clone(), |beginning| format!("{beginning}%"))
    };
    settings
        .targets
        .iter()
        .map(|target| Route { target: target.name.clone(), patterns: target.events.iter().map(like).collect() })
        .collect()
}
