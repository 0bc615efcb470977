//! A reader beside writers that commit out of order, and that is killed all the time. SYNCCTL_TEST_READER_SECONDS: how long (5).

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use postgres::Client;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::support::World;
use crate::support::reader::{Copy, Death};
use crate::support::service::{CALENDAR, DRIVE, GMAIL};

const WRITERS: u64 = 4;
/// Rows of each table: few, so that writers meet.
const KEYS: u32 = 120;
/// Each writes one row; `{k}` is its key, `{n}` what is new, `{user}` a user.
const WRITES: [&str; 8] = [
    "INSERT INTO gmail_messages (stream_id, message_id, user_id, thread_id, subject) VALUES (1, '{k}', '{user}', 't', '{n}')
       ON CONFLICT (stream_id, message_id) DO UPDATE SET subject = excluded.subject, changed_xid = DEFAULT",
    "INSERT INTO calendar_events (stream_id, event_id, user_id, calendar_id, status, raw, summary) VALUES (2, '{k}', '{user}', 'c', 's', '{}', '{n}')
       ON CONFLICT (stream_id, event_id) DO UPDATE SET summary = excluded.summary, changed_xid = DEFAULT",
    "INSERT INTO drive_files (file_id, raw, name) VALUES ('{k}', '{}', '{n}')
       ON CONFLICT (file_id) DO UPDATE SET name = excluded.name, changed_xid = DEFAULT",
    "INSERT INTO drive_file_access (stream_id, file_id, user_id, content_key) VALUES (3, '{k}', '{user}', '{n}')
       ON CONFLICT (stream_id, file_id) DO UPDATE SET content_key = excluded.content_key, changed_xid = DEFAULT",
    "INSERT INTO documents (user_id, source, source_id, kind, title, content_hash) VALUES ('{user}', 's', '{k}', 'k', '{n}', '')
       ON CONFLICT (source, source_id, user_id) DO UPDATE SET title = excluded.title, changed_xid = DEFAULT",
    "INSERT INTO meetings (stream_id, event_id, user_id, detected_by, event_status, title) VALUES (2, '{k}', '{user}', 'r', 's', '{n}')
       ON CONFLICT (stream_id, event_id) DO UPDATE SET title = excluded.title, changed_xid = DEFAULT",
    "DELETE FROM meetings WHERE stream_id = 2 AND event_id = '{k}'",
    "UPDATE gmail_messages SET deleted_at = now(), changed_xid = DEFAULT WHERE stream_id = 1 AND message_id = '{k}'",
];

fn duration() -> Duration {
    let seconds = std::env::var("SYNCCTL_TEST_READER_SECONDS").map_or(5, |seconds| seconds.parse().expect("a number of seconds"));
    Duration::from_secs(seconds)
}

/// One transaction: writes, perhaps undone in part, a wait, and its end.
fn transaction(client: &mut Client, dice: &mut StdRng, user: &str, longest: u64) {
    let mut script = String::from("BEGIN;");
    for _ in 0..dice.random_range(1..6) {
        let write = WRITES[dice.random_range(0..WRITES.len())];
        let (key, new): (u32, u64) = (dice.random_range(0..KEYS), dice.random());
        let write = write.replace("{k}", &key.to_string()).replace("{n}", &new.to_string()).replace("{user}", user);
        script += &match dice.random_range(0..6) {
            0 => format!("SAVEPOINT s; {write}; ROLLBACK TO s;"),
            1 => format!("SAVEPOINT s; {write}; RELEASE s;"),
            _ => format!("{write};"),
        };
    }
    let wait = dice.random_range(0..=longest);
    let end = if dice.random_ratio(1, 8) { "ROLLBACK" } else { "COMMIT" };
    script += &format!("SELECT pg_sleep({wait} / 1000.0); {end}");
    if client.batch_execute(&script).is_err() {
        // A deadlock with another writer.
        client.batch_execute("ROLLBACK").expect("rolled back");
    }
}

/// Reads until `is_over`, killed most of the time; then once more.
fn read_beside(copy: &Copy, is_over: &AtomicBool) {
    let mut dice = StdRng::seed_from_u64(7);
    let (mut reads, mut rows, mut twice) = (0, 0, 0);
    let began = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        let deaths = [Death::Never, Death::BeforeStoring, Death::BeforeCommit, Death::AfterCommit];
        let death = deaths[dice.random_range(0..deaths.len())];
        let read = copy.read_until(death);
        if matches!(death, Death::Never | Death::AfterCommit) {
            (rows, twice) = (rows + read.rows, twice + read.twice);
        }
        reads += 1;
    }
    let last = copy.read();
    println!(
        "{} s: {reads} reads, {} changes, {} twice, none missed",
        began.elapsed().as_secs(),
        rows + last.rows,
        twice + last.twice
    );
    assert_eq!(twice + last.twice, 0);
    assert!(rows > 0, "nothing was read while the writers wrote");
    assert_eq!(copy.read().rows, 0);
}

#[test]
fn a_reader_beside_writers_that_commit_out_of_order_misses_nothing_and_reads_nothing_twice() {
    let world = World::empty();
    let user = world.user("ann@example.com").to_string();
    let copy = Copy::of(&world.database.url());
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|seed| {
                let mut client = world.database.connect();
                let user = user.as_str();
                scope.spawn(move || {
                    let (began, mut dice) = (Instant::now(), StdRng::seed_from_u64(seed));
                    // The first one keeps its transactions open for long.
                    let longest = if seed == 0 { 1500 } else { 30 };
                    while began.elapsed() < duration() {
                        transaction(&mut client, &mut dice, user, longest);
                    }
                })
            })
            .collect();
        scope.spawn(|| read_beside(&copy, &is_over));
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a writer failed");
    });
}

#[test]
fn a_reader_beside_the_jobs_of_four_services_misses_nothing_and_reads_nothing_twice() {
    let mut world = World::empty();
    for service in [&CALENDAR, &GMAIL, &DRIVE] {
        for (name, value) in service.settings {
            world.set(name, *value);
        }
        world.set(service.page_size.expect("pages"), "5");
    }
    world.populate(4, 30);
    world.sim.admin("mail/generate", json!({ "messages": 30, "seed": 7 }));
    world.sim.admin(
        "drive/generate",
        json!({ "files": 30, "shared_drives": 1, "files_per_drive": 30, "members_per_drive": 2, "seed": 7 }),
    );
    let copy = Copy::of(&world.database.url());
    let is_over = AtomicBool::new(false);
    let jobs: [&[&str]; 4] = [
        &["calendar", "cron", "--force"],
        &["gmail", "cron", "--force"],
        &["drive", "cron", "--force"],
        &["sync", "cron", "--parallel"],
    ];
    thread::scope(|scope| {
        let world = &world;
        let writers: Vec<_> = jobs
            .into_iter()
            .map(|job| {
                scope.spawn(move || {
                    let (began, mut seed) = (Instant::now(), 0);
                    while seed == 0 || began.elapsed() < duration() {
                        seed += 1;
                        for service in [&CALENDAR, &GMAIL, &DRIVE].iter().filter(|service| service.name == job[0]) {
                            (service.churn)(world, 20, seed);
                        }
                        world.syncctl(job);
                    }
                })
            })
            .collect();
        scope.spawn(|| read_beside(&copy, &is_over));
        let ended: Vec<_> = writers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        is_over.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a writer failed");
    });
}
