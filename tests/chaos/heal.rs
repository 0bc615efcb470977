//! Measures the time until the data is in sync again after a blow, with minutely cron jobs and default settings except for the pace. Each
//! blow has its own environment; some run in parallel.
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

/// Duration of a blow.
const BLOW: Duration = Duration::from_secs(15);
const MINUTE: Duration = Duration::from_secs(60);
/// Environments that are not in sync by then have failed.
const PATIENCE: Duration = Duration::from_secs(600);
/// Number of concurrent blows: with more, a run on a small machine takes as long as the cron interval, and its time would dominate the
/// measurement.
const MAX_CONCURRENT: usize = 8;
/// Maximum allowed time.
pub const MAX_SECONDS: f64 = 90.0;

/// A row of the table: the blow, and the seconds from its end until the data was in sync; `None`: never.
pub type Row = (&'static str, Option<f64>);

/// Runs the blows whose names have this prefix.
pub fn table(prefix: &str) -> Vec<Row> {
    let blows = blows::ALL.iter().chain(&blows::SHORT_WORDS).chain(&deaths::ALL).copied();
    let blows: Vec<(usize, Blow)> = blows.filter(|(name, _, _)| name.starts_with(prefix)).enumerate().collect();
    let (remaining, rows) = (Mutex::new(blows.iter()), Mutex::new(BTreeMap::new()));
    let take = || remaining.lock().expect("no poison").next();
    std::thread::scope(|scope| {
        for _ in 0..MAX_CONCURRENT {
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
        let (mut chance, ends_at) = (StdRng::seed_from_u64(nth), Instant::now() + BLOW);
        blow(&arena, &mut chance);
        // Blows that end immediately are followed by the same number of changes.
        arena.pause(ends_at.saturating_duration_since(Instant::now()));
        blows::clear(&arena);
        let ended = Instant::now();
        churn(&arena, 1_000_000);
        arena.story.record("blow over", name);
        let took = loop {
            std::thread::sleep(Duration::from_secs(1));
            let differences = compare::differences(&arena);
            if differences.is_empty() {
                break Some(ended.elapsed());
            }
            if ended.elapsed() > PATIENCE {
                arena.story.record("never", differences.join("; "));
                break None;
            }
        };
        arena.end();
        took
    });
    if took.is_none_or(|took| took.as_secs_f64() > MAX_SECONDS) {
        println!("{name}: {}", arena.story.keep(9_000 + nth).display());
    }
    (name, took.map(|took| took.as_secs_f64()))
}

/// The cron job of all services, each minute, whatever happened to the previous run.
fn cron(arena: &Arena) {
    let run = || {
        let output = arena.command(&arena.sync, 0, &["sync", "cron"]).stdin(Stdio::null()).output().expect("the binary starts");
        arena.story.record("run", format!("{} {}", output.status, String::from_utf8_lossy(&output.stderr).trim()));
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

/// Users keep making changes during the blow.
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

/// Prints the table; returns whether all rows were in sync in time.
pub fn show(rows: &[Row]) -> bool {
    println!("{:45} {:>10}  aim: {MAX_SECONDS} s", "blow", "healed, s");
    for (name, took) in rows {
        println!("{name:45} {:>10}", took.map_or("never".into(), |took| format!("{took:.0}")));
    }
    rows.iter().all(|(_, took)| took.is_some_and(|took| took <= MAX_SECONDS))
}

/// The rows as JSON.
pub fn json(rows: &[Row]) -> serde_json::Value {
    rows.iter().map(|(name, took)| json!({ "blow": name, "healed_s": took })).collect()
}
