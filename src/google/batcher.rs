//! Combines small concurrent calls into shared requests, transparently for the callers. Independent of any service.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Instant;

use futures_util::future::join_all;
use google_apis_common::GetToken;
use reqwest::header::CONTENT_TYPE;
use tokio::sync::oneshot;
use url::Url;

use super::batch::{self, Endpoint};
use super::client::{success_body, token_of};
use super::{Client, classify};
use crate::error::{Class, Failure};
use crate::http::{Answer, RequestPermit, is_overloaded, log_call, received, transient};

/// Sends calls in batches over a client.
pub struct Batcher {
    client: Arc<Client>,
    /// Pending calls of each thread.
    gathered: Mutex<HashMap<(ThreadId, Endpoint), Gathered>>,
    batch_size: usize,
    /// Set when an endpoint refuses batches; it is then not tried again.
    refused: AtomicBool,
    /// Calls that got no response because their batch failed, with a count for each URL, since several users can call the same one. Send these alone from
    /// now on, so that the call that breaks a batch cannot break the next one.
    alone: Mutex<HashMap<Url, usize>>,
}

/// Pending calls, and the number of requests that will take them.
#[derive(Default)]
struct Gathered {
    calls: VecDeque<Call>,
    requests: usize,
}

/// A call that waits to be batched.
struct Call {
    what: &'static str,
    url: Url,
    token: Option<String>,
    reply: oneshot::Sender<Result<Answer, Failure>>,
}

impl Batcher {
    /// At most `batch_size` calls per request; with 1, each call is sent alone.
    pub fn new(client: Arc<Client>, batch_size: u32) -> Self {
        let (gathered, alone) = (Mutex::default(), Mutex::default());
        Self { client, gathered, batch_size: batch_size as usize, refused: AtomicBool::new(false), alone }
    }

    /// Same as `Client::get`, for small responses: concurrent calls share one request to the API's batch endpoint.
    ///
    /// # Errors
    /// Same as `Client::get`. An error of the request applies to each call in it.
    pub async fn get(
        self: &Arc<Self>,
        endpoint: Endpoint,
        what: &'static str,
        token: &dyn GetToken,
        scope: &str,
        url: Url,
    ) -> Result<Vec<u8>, Failure> {
        if self.batch_size < 2 || self.goes_alone(&url) {
            return self.client.get(what, token, scope, url).await;
        }
        let token = token_of(what, token, scope).await?;
        self.client.count();
        let (reply, answer) = oneshot::channel();
        self.gather(endpoint, Call { what, url, token, reply });
        let answer = answer.await.map_err(|_| Failure::new(Class::Internal, format!("{what}: its batch was dropped")))?;
        success_body(what, answer?)
    }

    /// Adds a call to the pending ones, with as many requests as they fill.
    fn gather(self: &Arc<Self>, endpoint: Endpoint, call: Call) {
        let key = (std::thread::current().id(), endpoint);
        let mut gathered = locked(&self.gathered);
        let next = gathered.entry(key).or_default();
        next.calls.push_back(call);
        if next.calls.len() > next.requests * self.batch_size {
            next.requests += 1;
            tokio::spawn(Arc::clone(self).send_next(key));
        }
    }

    /// Sends a request with the calls that are pending when a slot is free: the busier Google is, the fuller the request.
    async fn send_next(self: Arc<Self>, key: (ThreadId, Endpoint)) {
        // Lets all calls that are ready now join.
        tokio::task::yield_now().await;
        let turn = self.client.turn().await;
        let calls: Vec<Call> = match locked(&self.gathered).get_mut(&key) {
            Some(next) => {
                next.requests -= 1;
                next.calls.drain(..next.calls.len().min(self.batch_size)).collect()
            }
            None => return,
        };
        self.send_together(key.1, calls, turn).await;
    }

    /// Sends calls in one request and passes each its response. A single call is sent without a batch.
    async fn send_together(&self, endpoint: Endpoint, calls: Vec<Call>, turn: RequestPermit<'_>) {
        let together = calls.len() > 1 && !self.refused.load(Ordering::Relaxed);
        let answers = if together { self.batch(endpoint, &calls, &turn).await } else { Err(None) };
        drop(turn);
        match answers {
            Ok(answers) => {
                for (call, answer) in calls.into_iter().zip(answers) {
                    let answer = answer.ok_or_else(|| self.broken(&call, "the batch's response was truncated"));
                    // The caller may be gone, here and below.
                    let _ = call.reply.send(answer);
                }
            }
            Err(Some(failure)) => {
                for call in calls {
                    let broken = self.broken(&call, &failure.message);
                    let _ = call.reply.send(Err(Failure { message: broken.message, ..failure.clone() }));
                }
            }
            Err(None) => {
                let alone = calls.into_iter().map(async |Call { what, url, token, reply }| {
                    let _ = reply.send(self.client.send(what, url, token.as_deref()).await);
                });
                join_all(alone).await;
            }
        }
    }

    /// The failure of a call whose batch broke; the next time, the call is sent alone.
    fn broken(&self, call: &Call, why: &str) -> Failure {
        *locked(&self.alone).entry(call.url.clone()).or_default() += 1;
        Failure::new(Class::Transient, format!("{}, in a batch: {why}", call.what))
    }

    /// Whether this call's batch broke the last time.
    fn goes_alone(&self, url: &Url) -> bool {
        let mut alone = locked(&self.alone);
        let Some(count) = alone.get_mut(url) else { return false };
        *count -= 1;
        if *count == 0 {
            alone.remove(url);
        }
        true
    }

    /// Sends a batch; returns the responses in the order of the calls. `Err(Some)` applies to all calls; `Err(None)` means that the endpoint refuses
    /// batches, independent of the calls.
    async fn batch(
        &self,
        endpoint: Endpoint,
        calls: &[Call],
        turn: &RequestPermit<'_>,
    ) -> Result<Vec<Option<Answer>>, Option<Failure>> {
        let url = self.client.url(endpoint.host, &endpoint.path).map_err(Failure::from)?;
        let (kind, body) = batch::encode(calls.iter().map(|call| (&call.url, call.token.as_deref())));
        let request = self.client.to(&url)?.post(url).header(CONTENT_TYPE, kind).body(body);
        let started = Instant::now();
        let response = request.send().await.map_err(|error| transient("batch", error))?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        // A response that is too large is that of one of the calls: sent alone, it fails by itself.
        let received = received("batch", response, self.client.most()).await;
        let (status, retry_after, body) = received.map_err(|failure| Failure { class: Class::Transient, ..failure })?;
        if status != 200 {
            log_call("batch", started, Ok((status, body.len())));
            turn.answered(name_of(calls.len()), is_overloaded(status));
            let failure = classify("batch", status, retry_after.as_deref(), &body, chrono::Utc::now());
            if matches!(failure.class, Class::RateLimited | Class::Transient) {
                return Err(Some(failure));
            }
            log::warn!("batches are refused; every call is sent alone: {}", failure.message);
            self.refused.store(true, Ordering::Relaxed);
            return Err(None);
        }
        let answers = batch::decode(&kind, &body, calls.len());
        for (call, (status, _, body)) in
            calls.iter().zip(answers.iter().flatten()).filter_map(|(call, answer)| Some((call, answer.as_ref()?)))
        {
            log_call(call.what, started, Ok((*status, body.len())));
        }
        // A single rejected call of many concerns only its user.
        let refused = answers.iter().flatten().flatten().filter(|(status, ..)| is_overloaded(*status)).count();
        turn.answered(name_of(calls.len()), 2 * refused > calls.len());
        Ok(answers.map_err(|why| Failure::new(Class::Transient, format!("batch: {why}")))?)
    }
}

/// Batches of similar size take about equally long.
fn name_of(calls: usize) -> &'static str {
    match calls {
        0..4 => "a small batch",
        4..16 => "a batch",
        _ => "a large batch",
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
