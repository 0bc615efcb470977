//! Wrong clocks: those of hosts, which differ all the time, and the database's, which is set from time to time.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use serde_json::json;

use crate::arena::Arena;
use crate::blows::{a_while, end_faults, insist};

/// How many seconds ahead a process with the preloaded library is.
pub const AHEAD: &str = "CHAOS_AHEAD";
/// In seconds. Back only by the amount by which leases may last longer.
const FORWARD: std::ops::Range<i64> = 3..30;
const BACK: std::ops::Range<i64> = 2..12;
pub const MAX_BACK: Duration = Duration::from_secs(BACK.end.unsigned_abs());
/// Steps so close that a heartbeat rarely runs before other hosts find the lease lapsed.
const STEPS: usize = 6;
const STEP: Duration = Duration::from_millis(200);

/// Builds the library that shifts a process's clock; `None`: unsupported on this system.
pub fn library(folder: &Path) -> Option<PathBuf> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    let (source, library) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/chaos/clock.c"), folder.join("clock.so"));
    // Rust links with it, so it is installed.
    let made = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(made.as_ref().is_ok_and(|status| status.success()), "cc makes no library of tests/chaos/clock.c: {made:?}");
    Some(library)
}

/// Sets the database's clock like a time server after an outage: forward, then back by less, so that it is never behind the true time,
/// which fills columns by default. Some answers are in flight during this. Their streams become free for others, and the first run's answer
/// must not overwrite the second run's.
pub fn set(arena: &Arena, chance: &mut StdRng) {
    let method = ["events.list", "history.list", "changes.list"].choose(chance).expect("a method");
    arena.sync.sim.fault(json!({ "fault": "stall_answer", "probability": 0.4, "method": method }));
    arena.pause(a_while(arena, chance));
    for _ in 0..STEPS {
        let seconds = chance.random_range(FORWARD);
        // The ledger uses this clock: spent quota appears older, and may be spent again.
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
    arena.story.record("clock", format!("{seconds} s"));
    insist(arena, |_| format!("UPDATE simulated.clock SET ahead = ahead + interval '{seconds} seconds'"));
}
