//! The part of Cloud Pub/Sub that Gmail needs: one push subscription per topic, and the delivery of notifications to its endpoint.

use std::sync::Arc;

use axum::body::Body;
use axum::http::Request;
use chrono::SecondsFormat;
use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::json;

use super::deliver::{Outcome, TRIES, pause};
use super::{bump, oidc};
use crate::state::{World, lock};

/// The endpoint for the messages of a topic.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// `projects/PROJECT/topics/TOPIC`
    pub topic: String,
    pub endpoint: String,
    /// The service account named in the tokens.
    pub email: String,
    /// Audience of the tokens; absent: the endpoint.
    audience: Option<String>,
    /// Gmail documents history IDs as text, but has sent them as numbers.
    #[serde(default)]
    numeric: bool,
}

impl Subscription {
    pub fn name(&self) -> String {
        self.topic.replacen("/topics/", "/subscriptions/", 1)
    }
}

/// A mailbox changed, or its watch began.
pub fn mail(world: &Arc<World>, user: &str, history: u64, labels: Option<&[String]>) {
    let now = world.now().timestamp_millis();
    let Some(wait) = lock(&world.push.watches).changed(user, history, labels, now) else { return };
    let (world, user) = (Arc::clone(world), user.to_owned());
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        let history = lock(&world.push.watches).due(&user);
        if let Some(history) = history {
            notify(&world, &user, history).await;
        }
    });
}

/// Pub/Sub redelivers messages that are not answered with 2xx.
async fn notify(world: &World, user: &str, history: u64) {
    let (id, push) = (world.serial(), &world.push);
    for nth in 1..=TRIES {
        let slot = push.courier.slot().await;
        // Checked last: the watch may have ended in the meantime.
        let topic = lock(&push.watches).topic(user, world.now().timestamp_millis()).filter(|_| !push.is_silent(user));
        let subscription = topic.and_then(|topic| lock(&push.subscriptions).get(&topic).cloned());
        let request = subscription.and_then(|subscription| request(world, &subscription, user, history, id));
        let Some(request) = request else { return bump(&push.counts.dropped) };
        if nth == 1 {
            bump(&push.counts.sent);
            lock(&push.watches).sent(user);
        }
        if matches!(push.courier.post(request).await, Outcome::Delivered) {
            return bump(&push.counts.delivered);
        }
        drop(slot);
        if nth < TRIES {
            tokio::time::sleep(pause(nth)).await;
        }
    }
    bump(&push.counts.failed);
}

fn request(world: &World, subscription: &Subscription, user: &str, history: u64, id: u64) -> Option<Request<Body>> {
    let shown = if subscription.numeric { json!(history) } else { json!(history.to_string()) };
    let data = BASE64.encode(json!({ "emailAddress": user, "historyId": shown }).to_string().as_bytes());
    let at = world.now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let id = id.to_string();
    // Pub/Sub writes these two names in both ways.
    let body = json!({ "message": { "data": data, "messageId": id, "message_id": id, "publishTime": at, "publish_time": at },
        "subscription": subscription.name() });
    let audience = subscription.audience.as_deref().unwrap_or(&subscription.endpoint);
    let token = oidc::token(&world.push.keys, audience, &subscription.email, world.now())?;
    Request::post(&subscription.endpoint)
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("user-agent", "APIs-Google; (+https://developers.google.com/webmasters/APIs-Google.html)")
        .body(Body::from(body.to_string()))
        .ok()
}
