//! From a change to its row without push, with the default pace and the crontab's schedule. Time is accelerated: the clocks of the
//! simulator and of the database are moved on, and every five minutes of simulated time `calendar cron` runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::delay::CHANGES;
use crate::shared::changes::change;
use crate::shared::delays::Delays;
use crate::support::World;
use crate::support::service::CALENDAR;

const USERS: u32 = 50;
/// Seconds between two runs.
const TICK: u32 = 300;
/// A day, preceded by half a day in which the pace settles.
const DAY: u32 = 24 * 3600;

/// 200 changes of 50 users in a day.
pub fn without_push() -> Delays {
    eprintln!("calendar: {CHANGES} changes in a day without push …");
    let world = World::of(&CALENDAR, USERS, 10);
    world.sync_all().expect(0);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let mut chance = StdRng::seed_from_u64(3);
    let mut times: Vec<u32> = (0..CHANGES).map(|_| DAY / 2 + chance.random_range(0..DAY)).collect();
    times.sort_unstable();
    let mut times = times.into_iter().zip(0..).peekable();
    let (mut waiting, mut delays, mut clock) = (BTreeMap::new(), Vec::new(), 0);
    let mut move_to = |time: u32| {
        world.sim.admin("clock", json!({ "advance": time - clock }));
        clock = time;
    };
    for tick in (TICK..).step_by(TICK as usize) {
        while let Some((time, nth)) = times.next_if(|(time, _)| *time < tick) {
            move_to(time);
            waiting.insert(change(&world, &users[chance.random_range(0..users.len())], nth), time);
        }
        move_to(tick);
        world.move_database_clock(f64::from(TICK) / 3600.0);
        let started = Instant::now();
        world.syncctl(&["calendar", "cron"]).expect(0);
        let took = started.elapsed().as_secs_f64();
        let rows = world.query("SELECT u.email || ' ' || e.event_id FROM calendar_events e JOIN users u ON u.id = e.user_id WHERE e.event_id LIKE 'bench%'");
        let there: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
        waiting.retain(|id, made| {
            let arrived = there.contains(id);
            if arrived {
                delays.push(f64::from(tick - *made) + took);
            }
            !arrived
        });
        if times.peek().is_none() && waiting.is_empty() {
            break;
        }
        assert!(tick < 3 * DAY, "changes that no poll finds: {waiting:?}");
    }
    Delays::of(delays)
}
