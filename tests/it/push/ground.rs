//! What the tests of push channels stand on: who is followed, and what Google and the database hold of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::Service;
use crate::support::sim::field;

/// Nobody listens there: what is announced is not under test here.
pub const ADDRESS: &str = "http://127.0.0.1:9/google";

/// Users whose streams are followed, and no channel yet.
pub fn followed(service: &'static Service, users: u32) -> World {
    let mut world = World::of(service, users, 4);
    world.set("SYNCCTL_PUSH_ADDRESS", ADDRESS);
    world.sync_all().expect(0);
    world
}

/// Ids of the channels that live at Google.
pub fn at_google(world: &World) -> BTreeSet<String> {
    channels(world).iter().map(|channel| field(channel, "id")).collect()
}

pub fn channels(world: &World) -> Vec<Value> {
    world.sim.text("push/channels").lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

/// Channels that live at Google, by resource.
pub fn by_resource(world: &World) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    for channel in channels(world) {
        *count.entry(format!("{} {}", field(&channel, "user"), field(&channel, "resource"))).or_default() += 1;
    }
    count
}

/// Ids of the live rows.
pub fn stored(world: &World) -> BTreeSet<String> {
    world
        .query("SELECT id::text FROM channels WHERE state = 'live' AND expires_at > now()")
        .iter()
        .map(|row| row.get(0))
        .collect()
}

pub fn watched_mailboxes(world: &World) -> usize {
    world.sim.text("push/watches").lines().count()
}

pub fn watchable(world: &World) -> i64 {
    world.count("SELECT count(*) FROM streams WHERE cursor IS NOT NULL AND kind <> 'drive_list' AND state = 'active'")
}

pub fn renew(world: &World) -> crate::support::world::Ran {
    world.syncctl(&[world.service.name, "renew-watches", "--json"])
}

/// Moves the simulator's clock and the database's forward by so many hours, for everything that runs from now on: `now()` of a schema that
/// comes before `pg_catalog` in the search path is the real one and an offset. Channels are made, renewed and forgotten by `now()`.
pub fn move_clock(world: &World, hours: i64) {
    world.sim.admin("clock", json!({ "advance": hours * 3600 }));
    world.execute(&format!(
        "CREATE SCHEMA IF NOT EXISTS simulated;
         CREATE TABLE IF NOT EXISTS simulated.clock (ahead interval NOT NULL);
         INSERT INTO simulated.clock SELECT '0' WHERE NOT EXISTS (SELECT FROM simulated.clock);
         UPDATE simulated.clock SET ahead = ahead + interval '{hours} hours';
         CREATE OR REPLACE FUNCTION simulated.now() RETURNS timestamptz STABLE LANGUAGE sql
           AS 'SELECT pg_catalog.now() + ahead FROM simulated.clock';
         DO $$ BEGIN
           EXECUTE format('ALTER DATABASE %I SET search_path = public, simulated, pg_catalog', current_database());
         END $$"
    ));
}

#[track_caller]
pub fn assert_in_step(world: &World) {
    assert_eq!(at_google(world), stored(world));
    assert_eq!(by_resource(world).len() as i64, watchable(world));
    assert!(by_resource(world).values().all(|count| *count == 1), "{:?}", by_resource(world));
}
