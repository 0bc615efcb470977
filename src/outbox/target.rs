//! One target in one run: claims, requests, results. No claim is held open in a transaction while the target is asked.

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

/// Deliveries claimed by one statement.
const CHUNK: i64 = 500;
/// Results are written when there are so many, or when the first of them is so old.
const FLUSH_AT: usize = 250;
const FLUSH_AFTER: Duration = Duration::from_secs(1);
/// How long a claim outlives its last request, for the results.
const LEASE_SPARE: Duration = Duration::from_secs(20);
/// How long syncs leave a target alone whose circuit is open.
const REST: Duration = Duration::from_secs(60);

/// What the targets of a run share.
pub struct Run<'a> {
    pub id: Uuid,
    pub pool: &'a Pool,
    pub settings: &'a Outbox,
    /// Made for the first event that goes out: a run without one loads no certificates.
    pub sender: OnceCell<Sender>,
    /// Most that one request may take.
    pub timeout: Duration,
    /// No request begins later.
    pub until: Option<Instant>,
    /// What became due after the run began is left to the next one.
    pub due_by: DateTime<Utc>,
    /// A sync that delivers at its end, and not a run of its own.
    pub in_sync: bool,
    pub stop: &'a CancellationToken,
}

/// What a run did for one target.
#[derive(Debug, Default)]
pub struct Served {
    pub delivered: u64,
    pub failed: u64,
    pub open: bool,
    /// The last failure, or why the target is not called.
    pub error: Option<String>,
    pub refused: bool,
    /// The last failure of an earlier run.
    pub answered: Option<String>,
}

impl Run<'_> {
    fn winds_down(&self) -> bool {
        self.stop.is_cancelled() || self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// Delivers what is due to one target, until nothing is, the time is up, or the target does not answer.
pub async fn serve(run: &Run<'_>, target: &Target) -> anyhow::Result<Served> {
    let stored = deliveries::circuit(run.pool, &target.name).await?;
    let circuit = Circuit::after(stored.failures);
    let mut served = Served { open: circuit.is_open(), answered: stored.last_error, ..Served::default() };
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
        // Before the statement, so that the lease never ends before we think it does.
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

/// Claimed deliveries on their way.
struct Chunk<'a> {
    run: &'a Run<'a>,
    target: &'a Target,
    url: &'a Url,
    circuit: &'a Circuit,
    refused: Cell<Option<Private>>,
    claimed_at: Moment,
    /// A request that begins later could outlive the lease.
    good_for: Duration,
}

/// A moment by both clocks: one stands still while the machine is suspended, the other can be set.
struct Moment(Instant, SystemTime);

impl Moment {
    fn now() -> Self {
        Self(Instant::now(), SystemTime::now())
    }

    /// By the clock that has gone further.
    fn elapsed(&self) -> Duration {
        self.0.elapsed().max(self.1.elapsed().unwrap_or_default())
    }
}

/// Results that are not written yet.
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
                let outcome = match self.may_begin(probing) {
                    true => Some(sender.post(self.target, self.url, &delivery, Utc::now()).await),
                    false => None,
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

    /// Before the next request begins, so that it sees what this one found.
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
            // No try of the event: it is the settings that are wrong.
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
