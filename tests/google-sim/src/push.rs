//! Push: channels of Calendar and Drive, watches of Gmail, and the delivery of their messages. Independent of feeds: they ring its bells.

mod admin;
mod ask;
mod bell;
mod channel;
mod deliver;
mod flood;
mod oidc;
mod pubsub;
mod registry;
mod watches;

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::state::{World, lock};
use bell::Ring;
use channel::Channel;
use pubsub::Subscription;
use registry::Registry;
use watches::Watches;

pub use ask::{Resource, stop, watch};
pub use bell::{Bell, all_drives_key, events_key, file_key, log_key};
pub use deliver::{Courier, Outcome};
pub use watches::{stop_mailbox, watch_mailbox};

/// The state of push.
pub struct Push {
    registry: Mutex<Registry>,
    watches: Mutex<Watches>,
    /// By topic.
    subscriptions: Mutex<BTreeMap<String, Subscription>>,
    rings: UnboundedSender<Ring>,
    /// Present until the delivery has started.
    waiting: Mutex<Option<UnboundedReceiver<Ring>>>,
    courier: Courier,
    counts: Counts,
    silence: Silence,
    keys: oidc::Keys,
}

/// Messages since the start.
#[derive(Default, Serialize)]
struct Counts {
    /// Put on the wire at least once.
    sent: AtomicU64,
    /// Answered with 2xx.
    delivered: AtomicU64,
    /// Given up after the last attempt.
    failed: AtomicU64,
    /// Refused by the receiver, silenced, or overtaken by the end of their channel.
    dropped: AtomicU64,
}

/// Channels that are kept but not notified.
#[derive(Default)]
struct Silence {
    all: AtomicBool,
    users: Mutex<HashSet<String>>,
}

impl Default for Push {
    fn default() -> Self {
        let (rings, waiting) = unbounded_channel();
        Self {
            registry: Mutex::default(),
            watches: Mutex::default(),
            subscriptions: Mutex::default(),
            rings,
            waiting: Mutex::new(Some(waiting)),
            courier: Courier::default(),
            counts: Counts::default(),
            silence: Silence::default(),
            keys: oidc::Keys::default(),
        }
    }
}

impl Push {
    fn is_silent(&self, user: &str) -> bool {
        self.silence.all.load(Ordering::Relaxed) || lock(&self.silence.users).contains(user)
    }
}

fn bump(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Google's routes that belong to no API.
pub fn routes() -> Router<Arc<World>> {
    Router::new().route("/oauth2/v3/certs", get(|State(world): State<Arc<World>>| async move { oidc::certs(&world.push.keys) }))
}

/// The test's side, under `/admin`.
pub fn admin_routes() -> Router<Arc<World>> {
    Router::new().nest("/push", admin::routes())
}

/// Starts delivery in the background.
pub fn start(world: &Arc<World>) {
    let Some(mut rings) = lock(&world.push.waiting).take() else { return };
    let world = Arc::downgrade(world);
    tokio::spawn(async move {
        while let Some(ring) = rings.recv().await {
            let Some(world) = world.upgrade() else { return };
            rung(&world, ring);
        }
    });
}

/// Queues a message for every channel that the change concerns.
fn rung(world: &Arc<World>, ring: Ring) {
    match ring {
        Ring::Made(channel) => deliver::queue(world, &channel, channel.next("sync", None)),
        Ring::Mail { user, history, labels } => pubsub::mail(world, &user, history, labels.as_deref()),
        Ring::Feed(key) => notify(world, &key, "exists", None),
        Ring::File { key, state, changed } => notify(world, &key, state, changed.as_deref()),
        Ring::Log(key) => notify(world, &key, "change", None),
    }
}

fn notify(world: &Arc<World>, key: &str, state: &'static str, changed: Option<&str>) {
    let channels: Vec<Arc<Channel>> = lock(&world.push.registry).woken(key, world.now().timestamp_millis());
    for channel in channels {
        let message = channel.next(state, changed);
        deliver::queue(world, &channel, message);
    }
}
