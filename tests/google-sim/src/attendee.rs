//! Attendee: projects with API keys, bots that live on the simulated clock, what they hear, and webhooks. Independent of Google.

mod admin;
mod ask;
mod bot;
mod bots;
mod content;
mod course;
mod create;
mod errors;
mod meeting_url;
mod page;
mod speech;
mod store;
mod webhooks;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get, post};
use tokio::sync::Notify;

pub use admin::routes as admin_routes;

use crate::state::{World, lock};
use store::Store;

/// The state of Attendee.
#[derive(Default)]
pub struct Attendee {
    store: Mutex<Store>,
    /// Notified when a bot may be due earlier than expected.
    wake: Notify,
}

impl Attendee {
    /// Re-evaluates what is due: the clock was moved, or a bot changed.
    pub fn wake(&self) {
        self.wake.notify_one();
    }
}

pub fn routes() -> Router<Arc<World>> {
    let api = Router::new()
        .route("/bots", get(bots::list).post(create::create))
        .route("/bots/{bot}", get(bots::show).patch(bots::patch).delete(bots::delete))
        .route("/bots/{bot}/leave", post(bots::leave))
        .route("/bots/{bot}/delete_data", post(bots::delete_data))
        .route("/bots/{bot}/transcript", get(content::transcript))
        .route("/bots/{bot}/recording", get(content::recording))
        .route("/bots/{bot}/chat_messages", get(content::chat_messages))
        .route("/bots/{bot}/send_chat_message", post(content::send_chat_message))
        .route("/bots/{bot}/participants", get(content::participants))
        .route("/bots/{bot}/participant_events", get(content::participant_events))
        .route("/{*path}", any(|| async { errors::error(404, "Not found") }));
    Router::new().nest("/api/v1", api)
}

/// Starts the background task that advances the bots, so that webhooks are sent when an event happens and not when a client asks.
pub fn start(world: &Arc<World>) {
    let world = Arc::downgrade(world);
    tokio::spawn(async move {
        loop {
            let Some(world) = world.upgrade() else { return };
            let now = world.now();
            let next = {
                let mut store = lock(&world.attendee.store);
                store.settle(now);
                store.next_at()
            };
            // An unused world must be able to end.
            let most = Duration::from_secs(1);
            let pause = next.and_then(|next| (next - now).to_std().ok()).unwrap_or(most).clamp(Duration::from_millis(1), most);
            let _ = tokio::time::timeout(pause, world.attendee.wake.notified()).await;
        }
    });
}
