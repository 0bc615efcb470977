//! Webhooks: subscriptions, signatures and delivery. First attempts keep their order; retries are sent when they are due.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Uri};
use data_encoding::BASE64;
use ring::hmac;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::bot::{Bot, Notice};
use crate::push::{Courier, Outcome};

pub const TRIGGERS: [&str; 2] = ["bot.state_change", "transcript.update"];
/// Attempts per message; Attendee's pauses between them are longer.
const TRIES: u32 = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

pub struct Subscription {
    pub url: Uri,
    pub triggers: Vec<String>,
    pub counts: Arc<Counts>,
    queue: UnboundedSender<Message>,
}

/// Messages since the subscription.
#[derive(Default, Serialize)]
pub struct Counts {
    pub sent: AtomicU64,
    /// Answered with 2xx.
    pub delivered: AtomicU64,
    /// Given up after the last attempt.
    pub failed: AtomicU64,
}

#[derive(Clone)]
struct Message {
    body: String,
    signature: String,
}

impl Subscription {
    pub fn new(url: Uri, triggers: Vec<String>) -> Self {
        let (queue, messages) = unbounded_channel();
        let counts = Arc::<Counts>::default();
        tokio::spawn(deliver(url.clone(), messages, Arc::clone(&counts)));
        Self { url, triggers, counts, queue }
    }

    /// Sends the notice if it was subscribed to.
    pub fn notify(&self, secret: &str, bot: &Bot, notice: &Notice) {
        if !self.triggers.iter().any(|trigger| trigger == notice.trigger) {
            return;
        }
        let key =
            format!("{:08x}-{:04x}-4000-8000-{:012x}", rand::random::<u32>(), rand::random::<u16>(), rand::random::<u64>() >> 16);
        let payload = json!({ "idempotency_key": key, "bot_id": bot.id, "bot_metadata": bot.metadata, "trigger": notice.trigger,
            "data": notice.data });
        // The receiver is gone once the subscription has ended.
        let _ = self.queue.send(Message { signature: signature(secret, &payload), body: spaced(&payload) });
    }
}

/// Base64 of the HMAC-SHA256 over the payload with sorted keys and without spaces; the key is the secret, decoded.
pub fn signature(secret: &str, payload: &Value) -> String {
    let mut sorted = payload.clone();
    sorted.sort_all_objects();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64.decode(secret.as_bytes()).unwrap_or_default());
    BASE64.encode(hmac::sign(&key, sorted.to_string().as_bytes()).as_ref())
}

/// The payload as sent, which differs from the signed form: in order of creation, with spaces, escaped to ASCII.
fn spaced(payload: &Value) -> String {
    let mut text = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for letter in payload.to_string().chars() {
        match letter {
            _ if !letter.is_ascii() => {
                letter.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")))
            }
            ',' | ':' if !quoted => text.extend([letter, ' ']),
            _ => text.push(letter),
        }
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && !escaped;
    }
    text
}

/// Ends with the subscription.
async fn deliver(url: Uri, mut messages: UnboundedReceiver<Message>, counts: Arc<Counts>) {
    let courier = Arc::new(Courier::default());
    while let Some(message) = messages.recv().await {
        counts.sent.fetch_add(1, Ordering::Relaxed);
        if attempt(&courier, &url, &message, &counts).await {
            continue;
        }
        let (courier, url, counts) = (Arc::clone(&courier), url.clone(), Arc::clone(&counts));
        tokio::spawn(async move {
            for nth in 1..TRIES {
                tokio::time::sleep(FIRST_PAUSE * 2_u32.pow(nth - 1)).await;
                if attempt(&courier, &url, &message, &counts).await {
                    return;
                }
            }
            counts.failed.fetch_add(1, Ordering::Relaxed);
        });
    }
}

/// `false`: no 2xx answer.
async fn attempt(courier: &Courier, url: &Uri, message: &Message, counts: &Counts) -> bool {
    let request = Request::post(url.clone())
        .header("content-type", "application/json")
        .header("user-agent", "Attendee-Webhook/1.0")
        .header("x-webhook-signature", &message.signature)
        .body(Body::from(message.body.clone()));
    let Ok(request) = request else { return false };
    let delivered = matches!(courier.post(request).await, Outcome::Delivered);
    counts.delivered.fetch_add(u64::from(delivered), Ordering::Relaxed);
    delivered
}
