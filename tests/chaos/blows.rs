//! Faults injected from outside: at Google, PostgreSQL and the pooler, and into their state.

use std::time::Duration;

use postgres::{Client, NoTls};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rustix::process::{Pid, Signal};
use serde_json::json;

use crate::arena::Arena;
use crate::clocks;
use crate::support::World;
use crate::support::pgbouncer;
use crate::support::receiver::Reply;
use crate::support::service::{ATTENDEE, CALENDAR};

/// Pause between two blows, in milliseconds.
const REST: std::ops::Range<u64> = 200..1_500;

/// Its name, the function that runs it to its end, and its weight.
pub type Blow = (&'static str, fn(&Arena, &mut StdRng), u32);

/// The blows of a chaos run.
pub const ALL: [Blow; 19] = [
    ("google fails at one call in five", fails_often, 10),
    ("google says 503 to everything", |arena, chance| says(arena, chance, "unavailable_503"), 2),
    ("google says 429 to everything", |arena, chance| says(arena, chance, "rate_limit_429"), 2),
    ("google says 401 to everything", |arena, chance| says(arena, chance, "auth_error"), 2),
    ("access tokens expire", |arena, _| expire(arena, "access_tokens"), 3),
    ("sync tokens expire", |arena, _| expire(arena, "sync_tokens"), 2),
    ("page tokens expire", |arena, _| expire(arena, "page_tokens"), 2),
    ("history expires", |arena, _| expire(arena, "history"), 2),
    ("google's clock goes on", |arena, _| drop(arena.sync.sim.admin("clock", json!({ "advance": 600 }))), 2),
    ("a user is revoked and restored", revoke, 1),
    ("all backends are ended", end_backends, 4),
    ("postgresql is killed", kill_postgres, 1),
    ("postgresql is restarted", restart_postgres, 1),
    ("rows are locked by others", lock_rows, 3),
    ("connections run out", exhaust, 2),
    ("statements time out", time_out, 2),
    ("the disk is full", fill_disk, 3),
    ("the pooler is cut", cut_pooler, 2),
    ("the database's clock is set", clocks::set, 6),
];

/// Google's short-lived refusals, which must not stop a stream for long.
pub const SHORT_WORDS: [Blow; 4] = [
    ("google says that the api is switched off", |arena, chance| says(arena, chance, "access_not_configured"), 0),
    ("google says 404 once of each list of events", |arena, _| says_once(arena, "not_found", "events.list"), 0),
    ("google says quotaExceeded once", |arena, _| says_once(arena, "quota_exceeded", "events.list"), 0),
    ("the token endpoint fails", |arena, chance| says_by(arena, chance, "server_500", "token"), 0),
];

/// Strikes until the chaos run is over; each blow ends before the next one begins.
pub fn strike(arena: &Arena) {
    let mut chance = StdRng::seed_from_u64(arena.seed * 1_000 + 500);
    while !arena.is_over() {
        let (name, blow, _) = ALL.choose_weighted(&mut chance, |(_, _, weight)| *weight).expect("weights");
        arena.story.record("blow", name);
        blow(arena, &mut chance);
        arena.story.record("blow over", name);
        arena.pause(Duration::from_millis(chance.random_range(REST)));
    }
    clear(arena);
}

/// Removes all faults.
pub fn clear(arena: &Arena) {
    arena.receivers.iter().for_each(|receiver| receiver.answer(|_| Reply::Status(200)));
    arena.worlds().iter().for_each(|world| world.sim.clear_faults());
}

/// Duration of a blow.
pub fn a_while(arena: &Arena, chance: &mut StdRng) -> Duration {
    arena.blow.unwrap_or_else(|| Duration::from_millis(chance.random_range(300..3_000)))
}

fn fails_often(arena: &Arena, chance: &mut StdRng) {
    for (world, kinds) in [(&arena.sync, CALENDAR.mixed), (&arena.meetings, ATTENDEE.mixed)] {
        for kind in kinds {
            world.sim.fault(json!({ "fault": kind, "probability": 0.2 / kinds.len() as f64 }));
        }
    }
    arena.pause(a_while(arena, chance));
    end_faults(arena);
}

fn says(arena: &Arena, chance: &mut StdRng, kind: &str) {
    arena.sync.sim.fault(json!({ "fault": kind, "probability": 1.0 }));
    arena.pause(a_while(arena, chance));
    end_faults(arena);
}

fn says_by(arena: &Arena, chance: &mut StdRng, kind: &str, method: &str) {
    arena.sync.sim.admin("expire", json!({ "what": "access_tokens" }));
    arena.sync.sim.fault(json!({ "fault": kind, "probability": 1.0, "method": method }));
    arena.pause(a_while(arena, chance));
    end_faults(arena);
}

/// Once for each user; ends when all users have received it.
fn says_once(arena: &Arena, kind: &str, method: &str) {
    let users = arena.sync.sim.users();
    for user in &users {
        arena.sync.sim.fault(json!({ "fault": kind, "at_call": 1, "times": 1, "method": method, "user": user }));
    }
    let struck = || {
        let faults = arena.sync.sim.get("faults");
        faults.as_array().into_iter().flatten().filter(|fault| fault["hits"].as_u64() > Some(0)).count()
    };
    while !arena.is_over() && struck() < users.len() {
        arena.pause(Duration::from_millis(100));
    }
}

/// Counts the faults that struck, then removes them.
pub fn end_faults(arena: &Arena) {
    for world in arena.worlds() {
        let faults = world.sim.get("faults");
        for fault in faults.as_array().into_iter().flatten() {
            for _ in 0..fault["hits"].as_u64().unwrap_or(0) {
                arena.story.record("fault", &fault["fault"]);
            }
        }
        world.sim.clear_faults();
    }
}

fn expire(arena: &Arena, what: &str) {
    arena.sync.sim.admin("expire", json!({ "what": what }));
}

fn revoke(arena: &Arena, chance: &mut StdRng) {
    let users: Vec<String> = arena.sync.sim.users().into_iter().collect();
    let user = users.choose(chance).expect("a user");
    arena.sync.sim.admin("revoke", json!({ "user": user }));
    arena.pause(a_while(arena, chance));
    restore(arena, user);
}

/// The user consents again, and the account is imported.
fn restore(arena: &Arena, user: &str) {
    arena.sync.sim.admin("restore", json!({ "user": user }));
    let lines = arena.sync.sim.text("accounts");
    let line = lines.lines().find(|line| line.contains(user)).expect("an account line");
    let mut tries = 0;
    // The database may be unavailable.
    while arena.sync.syncctl_with_input(&["accounts", "import", "-"], line).code != 0 {
        tries += 1;
        assert!(tries < 100, "an account could not be imported");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A connection of the harness; `None`: the server is unavailable or out of connections.
fn connect(world: &World) -> Option<Client> {
    Client::connect(&world.database.url(), NoTls).ok()
}

fn end_backends(arena: &Arena, _: &mut StdRng) {
    for mut client in arena.worlds().into_iter().filter_map(connect) {
        let statement = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let ended = client.query(statement, &[]).map_or(0, |rows| rows.len());
        arena.story.record("backends", ended);
    }
}

fn kill_postgres(arena: &Arena, chance: &mut StdRng) {
    let status = arena.server.cluster.status().expect("a status");
    let pid = status.pid.and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    arena.pause(a_while(arena, chance));
    start_postgres(arena);
}

fn restart_postgres(arena: &Arena, chance: &mut StdRng) {
    let _ = arena.server.cluster.stop();
    arena.pause(a_while(arena, chance));
    start_postgres(arena);
}

fn start_postgres(arena: &Arena) {
    let mut tries = 0;
    // Backends of a killed server end a little later, and until then no new server starts.
    while let Err(error) = arena.server.cluster.ensure_running() {
        tries += 1;
        assert!(tries < 100, "PostgreSQL does not start again: {error:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn lock_rows(arena: &Arena, chance: &mut StdRng) {
    const TABLES: [&str; 6] = ["streams", "drive_files", "drive_file_access", "outbox_deliveries", "accounts", "calendar_events"];
    let table = TABLES.choose(chance).expect("a table");
    let Some(mut client) = connect(&arena.sync) else { return };
    let Ok(mut tx) = client.transaction() else { return };
    let _ = tx.query(&format!("SELECT FROM {table} ORDER BY random() LIMIT 5 FOR UPDATE SKIP LOCKED"), &[]);
    arena.pause(a_while(arena, chance));
}

fn exhaust(arena: &Arena, chance: &mut StdRng) {
    let held: Vec<Client> = std::iter::from_fn(|| connect(&arena.sync)).take(250).collect();
    arena.pause(a_while(arena, chance));
    arena.story.record("connections", held.len());
}

fn time_out(arena: &Arena, chance: &mut StdRng) {
    let set = |to: &str| insist(arena, |world| format!("ALTER DATABASE {} {to}", world.database.name()));
    set("SET statement_timeout = '10ms'");
    arena.pause(a_while(arena, chance));
    set("RESET statement_timeout");
}

fn fill_disk(arena: &Arena, chance: &mut StdRng) {
    let set = |is_full: bool| insist(arena, |_| format!("UPDATE chaos_disk SET is_full = {is_full}"));
    set(true);
    arena.pause(a_while(arena, chance));
    set(false);
}

/// Executes a statement in each database, retrying while it is unavailable or full.
pub fn insist(arena: &Arena, statement: impl Fn(&World) -> String) {
    for world in arena.worlds() {
        // Resets the timeout first: the database may have a zero statement timeout.
        let execute = |mut client: Client| {
            client.batch_execute("SET statement_timeout = 0").and_then(|()| client.batch_execute(&statement(world)))
        };
        let done = (0..300).any(|_| {
            let done = connect(world).is_some_and(|client| execute(client).is_ok());
            if !done {
                std::thread::sleep(Duration::from_millis(100));
            }
            done
        });
        assert!(done, "{}: the database refuses it", statement(world));
    }
}

fn cut_pooler(arena: &Arena, chance: &mut StdRng) {
    let mut pooler = arena.pooler.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    drop(pooler.take());
    drop(pooler);
    arena.pause(a_while(arena, chance));
    let started = pgbouncer::start(arena.server);
    *arena.pooler.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(started);
}
