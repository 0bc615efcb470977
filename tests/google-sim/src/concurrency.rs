//! Gmail's limit on the concurrent calls of one mailbox. It is known only from observation: one batch of a hundred is always refused in
//! part, four of 25 in sequence pass, and after a refusal even fifty are refused until the mailbox has had a pause. How Gmail counts is
//! undocumented, so this simulates the strict case: every call during the pause is refused and restarts it.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::response::Response;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;

use crate::errors;
use crate::state::{World, lock};

/// The limit: POST it to `/admin/concurrency`.
#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Concurrent calls of one mailbox; 0: unlimited.
    pub per_user: usize,
    /// Seconds without a call that a mailbox needs after a refusal, by the simulated clock.
    pub rest_s: f64,
    /// Seconds that each call takes, so that calls of separate requests overlap as they do at Google.
    #[serde(default)]
    pub call_s: f64,
}

impl Default for Bound {
    fn default() -> Self {
        Self { per_user: 50, rest_s: 1.0, call_s: 0.0 }
    }
}

#[derive(Default)]
pub struct Concurrency {
    state: Mutex<(Bound, HashMap<String, Calls>)>,
}

#[derive(Default)]
struct Calls {
    under_way: usize,
    most: usize,
    refused_at: Option<DateTime<Utc>>,
    refused: u64,
}

tokio::task_local! {
    /// Calls of the batch being answered: none ends before the batch does.
    static OF_BATCH: RefCell<Vec<UnderWay>>;
}

/// Answers a batch: its calls are in flight together.
pub async fn together<T>(answers: impl Future<Output = T>) -> T {
    OF_BATCH.scope(RefCell::default(), answers).await
}

/// One call in flight.
pub struct UnderWay {
    world: Arc<World>,
    user: String,
}

impl UnderWay {
    /// Waits for the duration of the call, then ends it with its batch.
    pub async fn end(self) {
        let seconds = lock(&self.world.concurrency.state).0.call_s;
        if seconds > 0.0 {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
        }
        // Outside a batch it ends here.
        let _ = OF_BATCH.try_with(|calls| calls.borrow_mut().push(self));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(calls) = lock(&self.world.concurrency.state).1.get_mut(&self.user) {
            calls.under_way -= 1;
        }
    }
}

impl Concurrency {
    /// Sets the limit and ends all pauses.
    pub fn set(&self, bound: Bound) {
        let mut state = lock(&self.state);
        state.0 = bound;
        for calls in state.1.values_mut() {
            (calls.most, calls.refused_at, calls.refused) = (calls.under_way, None, 0);
        }
    }

    /// The maximum number of concurrent calls of one mailbox since the limit was set, excluding refused ones, and the number of refused
    /// calls.
    pub fn seen(&self) -> (usize, u64) {
        let state = lock(&self.state);
        let most = state.1.values().map(|calls| calls.most).max().unwrap_or(0);
        (most, state.1.values().map(|calls| calls.refused).sum())
    }
}

/// Begins a call of this mailbox, or refuses it.
pub fn begin(world: &Arc<World>, user: &str) -> Result<UnderWay, Box<Response>> {
    let now = world.now();
    let mut state = lock(&world.concurrency.state);
    let (bound, mailboxes) = &mut *state;
    let rest = TimeDelta::milliseconds((bound.rest_s * 1_000.0) as i64);
    let calls = mailboxes.entry(user.to_owned()).or_default();
    let rests = calls.refused_at.is_some_and(|at| now < at + rest);
    if bound.per_user > 0 && (rests || calls.under_way >= bound.per_user) {
        calls.refused_at = Some(now);
        calls.refused += 1;
        return Err(Box::new(refusal()));
    }
    calls.under_way += 1;
    calls.most = calls.most.max(calls.under_way);
    Ok(UnderWay { world: Arc::clone(world), user: user.to_owned() })
}

/// In Gmail's format.
fn refusal() -> Response {
    let message = "Too many concurrent requests for user.";
    let body = json!({ "error": { "code": 429, "message": message,
        "errors": [{ "message": message, "domain": "usageLimits", "reason": "rateLimitExceeded" }], "status": "RESOURCE_EXHAUSTED" } });
    errors::with(429, body.to_string(), "application/json; charset=UTF-8")
}
