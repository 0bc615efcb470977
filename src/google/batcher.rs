//! Small calls that are made at the same moment share a request, without their callers knowing of each other. Knows no service.

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
use super::client::{judged, token_of};
use super::{Client, classify};
use crate::error::{Class, Failure};
use crate::http::{Answer, RequestPermit, is_overloaded, log_call, received, transient};

/// Sends calls together over a client.
pub struct Batcher {
    client: Arc<Client>,
    /// Calls of each thread that go next.
    gathered: Mutex<HashMap<(ThreadId, Endpoint), Gathered>>,
    batch_size: usize,
    /// An endpoint that wants no batches is not asked again.
    refused: AtomicBool,
    /// Calls that got no answer because their batch broke, and how many of each: users' addresses can be the same. Whichever of them
    /// breaks it must not do so again.
    alone: Mutex<HashMap<Url, usize>>,
}

/// Calls that go next, and the requests that will take them.
#[derive(Default)]
struct Gathered {
    calls: VecDeque<Call>,
    requests: usize,
}

/// A call that waits to go together with others.
struct Call {
    what: &'static str,
    url: Url,
    token: Option<String>,
    reply: oneshot::Sender<Result<Answer, Failure>>,
}

impl Batcher {
    /// At most `batch_size` calls go in one request; with 1 each goes alone.
    pub fn new(client: Arc<Client>, batch_size: u32) -> Self {
        let (gathered, alone) = (Mutex::default(), Mutex::default());
        Self { client, gathered, batch_size: batch_size as usize, refused: AtomicBool::new(false), alone }
    }

    /// As `Client::get`, for small answers: calls that are made at the same moment share one request to the API's batch endpoint.
    ///
    /// # Errors
    /// As `Client::get`. What befalls the request befalls each call in it.
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
        judged(what, answer?)
    }

    /// Puts a call to those that go next, in as many requests as they fill.
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

    /// Sends a request with what has gathered by the time that one more may be under way: the busier Google is, the fuller it is.
    async fn send_next(self: Arc<Self>, key: (ThreadId, Endpoint)) {
        // All that are ready at this moment go together.
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

    /// Sends calls in one request and tells each its answer. A call that is alone goes alone.
    async fn send_together(&self, endpoint: Endpoint, calls: Vec<Call>, turn: RequestPermit<'_>) {
        let together = calls.len() > 1 && !self.refused.load(Ordering::Relaxed);
        let answers = match together {
            true => self.batch(endpoint, &calls, &turn).await,
            false => Err(None),
        };
        drop(turn);
        match answers {
            Ok(answers) => {
                for (call, answer) in calls.into_iter().zip(answers) {
                    let answer = answer.ok_or_else(|| self.broken(&call, "the batch's answer was cut"));
                    // Whoever asked may have gone away, here and below.
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

    /// What is told to a call whose batch broke; the next time it goes alone.
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

    /// The answers in the order of the calls. An error is what befell all of them; or `None`: the endpoint wants no batches, which says
    /// nothing of the calls.
    async fn batch(
        &self,
        endpoint: Endpoint,
        calls: &[Call],
        turn: &RequestPermit<'_>,
    ) -> Result<Vec<Option<Answer>>, Option<Failure>> {
        let url = self.client.url(endpoint.host(), &endpoint.path()).map_err(Failure::from)?;
        let (kind, body) = batch::encode(calls.iter().map(|call| (&call.url, call.token.as_deref())));
        let request = self.client.to(&url)?.post(url).header(CONTENT_TYPE, kind).body(body);
        let started = Instant::now();
        let response = request.send().await.map_err(|error| transient("batch", error))?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
        // An answer that is too large is that of one of them: alone it is judged by itself.
        let received = received("batch", response, self.client.most()).await;
        let (status, retry_after, body) = received.map_err(|failure| Failure { class: Class::Transient, ..failure })?;
        if status != 200 {
            log_call("batch", started, Ok((status, body.len())));
            turn.answered(name_of(calls.len()), is_overloaded(status));
            let failure = classify("batch", status, retry_after.as_deref(), &body, chrono::Utc::now());
            if matches!(failure.class, Class::RateLimited | Class::Transient) {
                return Err(Some(failure));
            }
            log::warn!("batches are refused, every call goes alone: {}", failure.message);
            self.refused.store(true, Ordering::Relaxed);
            return Err(None);
        }
        let answers = batch::decode(&kind, &body, calls.len());
        for (call, (status, _, body)) in
            calls.iter().zip(answers.iter().flatten()).filter_map(|(call, answer)| Some((call, answer.as_ref()?)))
        {
            log_call(call.what, started, Ok((*status, body.len())));
        }
        // One call of many that is refused concerns its user.
        let refused = answers.iter().flatten().flatten().filter(|(status, ..)| is_overloaded(*status)).count();
        turn.answered(name_of(calls.len()), 2 * refused > calls.len());
        Ok(answers.map_err(|why| Failure::new(Class::Transient, format!("batch: {why}")))?)
    }
}

/// Batches of about the same size take about as long.
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
