//! Serves one target in one run: claims, requests, results. No transaction is open during requests.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use super::pace::{self, Circuit};
use super::sender::{Outcome, Sender};
use crate::config::{Outbox, Target};
use crate::db::Pool;
use crate::db::deliveries::{self, Claim, Delivery, Failed};
use crate::http::address::Private;

/// Maximum number of deliveries claimed by one statement.
const CHUNK: i64 = 500;
/// Number of unwritten results that triggers a write.
const FLUSH_AT: usize = 250;
/// Maximum time between writes of results.
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How long a claim outlasts its last request, for writing the results.
const LEASE_SPARE: Duration = Duration::from_secs(20);
/// How long syncs skip a target after its circuit has opened.
const REST: Duration = Duration::from_secs(60);

/// Shared state of all targets in a run.
pub struct Run<'a> {
    pub id: Uuid,
    pub pool: &'a Pool,
    pub settings: &'a Outbox,
    /// Created for the first event to send, so that a run without events loads no certificates.
    pub sender: OnceCell<Sender>,
    /// Timeout of one request.
    pub timeout: Duration,
    /// No request starts after this time.
    pub until: Option<Instant>,
    /// Deliveries that become due later are left to the next run.
    pub due_by: DateTime<Utc>,
    /// Whether this is the end of a sync, as opposed to a `deliver` run.
    pub in_sync: bool,
    pub stop: &'a CancellationToken,
}

/// The result of a run for one target.
#[derive(Debug, Default)]
pub struct Served {
    pub delivered: u64,
    pub failed: u64,
    pub open: bool,
    /// The last failure, or the reason why the target is not called.
    pub error: Option<String>,
    pub refused: bool,
    /// The last failure of an earlier run.
    pub last_error: Option<String>,
}

impl Run<'_> {
    fn winds_down(&self) -> bool {
        self.stop.is_cancelled() || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Delivers to one target until nothing is due, the time is up, or the target does not answer.
pub async fn serve(run: &Run<'_>, target: &Target) -> anyhow::Result<Served> {
    let stored = deliveries::circuit(run.pool, &target.name).await?;
    let circuit = Circuit::after(stored.failures);
    let mut served = Served { open: circuit.is_open(), last_error: stored.last_error, ..Served::default() };
    if run.in_sync && stored.resting {
        return Ok(served);
    }
    let url = Url::parse(&target.url).context("parsing the url of a target")?;
    let lease = run.timeout.saturating_mul(2).saturating_add(LEASE_SPARE);
    while !run.winds_down() {
        let claim = Claim {
            run: run.id,
            target: &target.name,
            lease: lease.as_secs_f64(),
            due_by: run.due_by,
            most: if circuit.is_open() { 1 } else { CHUNK },
        };
        // Taken before the statement, so that the lease never expires earlier than assumed.
        let claimed_at = Moment::now();
        let claimed = deliveries::claim(run.pool, &claim).await?;
        if claimed.is_empty() {
            break;
        }
        let chunk = Chunk {
            run,
            target,
            url: &url,
            circuit: &circuit,
            refused: Cell::new(None),
            claimed_at,
            good_for: lease - run.timeout,
        };
        chunk.send(claimed, &mut served).await?;
        served.open = circuit.is_open();
        if served.open || served.refused {
            break;
        }
    }
    Ok(served)
}

/// Claimed deliveries being sent.
struct Chunk<'a> {
    run: &'a Run<'a>,
    target: &'a Target,
    url: &'a Url,
    circuit: &'a Circuit,
    refused: Cell<Option<Private>>,
    claimed_at: Moment,
    /// A request that starts later than this could outlast the lease.
    good_for: Duration,
}

/// A point in time on both clocks: the monotonic one stops while the machine is suspended, the system clock can be set.
struct Moment(Instant, SystemTime);

impl Moment {
    fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    /// Elapsed time by the clock that shows more.
    fn elapsed(&self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

/// Results not yet written.
#[derive(Default)]
struct Results {
    delivered: Vec<Uuid>,
    statuses: Vec<i32>,
    failed: Vec<Failed>,
    unsent: Vec<Uuid>,
}

impl Chunk<'_> {
    async fn send(&self, claimed: Vec<Delivery>, served: &mut Served) -> anyhow::Result<()> {
        let sender = self.run.sender.get_or_try_init(async || Sender::new(self.run.settings, self.run.timeout)).await?;
        let probing = self.circuit.is_open();
        let answers = stream::iter(claimed)
            .map(|delivery| async move {
                let outcome = if self.may_begin(probing) {
                    Some(sender.post(self.target, self.url, &delivery, Utc::now()).await)
                } else {
                    None
                };
                self.note(outcome.as_ref());
                (delivery, outcome)
            })
            .buffer_unordered(self.run.settings.concurrency as usize);
        let mut answers = std::pin::pin!(answers);
        let mut results = Results::default();
        let mut flush_at = tokio::time::Instant::now() + FLUSH_AFTER;
        loop {
            match tokio::time::timeout_at(flush_at, answers.next()).await {
                Ok(Some((delivery, outcome))) => self.sort(&delivery, outcome, &mut results, served),
                Ok(None) => break,
                Err(_) => flush_at += FLUSH_AFTER,
            }
            if results.len() >= FLUSH_AT || tokio::time::Instant::now() >= flush_at {
                self.write(&mut results).await?;
                flush_at = tokio::time::Instant::now() + FLUSH_AFTER;
            }
        }
        self.write(&mut results).await
    }

    fn may_begin(&self, probing: bool) -> bool {
        let closed = probing || !self.circuit.is_open();
        closed && self.refused.get().is_none() && !self.run.winds_down() && self.claimed_at.elapsed() < self.good_for
    }

    /// Updates the circuit before the next request starts.
    fn note(&self, outcome: Option<&Outcome>) {
        match outcome {
            Some(Outcome::Delivered { .. }) => self.circuit.note(true),
            Some(Outcome::Failed { .. }) => self.circuit.note(false),
            Some(Outcome::Refused(private)) => self.refused.set(Some(*private)),
            None => {}
        }
    }

    fn sort(&self, delivery: &Delivery, outcome: Option<Outcome>, results: &mut Results, served: &mut Served) {
        match outcome {
            Some(Outcome::Delivered { status }) => {
                served.delivered += 1;
                results.delivered.push(delivery.event);
                results.statuses.push(status.into());
            }
            Some(Outcome::Failed { status, error, retry_after }) => {
                log::debug!(target = self.target.name.as_str(), event = delivery.event.to_string().as_str(); "not delivered: {error}");
                served.failed += 1;
                served.error = Some(error.clone());
                let wait = pace::wait(self.run.settings, delivery.attempts, retry_after, rand::random());
                let status = status.map(i32::from);
                results.failed.push(Failed { event: delivery.event, status, error, wait: wait.as_secs_f64() });
            }
            // Not an attempt: the settings are wrong, not the target.
            Some(Outcome::Refused(private)) => {
                served.refused = true;
                served.error = Some(super::refused(private));
                results.unsent.push(delivery.event);
            }
            None => results.unsent.push(delivery.event),
        }
    }

    async fn write(&self, results: &mut Results) -> anyhow::Result<()> {
        let (pool, name) = (self.run.pool, self.target.name.as_str());
        let done = std::mem::take(results);
        if !done.delivered.is_empty() {
            deliveries::succeeded(pool, name, &done.delivered, &done.statuses).await?;
        }
        if !done.failed.is_empty() {
            deliveries::failed(pool, name, self.run.id, &done.failed, self.run.settings.max_attempts).await?;
        }
        if !done.unsent.is_empty() {
            deliveries::release(pool, name, self.run.id, &done.unsent).await?;
        }
        if self.circuit.take_change() {
            let rest = self.circuit.is_open().then_some(REST.as_secs_f64());
            let error = done.failed.last().map(|failed| failed.error.as_str());
            deliveries::set_circuit(pool, name, self.circuit.failures(), rest, error).await?;
        }
        Ok(())
    }
}

impl Results {
    fn len(&self) -> usize {
        self.delivered.len() + self.failed.len() + self.unsent.len()
    }
}
