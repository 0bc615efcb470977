//! Many messages to the addresses of channels, for load tests of a receiver.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Json, State};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;

use super::admin::live;
use super::channel::Channel;
use super::deliver::{self, Outcome};
use crate::admin::{Answer, Shared, Wrong};
use crate::state::lock;

const CONNECTIONS: usize = 32;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Absent: all live ones in turn.
    channel: Option<String>,
    messages: u64,
    /// 0: as fast as possible.
    #[serde(default)]
    per_second: f64,
    /// Maximum concurrency.
    connections: Option<usize>,
    /// Attempts per message; absent: one.
    tries: Option<u32>,
}

/// Sends them, and answers when all are answered; they are in no other count.
pub async fn flood(State(world): Shared, Json(order): Json<Order>) -> Answer {
    let channels: Vec<Arc<Channel>> = match &order.channel {
        Some(id) => vec![live(&world, id)?],
        None => {
            let now = world.now().timestamp_millis();
            lock(&world.push.registry).all().filter(|channel| channel.is_live(now)).cloned().collect()
        }
    };
    if channels.is_empty() {
        return Err(Wrong("no live channel".into()));
    }
    let (courier, tries) = (&world.push.courier, order.tries.unwrap_or(1));
    let began = Instant::now();
    let pause = (order.per_second > 0.0).then(|| 1.0 / order.per_second);
    let sent = stream::iter(0..order.messages)
        .map(|nth| (nth, Arc::clone(&channels[nth as usize % channels.len()])))
        .then(|(nth, channel)| async move {
            if let Some(pause) = pause {
                let due = began + Duration::from_secs_f64(pause * nth as f64);
                tokio::time::sleep_until(due.into()).await;
            }
            channel
        })
        .map(|channel| async move {
            let started = Instant::now();
            let message = channel.next("exists", None);
            for nth in 1..=tries {
                let Some(request) = channel.request(&message) else { break };
                match courier.post(request).await {
                    Outcome::Delivered => return (Some(nth), started.elapsed()),
                    Outcome::Refused => break,
                    Outcome::Retry if nth < tries => tokio::time::sleep(deliver::pause(nth)).await,
                    Outcome::Retry => {}
                }
            }
            (None, started.elapsed())
        });
    let outcomes: Vec<(Option<u32>, Duration)> =
        sent.buffer_unordered(order.connections.unwrap_or(CONNECTIONS).max(1)).collect().await;
    let seconds = began.elapsed().as_secs_f64();
    let mut waits: Vec<f64> = outcomes.iter().map(|(_, wait)| wait.as_secs_f64() * 1_000.0).collect();
    waits.sort_by(f64::total_cmp);
    let at = |part: f64| waits.get((waits.len() as f64 * part) as usize).or(waits.last());
    let delivered = outcomes.iter().filter(|(nth, _)| nth.is_some()).count();
    let again = outcomes.iter().filter(|(nth, _)| nth.is_some_and(|nth| nth > 1)).count();
    Ok(Json(
        json!({ "messages": outcomes.len(), "delivered": delivered, "delivered_again": again, "failed": outcomes.len() - delivered, "seconds": seconds,
        "p50_ms": at(0.5), "p99_ms": at(0.99), "max_ms": waits.last() }),
    ))
}
