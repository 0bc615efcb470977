//! Simulated users who keep changing their data, and Attendee's clock, which keeps advancing.

use std::time::Duration;

use chrono::Duration as Minutes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::arena::Arena;
use crate::support::service::{CALENDAR, DRIVE, GMAIL};

/// Pause between two changes of a kind.
const GAP: Duration = Duration::from_millis(120);
/// Minimum time, in minutes, between a change of a meeting and its start, so that its bot can be scheduled.
const EARLY: i64 = 240;

pub fn make(arena: &Arena) {
    let mut chance = StdRng::seed_from_u64(arena.seed);
    let users: Vec<String> = arena.meetings.sim.users().into_iter().collect();
    let mut meetings: Vec<(String, String, chrono::DateTime<chrono::Utc>)> = Vec::new();
    let mut nth = 0u64;
    while !arena.is_over() {
        nth += 1;
        let seed = arena.seed * 1_000_000 + nth;
        for service in [&CALENDAR, &GMAIL, &DRIVE] {
            (service.churn)(&arena.sync, 2, seed);
            arena.story.record("change", service.name);
        }
        if nth.is_multiple_of(4) {
            arena.meetings.pass(1);
            meet(arena, &users, &mut meetings, nth, &mut chance);
        }
        arena.pause(GAP);
    }
}

/// Creates a meeting, and moves or cancels another one that is far enough away.
fn meet(
    arena: &Arena,
    users: &[String],
    meetings: &mut Vec<(String, String, chrono::DateTime<chrono::Utc>)>,
    nth: u64,
    chance: &mut StdRng,
) {
    let world = &arena.meetings;
    let now = world.sim_now();
    let at = |user: &str, id: &str, chance: &mut StdRng| {
        let minutes = EARLY + chance.random_range(10..300);
        world.meet(user, id, minutes);
        now + Minutes::minutes(minutes)
    };
    let (user, id) = (users[chance.random_range(0..users.len())].clone(), format!("c{nth}"));
    let start = at(&user, &id, chance);
    meetings.push((user, id, start));
    meetings.retain(|(_, _, start)| *start > now + Minutes::minutes(EARLY));
    if meetings.len() > 3 {
        let index = chance.random_range(0..meetings.len());
        let (user, id, _) = meetings[index].clone();
        if chance.random_bool(0.5) {
            world.sim.delete_event(&user, &id);
            meetings.swap_remove(index);
        } else {
            meetings[index].2 = at(&user, &id, chance);
        }
    }
    arena.story.record("change", "meetings");
}
