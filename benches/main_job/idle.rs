//! Idle passes: feeds in which nothing has changed.

use serde_json::json;

use crate::bare::{self, Loop, Request};
use crate::shared::figures::{median, timed};
use crate::support::World;
use crate::support::service::{CALENDAR, DRIVE, Service};

pub const FEEDS: u32 = 2_000;
const ROUNDS: usize = 5;

pub struct Idle {
    pub share: f64,
    /// Without batching, like the bare loop.
    pub share_alone: f64,
    pub per_second: f64,
    pub bare_per_second: f64,
    pub calls_per_stream: f64,
    pub sql_per_stream: f64,
    pub startup_ms: f64,
}

/// 2,000 calendars.
pub fn calendars() -> Idle {
    let request = |world: &World, email: &str, cursor: &str| {
        let query = [
            ("maxResults", "2500"),
            ("showDeleted", "true"),
            ("singleEvents", "false"),
            ("fields", "items,nextPageToken,nextSyncToken"),
            ("syncToken", cursor),
        ];
        bare::url(world, &["calendar", "v3", "calendars", email, "events"], &query)
    };
    pass(&CALENDAR, "events", request)
}

/// The My Drives of 2,000 users.
pub fn drives() -> Idle {
    let request = |world: &World, _: &str, cursor: &str| {
        let query = [
            ("supportsAllDrives", "true"),
            ("includeItemsFromAllDrives", "false"),
            ("pageSize", "1000"),
            ("pageToken", cursor),
            ("fields", "changes(changeType,time,removed,fileId,file(id,name,version)),nextPageToken,newStartPageToken"),
        ];
        bare::url(world, &["drive", "v3", "changes"], &query)
    };
    pass(&DRIVE, "changes", request)
}

fn pass(service: &'static Service, kind: &str, request: impl Fn(&World, &str, &str) -> reqwest::Url) -> Idle {
    eprintln!("idle pass: {FEEDS} feeds of {} …", service.name);
    let mut world = World::empty();
    world.service = service;
    match service.name {
        "drive" => {
            world.sim.generate(FEEDS, 0);
            world.sim.admin("drive/generate", json!({ "files": 2, "seed": 7 }));
            world.import();
        }
        _ => world.populate(FEEDS, 2),
    }
    // Google's limits are not under test here.
    for limits in ["CALENDAR", "DRIVE"] {
        let [minute, day] = ["PROJECT_PER_MINUTE", "PER_DAY"].map(|limit| &*format!("SYNCCTL_QUOTA_{limits}_{limit}").leak());
        world.set(minute, "1000000000");
        world.set(day, "10000000000");
    }
    world.syncctl(&[service.name, "cron"]).expect(0);
    let tokens = bare::tokens(&world);
    let requests: Vec<Request> = world
        .query(&format!("SELECT u.email, s.cursor FROM streams s JOIN users u ON u.id = s.user_id WHERE kind = '{kind}'"))
        .iter()
        .map(|row| (request(&world, row.get(0), row.get(1)), tokens[row.get::<_, &str>(0)].clone()))
        .collect();
    assert_eq!(requests.len(), FEEDS as usize);
    let bare_loop = Loop::new();
    let (mut ours, mut unbatched, mut bare, mut startup) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut calls, mut statements) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        bare.push(timed(|| bare_loop.get(&requests)).0);
        ours.push(run(&world, kind));
        calls = world.sim.ledger()["total"].as_f64().expect("a number") / f64::from(FEEDS);
        statements = world.statements() as f64 / f64::from(FEEDS);
        world.set("SYNCCTL_GOOGLE_BATCH_SIZE", "1");
        unbatched.push(run(&world, kind));
        world.settings.pop();
    }
    for _ in 0..4 * ROUNDS {
        startup.push(timed(|| world.syncctl(&[service.name, "cron"]).expect(0)).0 * 1000.0);
    }
    let share = |ours: &[f64]| median(bare.iter().zip(ours).map(|(bare, ours)| bare / ours).collect());
    Idle {
        share: share(&ours),
        share_alone: share(&unbatched),
        per_second: f64::from(FEEDS) / median(ours),
        bare_per_second: f64::from(FEEDS) / median(bare),
        calls_per_stream: calls,
        sql_per_stream: statements,
        startup_ms: median(startup),
    }
}

/// One idle pass over everything; returns the seconds of the whole process.
fn run(world: &World, kind: &str) -> f64 {
    world.execute(&format!("UPDATE streams SET due_at = now() WHERE kind = '{kind}'"));
    // Autovacuum's work in the minutes between two runs; here only moments pass.
    world.execute("VACUUM streams");
    world.sim.reset_ledger();
    world.reset_statements();
    let (seconds, report) = timed(|| world.syncctl(&[world.service.name, "cron", "--json"]).expect(0).json());
    assert_eq!(report["idle_streams"], json!(FEEDS), "{report}");
    seconds
}

/// Calls of an idle run over 10,000 followed files of 100 users.
pub fn calls_of_ten_thousand_files() -> f64 {
    eprintln!("idle run over 10,000 followed files …");
    let mut world = World::empty();
    world.service = &DRIVE;
    world.set("SYNCCTL_QUOTA_DRIVE_PROJECT_PER_MINUTE", "1000000000");
    world.sim.generate(100, 0);
    world.sim.admin("drive/generate", json!({ "files": 120, "seed": 7 }));
    world.import();
    let text = world.sim.text("drive/state");
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a JSON line"));
    let files = rows.filter(|row| row["mimeType"] != "application/vnd.google-apps.folder").take(10_000);
    let lines: String =
        files.map(|row| format!("{} {}\n", row["user"].as_str().expect("a user"), row["id"].as_str().expect("an id"))).collect();
    assert_eq!(lines.lines().count(), 10_000);
    world.syncctl_with_input(&["drive", "watch-file", "add", "--stdin"], &lines).expect(0);
    world.syncctl(&["drive", "cron", "--force"]).expect(0);
    assert_eq!(world.count("SELECT count(*) FROM documents"), 10_000);
    world.execute("UPDATE streams SET due_at = now() WHERE kind = 'changes'");
    world.sim.reset_ledger();
    let report = world.syncctl(&["drive", "cron", "--json"]).expect(0).json();
    assert_eq!(report["idle_streams"], 100, "{report}");
    world.sim.ledger()["total"].as_f64().expect("a number")
}
