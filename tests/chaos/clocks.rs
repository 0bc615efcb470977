//! Clocks that are wrong: those of hosts, which differ all the time, and the database's, which is set now and then.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::json;

use crate::arena::Arena;
use crate::blows::{a_while, end_faults, insist};

/// By how many seconds a process that is loaded with the library is ahead.
pub const AHEAD: &str = "CHAOS_AHEAD";
/// In seconds. Back only by as much as leases may last longer for it.
const FORWARD: std::ops::Range<i64> = 3..30;
const BACK: std::ops::Range<i64> = 2..12;
pub const BACK_AT_MOST: Duration = Duration::from_secs(BACK.end.unsigned_abs());
/// Steps so close that a heartbeat hardly comes before others find the lease lapsed.
const STEPS: usize = 6;
const STEP: Duration = Duration::from_millis(200);

/// Makes the library that gives a process another time; `None`: not on this system.
pub fn library(folder: &Path) -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let (source, library) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/clock.c"), folder.join("clock.so"));
    // Rust links with it, so it is there.
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(made.as_ref().is_ok_and(|status| status.success()), "cc makes no library of tests/chaos/clock.c: {made:?}");
    Some(library)
}

/// Sets the database's clock, as a time server does that was not reached for long: forward, then back by less, so that it is never behind the true
/// one, which fills columns by default. Some answers are under way meanwhile. Their streams are free for others then, and what came for the first
/// must not overwrite what came for the second.
pub fn set(arena: &Arena, chance: &mut StdRng) {
    let method = ["events.list", "history.list", "changes.list"].choose(chance).expect("a method");
    arena.sync.sim.fault(json!({ "fault": "stall_answer", "probability": 0.4, "method": method }));
    arena.pause(a_while(arena, chance));
    for _ in 0..STEPS {
        let seconds = chance.random_range(FORWARD);
        // The ledger counts by this clock: what was spent is longer ago then, and may be spent again.
        arena.sync.sim.admin("quota/leap", json!({ "seconds": seconds }));
        step(arena, seconds);
        arena.pause(STEP);
    }
    arena.pause(a_while(arena, chance));
    step(arena, -chance.random_range(BACK));
    end_faults(arena);
    arena.sync.sim.admin("release", json!({}));
}

fn step(arena: &Arena, seconds: i64) {
    arena.story.tell("clock", format!("{seconds} s"));
    insist(arena, |_| format!("UPDATE simulated.clock SET ahead = ahead + interval '{seconds} seconds'"));
}
