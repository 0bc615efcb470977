//! Users whose streams are followed and announced, and the notified server.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::Server;
use crate::support::World;
use crate::support::service::Service;

const TOPIC: &str = "projects/bench/topics/mail";
const ACCOUNT: &str = "push@bench.iam.example.com";
const AUDIENCE: &str = "bench";

/// Dropped in this order.
pub struct Watched {
    pub server: Server,
    pub world: World,
}

/// This many users, each stream with a live channel to a server with these arguments; nothing is due.
pub fn watched(service: &'static Service, users: u32, settings: &[(&'static str, &str)], arguments: &[&str]) -> Watched {
    let mut world = World::of(service, users, 10);
    let keys = format!("{}/oauth2/v3/certs", world.sim.url);
    for (name, value) in [
        ("SYNCCTL_WEBHOOK_OIDC_AUDIENCE", AUDIENCE),
        ("SYNCCTL_WEBHOOK_OIDC_EMAIL", ACCOUNT),
        ("SYNCCTL_WEBHOOK_KEYS_URL", &keys),
        ("SYNCCTL_PUSH_GMAIL_TOPIC", TOPIC),
    ] {
        world.set(name, value);
    }
    for (name, value) in settings {
        world.set(name, *value);
    }
    world.sync_all().expect(0);
    let server = Server::start(&world, arguments);
    world.set("SYNCCTL_PUSH_ADDRESS", format!("http://{}", server.address));
    let endpoint = format!("http://{}/gmail", server.address);
    world.sim.admin("push/subscription", json!({ "topic": TOPIC, "endpoint": endpoint, "email": ACCOUNT, "audience": AUDIENCE }));
    world.syncctl(&[service.name, "renew-watches"]).expect(0);
    let channels = world.count("SELECT count(*) FROM channels WHERE state = 'live'");
    wait(&world, "each channel's first message", || world.count("SELECT count(*) FROM notifications") >= channels);
    world.syncctl(&["webhook", "drain"]).expect(0);
    Watched { server, world }
}

/// Polls until the condition holds, for at most a minute and a half.
pub fn wait(world: &World, what: &str, so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(90);
    while !so() {
        assert!(Instant::now() < until, "waited in vain for {what}: {}", world.sim.get("push/count"));
        std::thread::sleep(Duration::from_millis(20));
    }
}
