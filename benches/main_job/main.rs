//! The main job against what the machine allows: prints a table and writes `target/bench.json`.
//!
//! - an idle pass over 2,000 calendars, as a share of what a bare HTTP loop gets from the same simulator
//! - a first sync of 100,000 events in one calendar, as a share of a bare UNNEST upsert of the same rows: the events, and the meetings among them
//! - start-up with nothing due, calls and statements of an idle stream, peak memory
//!
//! Every ratio is measured in this one run; each figure is the median of its rounds.

#[path = "../../tests/it/support/mod.rs"]
#[allow(dead_code)]
mod support;
mod upsert;

use std::time::Instant;

use serde_json::{Value, json};
use support::World;
use upsert::bare_upsert;

const CALENDARS: u32 = 2_000;
const EVENTS: u32 = 100_000;
const ROUNDS: usize = 5;
const AT_ONCE: usize = 32;

fn main() {
    // A second installation cannot happen: this process has just begun.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let idle = idle_pass();
    let first = first_sync();
    let figures = json!({
        "idle_share": idle.share,
        "idle_share_without_batches": idle.share_alone,
        "idle_streams_per_second": idle.per_second,
        "bare_calls_per_second": idle.bare_per_second,
        "idle_calls_per_stream": idle.calls_per_stream,
        "idle_sql_per_stream": idle.sql_per_stream,
        "startup_idle_ms": idle.startup_ms,
        "first_sync_share": first.share,
        "first_sync_share_of_events_alone": first.share_of_events,
        "first_sync_events_per_second": first.per_second,
        "bare_upsert_events_per_second": first.bare_per_second,
        "rss_mib_100k_events": first.rss_mib,
    });
    let rows = [
        ("idle pass, streams/s", idle.per_second, "–"),
        ("bare HTTP loop, calls/s", idle.bare_per_second, "–"),
        ("idle pass as a share of it", idle.share, ">= 0.5"),
        ("... with each call alone", idle.share_alone, "–"),
        ("API calls an idle stream", idle.calls_per_stream, "1"),
        ("SQL statements an idle stream", idle.sql_per_stream, "<= 0.05"),
        ("start-up with nothing due, ms", idle.startup_ms, "<= 30"),
        ("first sync, events/s", first.per_second, "–"),
        ("bare UNNEST upsert, events/s", first.bare_per_second, "–"),
        ("first sync as a share of it", first.share, ">= 0.6"),
        ("... of one without the meetings", first.share_of_events, "–"),
        ("peak RSS with 100,000 events, MiB", first.rss_mib, "< 64"),
    ];
    println!("\n{:<36}{:>12}  aim", "figure (median)", "measured");
    for (name, value, aim) in rows {
        println!("{name:<36}{value:>12.3}  {aim}");
    }
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let path = format!("{target}/bench.json");
    std::fs::write(&path, serde_json::to_string_pretty(&figures).expect("JSON")).expect("writing bench.json");
    println!("\nwritten to {path}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let result = work();
    (started.elapsed().as_secs_f64(), result)
}

struct Idle {
    share: f64,
    /// With no calls that share a request, as in the bare loop.
    share_alone: f64,
    per_second: f64,
    bare_per_second: f64,
    calls_per_stream: f64,
    sql_per_stream: f64,
    startup_ms: f64,
}

fn idle_pass() -> Idle {
    eprintln!("idle pass: {CALENDARS} calendars …");
    let mut world = World::with_users(CALENDARS, 2);
    // Google's limits are not what is measured here.
    world.set("SYNCCTL_QUOTA_CALENDAR_PROJECT_PER_MINUTE", "100000000");
    world.set("SYNCCTL_QUOTA_CALENDAR_PER_DAY", "1000000000");
    world.syncctl(&["calendar", "cron"]).expect(0);
    let requests = bare_requests(&world);
    assert_eq!(requests.len(), CALENDARS as usize);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let client = reqwest::Client::builder().user_agent("bench (gzip)").gzip(true).build().expect("a client");
    let (mut ours, mut alone, mut bare, mut startup) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut calls, mut statements) = (0.0, 0.0);
    world.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements");
    for _ in 0..ROUNDS {
        let (seconds, ()) = timed(|| runtime.block_on(bare_loop(&client, &requests)));
        bare.push(seconds);
        ours.push(idle_run(&world));
        calls = world.sim.ledger()["total"].as_f64().expect("a number") / f64::from(CALENDARS);
        let counted = world.count(
            "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
             WHERE d.datname = current_database() AND query NOT LIKE '%pg_stat_statements%'",
        );
        statements = counted as f64 / f64::from(CALENDARS);
        world.set("SYNCCTL_GOOGLE_BATCH_SIZE", "1");
        alone.push(idle_run(&world));
        world.settings.pop();
    }
    for _ in 0..4 * ROUNDS {
        startup.push(timed(|| world.syncctl(&["calendar", "cron"]).expect(0)).0 * 1000.0);
    }
    let share = |ours: &[f64]| median(bare.iter().zip(ours).map(|(bare, ours)| bare / ours).collect());
    Idle {
        share: share(&ours),
        share_alone: share(&alone),
        per_second: f64::from(CALENDARS) / median(ours),
        bare_per_second: f64::from(CALENDARS) / median(bare),
        calls_per_stream: calls,
        sql_per_stream: statements,
        startup_ms: median(startup),
    }
}

/// One idle pass over everything; answers the seconds of the whole process.
fn idle_run(world: &World) -> f64 {
    world.execute("UPDATE streams SET due_at = now() WHERE kind = 'events'");
    // What autovacuum does in the minutes between two runs; here only moments pass.
    world.execute("VACUUM streams");
    world.sim.reset_ledger();
    world.execute("SELECT pg_stat_statements_reset(0, (SELECT oid FROM pg_database WHERE datname = current_database()), 0)");
    let (seconds, report) = timed(|| world.syncctl(&["calendar", "cron", "--json"]).expect(0).json());
    assert_eq!(report["idle_streams"], json!(CALENDARS), "{report}");
    seconds
}

/// The very requests of an idle pass: address with cursor, and token.
fn bare_requests(world: &World) -> Vec<(reqwest::Url, String)> {
    let cursors: std::collections::HashMap<String, String> = world
        .query("SELECT resource, cursor FROM streams WHERE kind = 'events'")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let accounts = world.sim.text("accounts");
    accounts
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| {
            let account: Value = serde_json::from_str(line).expect("an account");
            let field = |name: &str| account["credentials"][name].as_str().expect("a field").to_owned();
            let form = [
                ("grant_type", "refresh_token".to_owned()),
                ("client_id", field("client_id")),
                ("client_secret", field("client_secret")),
                ("refresh_token", field("refresh_token")),
            ];
            let mut answer = ureq::post(field("token_uri")).send_form(form).expect("a token");
            let token: Value = answer.body_mut().read_json().expect("a token");
            let email = account["email"].as_str().expect("an address");
            let mut url = reqwest::Url::parse(&world.sim.url).expect("an origin");
            url.path_segments_mut().expect("a path").extend(["calendar", "v3", "calendars", email, "events"]);
            url.query_pairs_mut().extend_pairs([
                ("maxResults", "2500"),
                ("showDeleted", "true"),
                ("singleEvents", "false"),
                ("fields", "items,nextPageToken,nextSyncToken"),
                ("syncToken", &cursors[email]),
            ]);
            (url, token["access_token"].as_str().expect("a token").to_owned())
        })
        .collect()
}

/// What HTTP alone takes: the same requests, as many at once, nothing done with the answers.
async fn bare_loop(client: &reqwest::Client, requests: &[(reqwest::Url, String)]) {
    use futures_util::StreamExt as _;
    futures_util::stream::iter(requests)
        .for_each_concurrent(AT_ONCE, |(url, token)| async move {
            let answer = client.get(url.clone()).bearer_auth(token).send().await.expect("an answer");
            assert!(answer.status().is_success(), "{}", answer.status());
            answer.bytes().await.expect("a body");
        })
        .await;
}

struct First {
    share: f64,
    share_of_events: f64,
    per_second: f64,
    bare_per_second: f64,
    rss_mib: f64,
}

fn first_sync() -> First {
    eprintln!("first sync: one calendar of {EVENTS} events …");
    let mut world = World::with_users(1, EVENTS);
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "120s");
    let (mut ours, mut bare, mut events_alone, mut rss) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..3 {
        world.execute(
            "TRUNCATE calendar_events, meetings; UPDATE streams SET cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL,
             due_at = CASE kind WHEN 'events' THEN now() ELSE due_at END; CHECKPOINT",
        );
        if round == 0 {
            world.syncctl(&["calendar", "cron", "--force"]).expect(0);
            world.execute("TRUNCATE calendar_events, meetings; UPDATE streams SET cursor = NULL, due_at = now() WHERE kind = 'events'; CHECKPOINT");
        }
        let (seconds, report) = timed(|| world.syncctl(&["calendar", "cron", "--json"]).expect(0).json());
        assert_eq!(world.count("SELECT count(*) FROM calendar_events WHERE deleted_at IS NULL"), i64::from(EVENTS));
        ours.push(seconds);
        rss.push(report["peak_rss_kib"].as_f64().expect("peak memory") / 1024.0);
        let (events, meetings) = bare_upsert(&world);
        bare.push((events + meetings).as_secs_f64());
        events_alone.push(events.as_secs_f64());
    }
    let share = |bare: &[f64]| median(bare.iter().zip(&ours).map(|(bare, ours)| bare / ours).collect());
    First {
        share: share(&bare),
        share_of_events: share(&events_alone),
        per_second: f64::from(EVENTS) / median(ours),
        bare_per_second: f64::from(EVENTS) / median(bare),
        rss_mib: median(rss),
    }
}
