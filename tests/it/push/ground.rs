//! Helpers for the tests of push channels: followed users, and the channels of Google and the database.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::World;
use crate::support::service::Service;
use crate::support::sim::field;

/// A closed port: delivery is not under test here.
pub const ADDRESS: &str = "http://127.0.0.1:9/google";
pub const TOPIC: &str = "projects/acme/topics/mail";

/// Users whose streams are followed, and no channel yet.
pub fn followed(service: &'static Service, users: u32) -> World {
    let mut world = World::of(service, users, 4);
    world.set("SYNCCTL_PUSH_ADDRESS", ADDRESS);
    world.set("SYNCCTL_PUSH_GMAIL_TOPIC", TOPIC);
    world.sync_all().expect(0);
    world
}

/// IDs of the channels live at Google.
pub fn at_google(world: &World) -> BTreeSet<String> {
    channels(world).iter().map(|channel| field(channel, "id")).collect()
}

pub fn channels(world: &World) -> Vec<Value> {
    world.sim.text("push/channels").lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Channels live at Google, by resource; the watch of a mailbox is one.
pub fn by_resource(world: &World) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for channel in channels(world) {
        *count.entry(format!("{} {}", field(&channel, "user"), field(&channel, "resource"))).or_default() += 1;
    }
    count.extend(watches(world).into_iter().map(|user| (user, 1)));
    count
}

/// The mailboxes watched by Google.
fn watches(world: &World) -> BTreeSet<String> {
    let text = world.sim.text("push/watches");
    text.lines().map(|line| field(&serde_json::from_str(line).expect("a JSON line"), "user")).collect()
}

/// The simulator's history of everything that was ever watched.
#[derive(Debug)]
pub struct Past {
    pub resources: usize,
    /// Time without a live channel since the first one, summed over the resources.
    pub gap_seconds: f64,
    /// Maximum number of concurrent channels of one resource.
    pub most: u64,
}

pub fn past(world: &World) -> Past {
    let history = world.sim.get("push/history");
    let rows = history.as_array().expect("a list");
    Past {
        resources: rows.len(),
        gap_seconds: rows.iter().map(|row| row["gap_seconds"].as_f64().expect("a number")).sum(),
        most: rows.iter().map(|row| row["most"].as_u64().expect("a number")).max().unwrap_or(0),
    }
}

/// Ids of the live rows.
pub fn stored(world: &World) -> BTreeSet<String> {
    world
        .query("SELECT id::text FROM channels WHERE state = 'live' AND expires_at > now()")
        .iter()
        .map(|row| row.get(0))
        .collect()
}

/// The channels of the rows in these states, in the format of `live_at_google`.
fn rows(world: &World, states: &str) -> BTreeSet<String> {
    let name = if world.service.name == "gmail" { "u.email" } else { "c.id::text" };
    let rows = format!(
        "SELECT {name} FROM channels c JOIN users u ON u.id = c.user_id WHERE c.state IN ({states}) AND (c.expires_at > now() OR c.state = 'creating')"
    );
    world.query(&rows).iter().map(|row| row.get(0)).collect()
}

/// IDs of channels; mailboxes by address, since their watches have no IDs.
fn live_at_google(world: &World) -> BTreeSet<String> {
    if world.service.name == "gmail" { watches(world) } else { at_google(world) }
}

pub fn watched_mailboxes(world: &World) -> usize {
    watches(world).len()
}

pub fn watchable(world: &World) -> i64 {
    world.rows("streams WHERE cursor IS NOT NULL AND kind <> 'drive_list' AND state = 'active'")
}

pub fn renew(world: &World) -> crate::support::world::RunResult {
    world.syncctl(&[world.service.name, "renew-watches", "--json"])
}

/// Google has one channel for each stream, and each of them is a live row.
#[track_caller]
pub fn assert_in_step(world: &World) {
    assert_eq!(live_at_google(world), rows(world, "'live'"));
    assert_eq!(by_resource(world).len() as i64, watchable(world));
    assert!(by_resource(world).values().all(|count| *count == 1), "{:?}", by_resource(world));
}

/// Every channel live at Google has a row from which a later run stops it.
#[track_caller]
pub fn assert_no_leak(world: &World) {
    let (there, known) = (live_at_google(world), rows(world, "'creating', 'live', 'stopping'"));
    let leaked: Vec<_> = there.difference(&known).collect();
    assert!(leaked.is_empty(), "channels that the database does not know: {leaked:?}");
}
