//! The test's side: move the clock, expire tokens, limit and break calls.

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::routing::{get, post};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Named, Params, Shared, user};
use crate::concurrency::Bound;
use crate::faults::Fault;
use crate::feed::Outside;
use crate::latency;
use crate::oauth;
use crate::quota::{Leap, Limits};
use crate::state::{User, World, lock};

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/clock", get(|State(world): Shared| async move { Json(json!({ "now": world.now() })) }).post(clock))
        .route("/expire", post(expire))
        .route("/revoke", post(|state: Shared, body: Json<Named>| async move { set_revoked(&state, &body, true) }))
        .route("/restore", post(|state: Shared, body: Json<Named>| async move { set_revoked(&state, &body, false) }))
        .route("/scopes", post(scopes))
        .route("/consent", post(consent))
        .route("/api", post(api))
        .route("/quota", post(|State(world): Shared, Json(limits): Json<Limits>| async move { world.quota.set(limits) }))
        .route(
            "/quota/leap",
            post(|State(world): Shared, Json(leap): Json<Leap>| async move { world.quota.leap(&leap, world.now()) }),
        )
        .route(
            "/latency",
            get(|State(world): Shared| async move { Json(world.latency.shown()) })
                .post(|State(world): Shared, Json(order): Json<latency::Order>| async move { world.latency.set(order) })
                .delete(|State(world): Shared| async move { world.latency.clear() }),
        )
        .route(
            "/concurrency",
            post(|State(world): Shared, Json(bound): Json<Bound>| async move { world.concurrency.set(bound) }).get(seen),
        )
        .route("/empty_pages", post(empty_pages))
        .route(
            "/window",
            post(|State(world): Shared, Json(order): Json<Window>| async move { *lock(&world.outside) = order.outside }),
        )
        .route(
            "/faults",
            get(|State(world): Shared| async move { Json(world.faults.list()) }).post(add_fault).delete(clear_faults),
        )
        .route("/release", post(|State(world): Shared| async move { world.faults.release() }))
        .route("/stalled", get(stalled))
}

#[derive(Deserialize)]
struct Clock {
    /// Seconds to advance.
    advance: Option<i64>,
    set: Option<DateTime<Utc>>,
    /// Stop it, so that only these requests move it.
    #[serde(default)]
    stop: bool,
}

async fn clock(State(world): Shared, Json(clock): Json<Clock>) -> Answer {
    if let Some(seconds) = clock.advance {
        world.advance(seconds.saturating_mul(1_000));
    }
    if let Some(set) = clock.set {
        world.advance((set - world.now()).num_milliseconds());
    }
    if clock.stop {
        world.stop_clock();
    }
    world.attendee.wake();
    Ok(Json(json!({ "now": world.now() })))
}

#[derive(Deserialize)]
struct Expire {
    what: What,
    user: Option<String>,
    calendar: Option<String>,
    /// `fullSyncRequired` (default) or `updatedMinTooLongAgo`.
    reason: Option<String>,
}

#[derive(Deserialize)]
enum What {
    #[serde(rename = "access_tokens")]
    Access,
    #[serde(rename = "sync_tokens")]
    Sync,
    #[serde(rename = "page_tokens")]
    Page,
    /// Gmail's history before now.
    #[serde(rename = "history")]
    History,
}

async fn expire(State(world): Shared, Json(order): Json<Expire>) -> Answer {
    let users: Vec<Arc<User>> = match &order.user {
        Some(email) => vec![user(&world, email)?],
        None => world.all_users(),
    };
    let mut count = 0;
    if matches!(order.what, What::Access) {
        let mut tokens = world.tokens.write().unwrap_or_else(PoisonError::into_inner);
        let before = tokens.len();
        match &order.user {
            Some(email) => tokens.retain(|_, token| token.email != *email),
            None => tokens.clear(),
        }
        return Ok(Json(json!({ "expired": before - tokens.len() })));
    }
    if matches!(order.what, What::History) {
        users.iter().for_each(|user| lock(&user.mailbox).forget());
        return Ok(Json(json!({ "expired": users.len() })));
    }
    for user in &users {
        for calendar in user.all_calendars() {
            if order.calendar.as_ref().is_some_and(|given| *given != calendar.id) {
                continue;
            }
            let mut feed = lock(&calendar.events);
            match order.what {
                What::Sync => feed.sync_epoch += 1,
                What::Page | What::Access | What::History => feed.page_epoch += 1,
            }
            feed.expired_reason.clone_from(&order.reason);
            count += 1;
        }
    }
    Ok(Json(json!({ "expired": count })))
}

fn set_revoked(world: &World, named: &Named, revoked: bool) -> Answer {
    let user = user(world, &named.user)?;
    if revoked {
        oauth::end(world, &user.email)
    } else {
        user.revoked.store(false, Ordering::Relaxed)
    }
    Ok(Json(json!({ "revoked": revoked })))
}

#[derive(Deserialize)]
struct Scopes {
    user: String,
    scopes: Vec<String>,
}

async fn scopes(State(world): Shared, Json(order): Json<Scopes>) -> Answer {
    let user = user(&world, &order.user)?;
    *lock(&user.scopes) = order.scopes;
    Ok(Json(json!({ "user": order.user })))
}

#[derive(Deserialize)]
struct Consent {
    refresh_token: bool,
}

/// Whether exchanging a code returns a refresh token.
async fn consent(State(world): Shared, Json(order): Json<Consent>) {
    lock(&world.grants).without_refresh_token = !order.refresh_token;
}

#[derive(Deserialize)]
struct Api {
    enabled: bool,
}

async fn api(State(world): Shared, Json(api): Json<Api>) {
    world.api_enabled.store(api.enabled, Ordering::Relaxed);
}

async fn seen(State(world): Shared) -> Answer {
    let (most, refused) = world.concurrency.seen();
    Ok(Json(json!({ "most": most, "refused": refused })))
}

#[derive(Deserialize)]
struct Window {
    outside: Outside,
}

#[derive(Deserialize)]
struct EmptyPages {
    probability: f64,
}

async fn empty_pages(State(world): Shared, Json(order): Json<EmptyPages>) {
    world.empty_pages.store((order.probability.clamp(0.0, 1.0) * 1_000.0) as u64, Ordering::Relaxed);
}

async fn add_fault(State(world): Shared, Json(fault): Json<Fault>) -> Answer {
    let shown = json!(fault);
    world.faults.add(fault);
    Ok(Json(shown))
}

async fn clear_faults(State(world): Shared) {
    world.faults.clear();
}

async fn stalled(State(world): Shared, Query(params): Params) -> Answer {
    let waits = params.get("wait").is_some_and(|wait| wait == "1");
    Ok(Json(json!({ "stalled": world.faults.stalled(waits).await })))
}
