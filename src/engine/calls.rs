//! How a stream calls its provider: each call spends its quota, is tried again where that may help, and has a refused token replaced once.
//! Knows no service.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::Either;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Item;
use super::digest::Digest;
use super::gate::UserConcurrency;
use super::isolated;
use super::meter::{Booking, For, Meter};
use super::retry;
use super::tokens::Credential;
use crate::config::Settings;
use crate::db::items::{self, Poison};
use crate::error::{Class, Failure};

/// What makes an item of its JSON.
type Decode<C> = fn(Box<RawValue>) -> Result<Item<C>, Poison>;

/// The calls of one stream.
pub struct Calls {
    /// `streams.id`; 0: of no stream.
    pub(super) stream: i64,
    /// Things that must not be read: each has ended two processes.
    pub(super) deadly: Vec<String>,
    /// The right to make them.
    pub credential: Credential,
    pub(super) user: Uuid,
    pub(super) project: String,
    /// What the service's calls need; `None`: it knows no scopes.
    pub(super) scope: Option<&'static str>,
    pub(super) meter: Arc<Meter>,
    pub(super) settings: Arc<Settings>,
    /// Where the provider bounds the calls of a user that are under way at once.
    pub(super) gate: Option<Arc<UserConcurrency>>,
    /// Cancelled when the run is told to stop: no rest is waited out then.
    pub(super) wind_down: CancellationToken,
    /// Whether they are of a full pass, which yields to incremental polls.
    pub(super) full_pass: AtomicBool,
    /// Where to say what somebody should hear of, beside what the calls answer.
    pub digest: Arc<Digest>,
    /// What was booked for the page under way.
    pub(super) booked: Mutex<Option<Booking>>,
}

impl Calls {
    /// Whether this thing must not be read: put `Poison::deadly` into the page.
    pub fn is_deadly(&self, id: &str) -> bool {
        !self.deadly.is_empty() && self.deadly.contains(&items::key(id))
    }

    /// The same work. Where the stream is polled apart, it is said before each step which thing it is about, in case the process ends there.
    pub fn on<F: Future>(&self, id: &str, work: F) -> Either<F, impl Future<Output = F::Output> + use<F>> {
        isolated::on(isolated::checkpoint(self.stream, Some(id)), work)
    }

    /// Makes an item of its JSON, unless it must not be read.
    pub(super) fn decoded<C>(&self, raw: &RawValue, decode: Decode<C>) -> Result<Item<C>, Poison> {
        if self.deadly.is_empty() && !isolated::is_on() {
            return decode(raw.to_owned());
        }
        let named = Poison::of(raw, items::DEADLY);
        match self.is_deadly(&named.item_id) {
            true => Err(named),
            false => isolated::at(isolated::checkpoint(self.stream, Some(&named.item_id)), || decode(raw.to_owned())),
        }
    }

    /// Makes a call that costs `units`, as often as it takes. `call` also reads the answer, so that a cut one is asked for again.
    ///
    /// # Errors
    /// The last failure of the call, or `DailyQuota` when the day is used up.
    pub async fn make<T, F, Fut>(&self, units: u64, call: F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        self.spend(units).await?;
        self.make_paid(units, call).await
    }

    /// Spends what `count` calls cost that are to be made at the same moment with `make_paid`: if each of them waited for its quota, they
    /// would not be ready together.
    ///
    /// # Errors
    /// `DailyQuota` when the day is used up.
    pub async fn pay(&self, units: u64, count: usize) -> Result<(), Failure> {
        let mut left = count as u64;
        while left > 0 {
            let part = left.min((self.meter.user_share() / units).max(1));
            self.spend(part * units).await?;
            left -= part;
        }
        Ok(())
    }

    /// How many calls can be made at the same moment: what is more waits.
    pub fn width(&self) -> usize {
        self.gate.as_ref().map_or(usize::MAX, |gate| gate.width())
    }

    /// Gets the token that the calls need, if there is none to use, so that they follow at once when their units are spent. A refusal is told of
    /// by the call that needs it.
    pub(super) async fn make_ready(&self) {
        if self.scope.is_some() {
            let _ = self.credential.ready().await;
        }
    }

    /// Lets the calls of the next page draw on a booking; what is left of the last one goes back.
    pub(super) fn book(&self, booking: Booking) {
        *self.booked.lock().unwrap_or_else(PoisonError::into_inner) = Some(booking);
    }

    /// Units that are left of what was booked for this page of a pass; `None`: it is none, or nothing was.
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

    /// Makes a call that was paid for; each further try costs its `units` again.
    ///
    /// # Errors
    /// As `make`.
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
        let again = || {
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
        // Boxed is what few calls come to: a future has room for everything that it may await, and is moved with it.
        Box::pin(retry::with_backoff(&self.settings.engine, again, |_| self.meter.count_retry())).await?
    }

    /// Whether another try may do. A gate has waited out refusals already.
    fn may_help(&self, failure: &Failure) -> bool {
        retry::may_help(failure) && (self.gate.is_none() || failure.class != Class::RateLimited || failure.of_token)
    }

    /// A try within the user's bound. One that is refused is made again after a rest and costs nothing: the provider did not do it.
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
                    return Err(Failure::new(Class::RateLimited, "the run was told to stop while it waited for calls of this user to end"));
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

    /// A try, and a second one if the token is refused.
    async fn once<T, F, Fut>(&self, units: u64, call: &F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut refreshed = false;
        loop {
            let used = self.credential.current().await;
            match Box::pin(call()).await {
                // A token may also be older than the service whose scope it lacks.
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
