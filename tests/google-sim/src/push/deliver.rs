//! Delivers messages to their receivers: the first attempts of a channel in order, retries whenever they are due.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::bump;
use super::channel::{Channel, Message};
use crate::state::{World, lock};

/// Maximum number of requests in flight.
const CONCURRENT: usize = 64;
/// Attempts per message.
pub const TRIES: u32 = 5;
/// Between the first and the second attempt; it doubles from there. Google takes longer.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection pool, and the slots in use.
pub struct Courier {
    client: Client<HttpConnector, Body>,
    slots: Semaphore,
}

impl Default for Courier {
    fn default() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Self { client, slots: Semaphore::new(CONCURRENT) }
    }
}

/// The outcome of an attempt.
pub enum Outcome {
    Delivered,
    Retry,
    Refused,
}

impl Courier {
    /// Waits for a free slot. `None` only if the slots were closed, which does not happen.
    pub async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }

    /// Sends one request without waiting for a slot.
    pub async fn post(&self, request: Request<Body>) -> Outcome {
        let answered = tokio::time::timeout(PATIENCE, async {
            let response = self.client.request(request).await.ok()?;
            let (parts, body) = response.into_parts();
            // Read to its end, so that the connection can be reused.
            let _ = axum::body::to_bytes(Body::new(body), 1 << 20).await;
            Some(parts.status)
        });
        match answered.await.ok().flatten() {
            Some(status) if status.is_success() => Outcome::Delivered,
            Some(
                StatusCode::INTERNAL_SERVER_ERROR
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT,
            )
            | None => Outcome::Retry,
            Some(_) => Outcome::Refused,
        }
    }
}

/// The pause between this attempt and the next.
pub fn pause(nth: u32) -> Duration {
    FIRST_PAUSE * 2_u32.pow(nth - 1)
}

/// Queues a message for delivery and returns immediately.
pub fn queue(world: &Arc<World>, channel: &Arc<Channel>, message: Message) {
    let mut queue = lock(&channel.queue);
    queue.0.push_back(message);
    if !std::mem::replace(&mut queue.1, true) {
        tokio::spawn(work_off(Arc::clone(world), Arc::clone(channel)));
    }
}

async fn work_off(world: Arc<World>, channel: Arc<Channel>) {
    loop {
        let message = {
            let mut queue = lock(&channel.queue);
            match queue.0.pop_front() {
                Some(message) => message,
                None => {
                    queue.1 = false;
                    return;
                }
            }
        };
        if !attempt(&world, &channel, &message, 1).await {
            // Messages behind it do not wait for it.
            tokio::spawn(try_again(Arc::clone(&world), Arc::clone(&channel), message));
        }
    }
}

async fn try_again(world: Arc<World>, channel: Arc<Channel>, message: Message) {
    for nth in 2..=TRIES {
        tokio::time::sleep(pause(nth - 1)).await;
        if attempt(&world, &channel, &message, nth).await {
            return;
        }
    }
    bump(&world.push.counts.failed);
}

/// `false`: it should be retried.
async fn attempt(world: &World, channel: &Channel, message: &Message, nth: u32) -> bool {
    let push = &world.push;
    let _slot = push.courier.slot().await;
    // Checked last: the channel may have ended, or been silenced, while the message waited.
    let silent = channel.silent.load(Ordering::Relaxed) || push.is_silent(&channel.user);
    let is_due = !silent && channel.is_live(world.now().timestamp_millis());
    let Some(request) = channel.request(message).filter(|_| is_due) else {
        bump(&push.counts.dropped);
        return true;
    };
    if nth == 1 {
        bump(&push.counts.sent);
        bump(&channel.sent);
    }
    match push.courier.post(request).await {
        Outcome::Delivered => bump(&push.counts.delivered),
        Outcome::Refused => bump(&push.counts.dropped),
        Outcome::Retry => return false,
    }
    true
}
