//! How long it takes until everything is in step again after a blow, at cron lines of a minute and default settings but for the pace: one blow
//! each in a place of its own, some side by side.
//!
//!     cargo test --test chaos -- --heal [BLOW]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;

use crate::arena::Arena;
use crate::blows::{self, Blow};
use crate::support::service::{CALENDAR, DRIVE, GMAIL};
use crate::{compare, deaths, judge};

/// How long a blow lasts.
const BLOW: Duration = Duration::from_secs(15);
const MINUTE: Duration = Duration::from_secs(60);
/// Whoever is not in step by then never will be.
const PATIENCE: Duration = Duration::from_secs(600);
/// Blows at once: with more, a run takes as long as a line of cron on a small machine, and its time is what is measured.
const AT_ONCE: usize = 8;
/// Nothing may take longer.
pub const AIM_S: f64 = 90.0;

/// A row of the table: the blow, and the seconds from its end until everything was in step; `None`: it never was.
pub type Row = (&'static str, Option<f64>);

/// Of the blows whose names begin so.
pub fn table(prefix: &str) -> Vec<Row> {
    let blows = blows::ALL.iter().chain(&blows::SHORT_WORDS).chain(&deaths::ALL).copied();
    let blows: Vec<(usize, Blow)> = blows.filter(|(name, _, _)| name.starts_with(prefix)).enumerate().collect();
    let (left, rows) = (Mutex::new(blows.iter()), Mutex::new(BTreeMap::new()));
    let take = || left.lock().expect("no poison").next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((nth, blow)) = take() {
                    let row = heal(*nth as u64, *blow);
                    rows.lock().expect("no poison").insert(*nth, row);
                }
            });
        }
    });
    rows.into_inner().expect("no poison").into_values().collect()
}

fn heal(nth: u64, (name, blow, _): Blow) -> Row {
    let arena = Arena::calm(nth, BLOW);
    judge::heal(&arena);
    let took = std::thread::scope(|scope| {
        scope.spawn(|| cron(&arena));
        scope.spawn(|| change(&arena));
        let (mut chance, over) = (StdRng::seed_from_u64(nth), Instant::now() + BLOW);
        blow(&arena, &mut chance);
        // What is over at once is followed by as many changes.
        arena.pause(over.saturating_duration_since(Instant::now()));
        blows::clear(&arena);
        let ended = Instant::now();
        churn(&arena, 1_000_000);
        arena.story.tell("blow over", name);
        let took = loop {
            std::thread::sleep(Duration::from_secs(1));
            let differences = compare::differences(&arena);
            if differences.is_empty() {
                break Some(ended.elapsed());
            }
            if ended.elapsed() > PATIENCE {
                arena.story.tell("never", differences.join("; "));
                break None;
            }
        };
        arena.end();
        took
    });
    if took.is_none_or(|took| took.as_secs_f64() > AIM_S) {
        println!("{name}: {}", arena.story.keep(9_000 + nth).display());
    }
    (name, took.map(|took| took.as_secs_f64()))
}

/// A line of cron: the job of all services, each minute, whatever became of the one before.
fn cron(arena: &Arena) {
    let run = || {
        let output = arena.command(&arena.sync, 0, &["sync", "cron"]).stdin(Stdio::null()).output().expect("the binary starts");
        arena.story.tell("run", format!("{} {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
    };
    std::thread::scope(|scope| {
        let mut next = Instant::now();
        while !arena.is_over() {
            scope.spawn(run);
            next += MINUTE;
            arena.pause(next.saturating_duration_since(Instant::now()));
        }
    });
}

/// People go on while the blow lasts.
fn change(arena: &Arena) {
    let until = Instant::now() + BLOW;
    let mut nth = 0;
    while !arena.is_over() && Instant::now() < until {
        nth += 1;
        churn(arena, nth);
        std::thread::sleep(Duration::from_millis(500));
    }
}

fn churn(arena: &Arena, seed: u64) {
    for service in [&CALENDAR, &GMAIL, &DRIVE] {
        (service.churn)(&arena.sync, 2, seed);
    }
}

/// Prints the table; answers whether everything was in step in time.
pub fn show(rows: &[Row]) -> bool {
    println!("{:45} {:>10}  aim: {AIM_S} s", "blow", "healed, s");
    for (name, took) in rows {
        println!("{name:45} {:>10}", took.map_or("never".into(), |took| format!("{took:.0}")));
    }
    rows.iter().all(|(_, took)| took.is_some_and(|took| took <= AIM_S))
}

/// The rows as JSON.
pub fn json(rows: &[Row]) -> serde_json::Value {
    rows.iter().map(|(name, took)| json!({ "blow": name, "healed_s": took })).collect()
}
