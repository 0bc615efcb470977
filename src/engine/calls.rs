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
                    None => self.once(units, &call).await,
                }
            }
        };
        // Boxed is what few calls come to: a future has room for everything that it may await, and is moved with it.
        Box::pin(retry::with_backoff(&self.settings.engine, again, |_| self.meter.count_retry())).await
    }

    async fn once<T, F, Fut>(&self, units: u64, call: &F) -> Result<T, Failure>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, Failure>>,
    {
        let mut refreshed = false;
        loop {
            self.meter.spend(&self.project, self.user, units, self.full_pass.load(Ordering::Relaxed)).await?;
            let used = self.credential.current().await;
            match Box::pin(call()).await {
                // A token may also be older than the service whose scope it lacks.
                Err(failure) if matches!(failure.class, Class::TokenStale | Class::ScopeMissing) && !refreshed => {
                    Box::pin(self.credential.replace(used.as_deref())).await?;
                    refreshed = true;
                }
                answer => return answer,
            }
        }
    }
}
