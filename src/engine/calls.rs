//! How a stream calls its provider: each call spends quota, is retried if that may help, and has a rejected token replaced once. Independent of any
//! service.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::Either;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Item;
use super::announce;
use super::digest::Digest;
use super::gate::UserConcurrency;
use super::meter::{Booking, For, Meter};
use super::retry;
use super::tokens::Credential;
use crate::config::Settings;
use crate::db::items::{self, Poison};
use crate::error::{Class, Failure};

/// Decodes an item from its JSON.
type Decode<C> = fn(Box<RawValue>) -> Result<Item<C>, Poison>;

/// The calls of one stream.
pub struct Calls {
    /// `streams.id`; 0 for calls that belong to no stream.
    pub(super) stream: i64,
    /// Items that must not be read: each has killed two processes.
    pub(super) deadly: Vec<String>,
    /// The credential for the calls.
    pub credential: Credential,
    pub(super) user: Uuid,
    pub(super) project: String,
    /// The scope that the service's calls need; `None` if the provider has no scopes.
    pub(super) scope: Option<&'static str>,
    pub(super) meter: Arc<Meter>,
    pub(super) settings: Arc<Settings>,
    /// Set if the provider limits a user's concurrent calls.
    pub(super) gate: Option<Arc<UserConcurrency>>,
    /// Cancelled when the run is asked to stop: pauses are then no longer waited out.
    pub(super) wind_down: CancellationToken,
    /// Whether the calls belong to a full pass, which yields to incremental polls.
    pub(super) full_pass: AtomicBool,
    /// Where to report problems that need attention and are not part of a call's result.
    pub digest: Arc<Digest>,
    /// The booking of the current page.
    pub(super) booked: Mutex<Option<Booking>>,
}

impl Calls {
    /// Whether this item must not be read; if so, put `Poison::deadly` into the page.
    pub fn is_deadly(&self, id: &str) -> bool {
        !self.deadly.is_empty() && self.deadly.contains(&items::key(id))
    }

    /// Runs `work`. If the stream is polled in isolation, announces the item before each step, in case the process dies there.
    pub fn on<F: Future>(&self, id: &str, work: F) -> Either<F, impl Future<Output = F::Output> + use<F>> {
        announce::on(announce::checkpoint(self.stream, Some(id)), work)
    }

    /// Decodes an item from its JSON, unless it must not be read.
    pub(super) fn decoded<C>(&self, raw: &RawValue, decode: Decode<C>) -> Result<Item<C>, Poison> {
        if self.deadly.is_empty() && !announce::is_on() {
            return decode(raw.to_owned());
        }
        let named = Poison::of(raw, items::DEADLY);
        if self.is_deadly(&named.item_id) {
            Err(named)
        } else {
            announce::at(announce::checkpoint(self.stream, Some(&named.item_id)), || decode(raw.to_owned()))
        }
    }

    /// Makes a call that costs `units`, with retries. `call` also reads the response, so that a truncated one is requested again.
    ///
    /// # Errors
    /// Returns the last failure of the call, or `DailyQuota` if the day's quota is used up.
    pub async fn make<T, F, Fut>(&self, units: u64, call: F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.spend(units).await?;
        self.make_paid(units, call).await
    }

    /// Spends the units of `count` calls that will be made concurrently with `make_paid`. If each call waited for its own quota, they would not be ready
    /// together.
    ///
    /// # Errors
    /// Returns `DailyQuota` if the day's quota is used up.
    pub async fn pay(&self, units: u64, count: usize) -> Result<(), Failure> {
        let mut remaining = count as u64;
        while remaining > 0 {
            let part = remaining.min((self.meter.user_share() / units).max(1));
            self.spend(part * units).await?;
            remaining -= part;
        }
        Ok(())
    }

    /// Maximum number of concurrent calls; further calls wait.
    pub fn width(&self) -> usize {
        self.gate.as_ref().map_or(usize::MAX, |gate| gate.width())
    }

    /// Gets the token that the calls need unless there is a valid one, so that the calls can start as soon as their units are spent. A rejection is
    /// reported by the call that needs the token.
    pub(super) async fn make_ready(&self) {
        if self.scope.is_some() {
            let _ = self.credential.ready().await;
        }
    }

    /// Lets the calls of the next page draw on a booking; the remainder of the previous one is given back.
    pub(super) fn book(&self, booking: Booking) {
        *self.booked.lock().unwrap_or_else(PoisonError::into_inner) = Some(booking);
    }

    /// Units left of the booking for this page of a pass; `None` if it is not a pass or nothing was booked.
    pub fn booked(&self) -> Option<u64> {
        let booked = self.booked.lock().unwrap_or_else(PoisonError::into_inner);
        booked.as_ref().filter(|booking| booking.is_for_pass()).map(Booking::remaining)
    }

    async fn spend(&self, units: u64) -> Result<(), Failure> {
        self.meter.must_not_be_paused(&self.project)?;
        let drawn = self.booked.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|booked| booked.draw(units));
        let what = match drawn {
            Some(true) => {
                self.meter.count(units);
                return Ok(());
            }
            _ if !self.full_pass.load(Ordering::Relaxed) => For::Polls,
            Some(false) => For::Page,
            None => For::Passes,
        };
        self.meter.spend(&self.project, self.user, units, what).await
    }

    /// Makes a call whose units are already spent; each retry costs `units` again.
    ///
    /// # Errors
    /// Same as `make`.
    pub async fn make_paid<T, F, Fut>(&self, units: u64, call: F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let first = match self.gated(units, &call).await {
            Err(failure) if self.may_help(&failure) => failure,
            answer => return answer,
        };
        let mut first = Some(first);
        let retry_call = || {
            let first = first.take();
            async {
                match first {
                    Some(failure) => Err(failure),
                    None => {
                        self.spend(units).await?;
                        match self.gated(units, &call).await {
                            Err(failure) if self.may_help(&failure) => Err(failure),
                            answer => Ok(answer),
                        }
                    }
                }
            }
        };
        // Boxed because few calls get here: a future reserves space for everything it may await, and is moved together with it.
        Box::pin(retry::with_backoff(&self.settings.engine, retry_call, |_| self.meter.count_retry())).await?
    }

    /// Whether a retry may help. A gate has already waited out rate limits.
    fn may_help(&self, failure: &Failure) -> bool {
        retry::may_help(failure) && (self.gate.is_none() || failure.class != Class::RateLimited || failure.of_token)
    }

    /// Makes one try within the user's concurrency limit. A rate-limited try is repeated after a pause and costs nothing, because the provider did not
    /// execute it.
    async fn gated<T, F, Fut>(&self, units: u64, call: &F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let Some(gate) = &self.gate else { return self.once(units, call).await };
        let patience = gate.patience();
        loop {
            let turn = tokio::select! {
                biased;
                turn = gate.enter(&patience) => turn?,
                () = self.wind_down.cancelled() => {
                    return Err(Failure::new(Class::RateLimited, "the run was asked to stop while it waited for other calls of this user to end"));
                }
            };
            match self.once(units, call).await {
                Err(failure) if failure.class == Class::RateLimited && !failure.of_token => {
                    turn.refused(&failure);
                    self.meter.count_retry();
                }
                Err(failure) => return Err(failure),
                Ok(answer) => {
                    turn.passed();
                    return Ok(answer);
                }
            }
        }
    }

    /// Makes one try, and a second one if the token is rejected.
    async fn once<T, F, Fut>(&self, units: u64, call: &F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut refreshed = false;
        loop {
            let used = self.credential.current().await;
            match Box::pin(call()).await {
                // The token may also be older than the grant of the service's scope.
                Err(failure) if matches!(failure.class, Class::TokenStale | Class::ScopeMissing) && !refreshed => {
                    let replaced = Box::pin(self.credential.replace(used.as_deref())).await;
                    replaced.map_err(|failure| Failure { of_token: true, ..failure })?;
                    self.spend(units).await?;
                    refreshed = true;
                }
                answer => {
                    if let Err(failure) = &answer
                        && failure.class == Class::DailyQuota
                    {
                        Box::pin(self.meter.used_up(&self.project, &failure.message)).await;
                    }
                    return match (answer, self.scope) {
                        (Err(failure), Some(scope)) => Err(Box::pin(self.credential.told_apart(scope, failure)).await),
                        (answer, _) => answer,
                    };
                }
            }
        }
    }
}
