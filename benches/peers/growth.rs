//! syncctl with more streams, and in more processes.

use serde_json::json;

use crate::passes::{self, FEEDS};
use crate::shared::figures::{cpu_of_children, median, timed};
use crate::support::World;

const CALENDARS_PER_USER: u32 = 4;
const ROUNDS: usize = 3;

pub struct Growth {
    /// The larger number of streams.
    pub streams: u32,
    /// CPU time per stream, in microseconds.
    pub few_us: f64,
    pub many_us: f64,
    /// Of 1, 2 and 4 processes.
    pub per_second: [f64; 3],
}

pub fn measure() -> Growth {
    let scale = std::env::var("PEERS_SCALE").map_or(1.0, |text| text.parse().expect("PEERS_SCALE is a number"));
    let streams = ((100_000.0 * scale) as u32).next_multiple_of(CALENDARS_PER_USER);
    let few_us = cpu_us(&world(FEEDS), FEEDS);
    let many = world(streams);
    let many_us = cpu_us(&many, streams);
    let per_second = [1, 2, 4].map(|processes| f64::from(streams) / together(&many, processes));
    Growth { streams, few_us, many_us, per_second }
}

/// Synced calendars.
fn world(streams: u32) -> World {
    eprintln!("growth: {streams} calendars …");
    let mut world = World::empty();
    passes::without_limits(&mut world);
    let users = streams / CALENDARS_PER_USER;
    world
        .sim
        .admin("generate", json!({ "users": users, "calendars_per_user": CALENDARS_PER_USER, "events_per_user": 1, "seed": 7 }));
    world.import();
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.execute("ANALYZE");
    world
}

fn cpu_us(world: &World, streams: u32) -> f64 {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let before = cpu_of_children();
        passes::pass(world, &["calendar", "cron", "--json"], streams);
        rounds.push((cpu_of_children() - before) * 1e6 / f64::from(streams));
    }
    median(rounds)
}

/// Seconds until this many processes have polled all streams.
fn together(world: &World, processes: usize) -> f64 {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        passes::make_due(world);
        let (seconds, ()) = timed(|| {
            let running: Vec<_> = (0..processes).map(|_| world.spawn(&["calendar", "cron", "--parallel", "--json"])).collect();
            for process in running {
                let output = process.wait_with_output().expect("an end");
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            }
        });
        assert_eq!(world.count("SELECT count(*) FROM streams WHERE kind = 'events' AND due_at <= now()"), 0);
        rounds.push(seconds);
    }
    median(rounds)
}
