//! How a stream calls its provider: each call spends its quota, is tried again where that may help, and has a refused token replaced once.
//! Knows no service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use super::meter::Meter;
use super::retry;
use super::tokens::Credential;
use crate::config::Settings;
use crate::error::{Class, Failure};

/// The calls of one stream.
pub struct Calls {
    /// The right to make them.
    pub credential: Credential,
    pub(super) user: Uuid,
    pub(super) project: String,
    /// What the service's calls need; `None`: it knows no scopes.
    pub(super) scope: Option<&'static str>,
    pub(super) meter: Arc<Meter>,
    pub(super) settings: Arc<Settings>,
    /// Whether they are of a full pass, which yields to incremental polls.
    pub(super) full_pass: AtomicBool,
}

impl Calls {
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

    async fn spend(&self, units: u64) -> Result<(), Failure> {
        self.meter.spend(&self.project, self.user, units, self.full_pass.load(Ordering::Relaxed)).await
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
        let first = match self.once(units, &call).await {
            Err(failure) if retry::may_help(&failure) => failure,
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
                        self.once(units, &call).await
                    }
                }
            }
        };
        // Boxed is what few calls come to: a future has room for everything that it may await, and is moved with it.
        Box::pin(retry::with_backoff(&self.settings.engine, again, |_| self.meter.count_retry())).await
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
                    Box::pin(self.credential.replace(used.as_deref())).await?;
                    self.spend(units).await?;
                    refreshed = true;
                }
                answer => {
                    return match (answer, self.scope) {
                        (Err(failure), Some(scope)) => Err(Box::pin(self.credential.told_apart(scope, failure)).await),
                        (answer, _) => answer,
                    };
                }
            }
        }
    }
}
