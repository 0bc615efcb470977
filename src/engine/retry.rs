//! Retries requests where that may help, with full jitter and the server's hint.

use std::time::Duration;

use backon::{BackoffBuilder, Retryable};

use crate::config;
use crate::error::{Class, Failure};

/// Waits of random(0, base * 2^n), capped; one for each try after the first.
#[derive(Debug)]
struct FullJitter {
    next: Duration,
    cap: Duration,
    remaining: u32,
}

impl Iterator for FullJitter {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.remaining = self.remaining.checked_sub(1)?;
        let max = self.next.min(self.cap);
        self.next = max.saturating_mul(2);
        Some(max.mul_f64(rand::random::<f64>()))
    }
}

/// Whether another try may help.
pub fn may_help(failure: &Failure) -> bool {
    matches!(failure.class, Class::Transient | Class::RateLimited)
}

/// Runs `request` until it succeeds, fails permanently, or the tries are used up. `retried` is called before each wait.
pub async fn with_backoff<T, F, Fut>(
    settings: &config::Engine,
    request: F,
    mut retried: impl FnMut(&Failure),
) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
{
    let cap = settings.backoff_cap;
    let waits = FullJitter { next: settings.backoff_base, cap, remaining: settings.tries - 1 };
    request
        .retry(waits.build())
        .when(may_help)
        // The hint is sometimes wrong, so it is capped like our own waits; a longer one delays the stream's next poll instead.
        .adjust(move |failure: &Failure, wait: Option<Duration>| {
            Some(wait?.max(failure.retry_after.unwrap_or_default()).min(cap))
        })
        .notify(|failure: &Failure, wait: Duration| {
            log::debug!(wait_ms = wait.as_millis() as u64; "retrying: {failure}");
            retried(failure);
        })
        .await
}
