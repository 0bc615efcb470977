//! The test's side of push: live channels, silenced channels, replays, and gaps in watching.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Json, State};
use axum::http::Uri;
use axum::routing::{get, post};
use chrono::DateTime;
use serde::Deserialize;
use serde_json::{Value, json};

use super::channel::Channel;
use super::pubsub::Subscription;
use super::{deliver, flood};
use crate::admin::{Answer, Shared, Wrong};
use crate::state::{World, lock};

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/channels", get(channels))
        .route("/watches", get(watches))
        .route("/subscription", post(subscribe))
        .route("/count", get(|State(world): Shared| async move { Json(json!(world.push.counts)) }))
        .route("/keys", get(keys).post(rotate))
        .route("/history", get(history))
        .route("/silence", post(silence))
        .route("/replay", post(replay))
        .route("/flood", post(flood::flood))
}

/// JSON lines of the live channels.
async fn channels(State(world): Shared) -> String {
    let now = world.now().timestamp_millis();
    let registry = lock(&world.push.registry);
    registry.all().filter(|channel| channel.is_live(now)).map(|channel| format!("{}\n", channel.shown())).collect()
}

/// JSON lines of the live watches.
async fn watches(State(world): Shared) -> String {
    let now = world.now().timestamp_millis();
    lock(&world.push.watches).live(now).map(|(user, watch)| format!("{}\n", watch.shown(user))).collect()
}

/// The endpoint for the messages of a topic; replaces the previous one.
async fn subscribe(State(world): Shared, Json(subscription): Json<Subscription>) -> Answer {
    if subscription.endpoint.parse::<Uri>().is_err() {
        return Err(Wrong(format!("{} is no address", subscription.endpoint)));
    }
    let name = json!({ "subscription": subscription.name() });
    lock(&world.push.subscriptions).insert(subscription.topic.clone(), subscription);
    Ok(Json(name))
}

/// How often the keys of Pub/Sub's tokens were requested.
async fn keys(State(world): Shared) -> Json<Value> {
    Json(json!({ "asked": world.push.keys.asked() }))
}

/// From now on tokens are signed with another key, and the previous one is no longer published.
async fn rotate(State(world): Shared) -> Json<Value> {
    Json(json!({ "kid": world.push.keys.rotate() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quiet {
    channel: Option<String>,
    user: Option<String>,
    #[serde(default)]
    all: bool,
    on: bool,
}

async fn silence(State(world): Shared, Json(order): Json<Quiet>) -> Answer {
    let silence = &world.push.silence;
    if order.all {
        silence.all.store(order.on, Ordering::Relaxed);
    }
    if let Some(user) = order.user {
        let mut users = lock(&silence.users);
        if order.on {
            users.insert(user)
        } else {
            users.remove(&user)
        };
    }
    if let Some(id) = order.channel {
        live(&world, &id)?.silent.store(order.on, Ordering::Relaxed);
    }
    Ok(Json(json!({ "on": order.on })))
}

#[derive(Deserialize)]
struct Again {
    channel: String,
}

/// The last message, under its old number.
async fn replay(State(world): Shared, Json(order): Json<Again>) -> Answer {
    let channel = live(&world, &order.channel)?;
    let message = channel.last().ok_or_else(|| Wrong(format!("{} has got no message yet", order.channel)))?;
    let number = message.number;
    deliver::queue(&world, &channel, message);
    Ok(Json(json!({ "message_number": number })))
}

/// The live channel of this id.
pub fn live(world: &World, id: &str) -> Result<Arc<Channel>, Wrong> {
    let now = world.now().timestamp_millis();
    let registry = lock(&world.push.registry);
    let channel = registry.named(id).find(|channel| channel.is_live(now));
    channel.cloned().ok_or_else(|| Wrong(format!("no live channel {id}")))
}

/// When a resource was watched, and the maximum number of concurrent channels.
#[derive(Default)]
struct Past {
    spans: Vec<(i64, i64)>,
    most: usize,
}

/// For every resource ever watched: the intervals in which it was (absent end: still), how long it was not since the first, and the maximum
/// number of concurrent channels.
async fn history(State(world): Shared) -> Json<Value> {
    let now = world.now().timestamp_millis();
    let mut past: BTreeMap<(String, String, String), Past> = BTreeMap::new();
    let registry = lock(&world.push.registry);
    for channel in registry.all() {
        let resource = past.entry((channel.api.to_owned(), channel.user.clone(), channel.resource.clone())).or_default();
        resource.spans.push((channel.made, channel.ends.load(Ordering::Relaxed)));
        resource.most = registry.most(channel);
    }
    drop(registry);
    for (user, span) in lock(&world.push.watches).spans() {
        let mailbox = past.entry(("gmail".into(), user, "mail".into())).or_default();
        mailbox.spans.push(span);
        // A new watch replaces the old one.
        mailbox.most = 1;
    }
    let shown = past.into_iter().map(|((api, user, resource), past)| {
        let spans = joined(past.spans);
        let gaps: i64 = spans.windows(2).map(|pair| pair[1].0 - pair[0].1).sum();
        let since_the_last = spans.last().map_or(0, |last| (now - last.1).max(0));
        let intervals: Vec<Value> = spans
            .into_iter()
            .map(|(from, to)| {
                let to = Some(to).filter(|to| *to <= now).and_then(DateTime::from_timestamp_millis);
                json!({ "from": DateTime::from_timestamp_millis(from), "to": to })
            })
            .collect();
        json!({ "api": api, "user": user, "resource": resource, "intervals": intervals, "most": past.most,
            "gap_seconds": (gaps + since_the_last) as f64 / 1_000.0 })
    });
    Json(shown.collect())
}

/// Merges overlapping and adjacent spans.
fn joined(mut spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    spans.sort_unstable();
    let mut joined: Vec<(i64, i64)> = Vec::new();
    for (from, to) in spans {
        match joined.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}
