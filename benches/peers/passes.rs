//! The same idle pass by syncctl and by its peers.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bare::{self, Loop, Request};
use crate::shared::figures::{median, timed};
use crate::support::World;

pub const FEEDS: u32 = 2_000;
const ROUNDS: usize = 3;

/// Calendars per second, and ratios of times in the same round.
pub struct Passes {
    pub official: f64,
    pub asyncio: f64,
    pub ours: f64,
    pub ceiling: f64,
    pub vs_official: f64,
    pub vs_asyncio: f64,
}

/// All three in turn. Peers are timed without the start of Python and with tokens that are valid; syncctl from its start to its exit.
pub fn measure() -> Passes {
    eprintln!("peers: {FEEDS} calendars …");
    let mut world = World::empty();
    without_limits(&mut world);
    world.populate(FEEDS, 2);
    world.syncctl(&["calendar", "cron"]).expect(0);
    let requests = feeds(&world);
    let python = python();
    let bare_loop = Loop::new();
    let (mut ours, mut official, mut asyncio, mut ceiling) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ceiling.push(timed(|| bare_loop.get(&requests)).0);
        ours.push(pass(&world, &["calendar", "cron", "--json"], FEEDS));
        asyncio.push(peer(&world, &python, "concurrent.py"));
        official.push(peer(&world, &python, "official.py"));
    }
    let ratio = |theirs: &[f64]| median(theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect());
    let (vs_official, vs_asyncio) = (ratio(&official), ratio(&asyncio));
    let per_second = |seconds| f64::from(FEEDS) / median(seconds);
    Passes {
        official: per_second(official),
        asyncio: per_second(asyncio),
        ours: per_second(ours),
        ceiling: per_second(ceiling),
        vs_official,
        vs_asyncio,
    }
}

/// Google's limits are not under test here.
pub fn without_limits(world: &mut World) {
    world.set("SYNCCTL_QUOTA_CALENDAR_PROJECT_PER_MINUTE", "1000000000");
    world.set("SYNCCTL_QUOTA_CALENDAR_PER_DAY", "10000000000");
}

/// One idle pass of this command over everything; returns the seconds of the whole process.
pub fn pass(world: &World, command: &[&str], streams: u32) -> f64 {
    make_due(world);
    let (seconds, report) = timed(|| world.syncctl(command).expect(0).json());
    assert_eq!(report["idle_streams"], json!(streams), "{report}");
    seconds
}

/// Makes all calendars due.
pub fn make_due(world: &World) {
    world.execute("UPDATE streams SET due_at = now() WHERE kind = 'events'");
    // Autovacuum's work in the minutes between two runs; here only moments pass.
    world.execute("VACUUM streams");
    world.sim.reset_ledger();
}

/// The peers' own table, with the state that syncctl has; returns the requests of a pass.
fn feeds(world: &World) -> Vec<Request> {
    world.execute(
        "CREATE SCHEMA peers;
         CREATE TABLE peers.feeds (email text PRIMARY KEY, access_token text NOT NULL, sync_token text NOT NULL, polled_at timestamptz)",
    );
    let tokens = bare::tokens(world);
    let rows = world.query("SELECT u.email, s.cursor FROM streams s JOIN users u ON u.id = s.user_id WHERE s.kind = 'events'");
    let mut client = world.database.connect();
    let insert = client.prepare("INSERT INTO peers.feeds VALUES ($1, $2, $3)").expect("a statement");
    let feeds = rows.iter().map(|row| {
        let (email, cursor): (String, String) = (row.get(0), row.get(1));
        let token = tokens[&email].clone();
        client.execute(&insert, &[&email, &token, &cursor]).expect("a feed");
        let query = [
            ("syncToken", cursor.as_str()),
            ("showDeleted", "true"),
            ("maxResults", "2500"),
            ("fields", "items,nextPageToken,nextSyncToken"),
        ];
        (bare::url(world, &["calendar", "v3", "calendars", &email, "events"], &query), token)
    });
    let feeds: Vec<Request> = feeds.collect();
    assert_eq!(feeds.len(), FEEDS as usize);
    feeds
}

/// The Python with the peers' packages.
fn python() -> String {
    let output =
        Command::new("scripts/ensure-python").arg("peers").stderr(Stdio::inherit()).output().expect("scripts/ensure-python");
    assert!(output.status.success(), "scripts/ensure-python: {}", output.status);
    String::from_utf8(output.stdout).expect("a path").trim().to_owned()
}

/// A pass of a peer; returns the seconds that it measured.
fn peer(world: &World, python: &str, script: &str) -> f64 {
    world.sim.reset_ledger();
    let mut child = Command::new(python)
        .arg(format!("benches/peers/{script}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{python}: {error}"));
    let settings = json!({ "root": world.sim.url, "database": world.database.url() });
    write!(child.stdin.take().expect("a pipe"), "{settings}").expect("settings");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{script}: {}", output.status);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{script}: {error}"));
    assert_eq!((&report["polled"], &report["events"]), (&json!(FEEDS), &json!(0)), "{script}");
    assert_eq!(world.sim.ledger()["total"], json!(FEEDS), "{script} makes one call per calendar");
    report["seconds"].as_f64().expect("seconds")
}
