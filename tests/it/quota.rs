//! Quotas across consecutive processes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::GMAIL;
use crate::support::waiting::{terminate, until};

/// Users in sync whose project may spend 40 units a minute, fewer than they have streams, at the fiftieth second of a minute.
fn late_in_a_minute() -> World {
    let mut world = World::with_users(30, 1);
    world.sync_all().expect(0);
    seconds_go_by(&world, 120.0);
    world.set("SYNCCTL_QUOTA_CALENDAR_PROJECT_PER_MINUTE", "40");
    let second: f64 = world.query("SELECT extract(second FROM now())::float8")[0].get(0);
    seconds_go_by(&world, (110.0 - second) % 60.0);
    world
}

fn seconds_go_by(world: &World, seconds: f64) {
    world.move_database_clock(seconds / 3600.0);
}

/// The number of calls of a run that has no time to wait for quota. It may be stopped before it gets any quota: then it must report that
/// its work is not done.
fn stopped(world: &World, arguments: &[&str]) -> Value {
    let run = world.syncctl(arguments);
    let report = run.json();
    assert_eq!(run.code, i32::from(report["total_users"] == 0), "{report}");
    report
}

fn calls(world: &World) -> u64 {
    world.sim.ledger()["total"].as_u64().expect("a number")
}

/// The calls of a run that has no time to wait for quota.
fn calls_of_a_short_run(world: &World) -> u64 {
    world.sim.reset_ledger();
    stopped(world, &["calendar", "cron", "--force", "--max-duration", "2s", "--json"]);
    calls(world)
}

/// The calls of a run that is stopped once it has made thirty.
fn calls_of_a_run(world: &World) -> u64 {
    world.sim.reset_ledger();
    let run = world.spawn(&["calendar", "cron", "--force", "--json"]);
    until("thirty calls", || calls(world) >= 30);
    terminate(&run);
    run.wait_with_output().expect("it ends");
    calls(world)
}

#[test]
fn a_new_minute_does_not_return_what_was_spent_seconds_ago() {
    let world = late_in_a_minute();
    let first = calls_of_a_run(&world);
    assert!(first <= 40, "{first} calls where 40 are allowed");
    // Into the next minute of the clock.
    seconds_go_by(&world, 12.0);
    let second = calls_of_a_short_run(&world);
    assert!(first + second <= 40, "{first} and {second} calls within twenty seconds where 40 are allowed");
    seconds_go_by(&world, 62.0);
    // After a minute in which nothing was spent there is quota for thirty calls and more.
    calls_of_a_run(&world);
}

#[test]
fn a_minute_is_spent_to_its_last_unit_also_where_that_is_less_than_a_block() {
    let mut world = late_in_a_minute();
    // Reserved in pairs.
    world.set("SYNCCTL_QUOTA_CALENDAR_PROJECT_PER_MINUTE", "43");
    world.sim.reset_ledger();
    let mut run = world.spawn(&["calendar", "cron", "--force"]);
    // What was spent comes back after a minute.
    let began = Instant::now();
    while calls(&world) < 43 && began.elapsed() < Duration::from_secs(50) {
        std::thread::yield_now();
    }
    assert_eq!(calls(&world), 43);
    run.kill().expect("it runs");
    run.wait().expect("it ends");
}

#[test]
fn doctor_reports_what_was_spent_in_the_last_minute() {
    let world = late_in_a_minute();
    calls_of_a_run(&world);
    seconds_go_by(&world, 12.0);
    let quota_check = |world: &World| -> Value {
        let report = world.syncctl(&["doctor", "--json"]).json();
        let checks = report["checks"].as_array().expect("checks").clone();
        checks
            .into_iter()
            .find(|check| check["check"] == "quota" && check["message"].to_string().contains("minute"))
            .unwrap_or_default()
    };
    let report = quota_check(&world);
    assert_eq!(report["level"], "warn", "{report}");
    seconds_go_by(&world, 62.0);
    assert_eq!(quota_check(&world), Value::Null);
}

#[test]
fn a_run_that_ends_before_there_is_quota_says_what_it_did_and_what_it_did_not_come_to() {
    let mut world = late_in_a_minute();
    let due = world.rows("streams WHERE service = 'calendar'");
    let arguments = ["calendar", "cron", "--force", "--max-duration", "2s", "--json"];
    let run = stopped(&world, &arguments);
    let counts = [&run["polls"], &run["interrupted_streams"]].map(|count| count.as_i64().expect("a number"));
    assert!(counts[0] <= 40 && counts[0] + counts[1] == due, "{counts:?} of {due}: {run}");
    // A first sync that waits for quota between two pages.
    world.set("SYNCCTL_QUOTA_CALENDAR_PROJECT_PER_MINUTE", "100000");
    world.set("SYNCCTL_QUOTA_CALENDAR_USER_PER_MINUTE", "60");
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "1");
    world.sim.generate(1, 200);
    world.import();
    let stored = || world.events();
    let before = stored();
    let child = world.spawn(&["calendar", "cron", "--force", "--json"]);
    until("a page", || stored() > before);
    terminate(&child);
    let output = child.wait_with_output().expect("it ends");
    let run: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert!(run["stopped_early"].is_string(), "{run}");
    assert_eq!(run["changes"]["events"]["created"], stored() - before, "{run}");
}

#[test]
fn a_users_minute_holds_over_many_short_processes() {
    let mut world = World::of(&GMAIL, 1, 2);
    world.sync_all().expect(0);
    let user = world.first_user();
    seconds_go_by(&world, 120.0);
    let setting = world.settings.iter_mut().find(|(name, _)| *name == "SYNCCTL_QUOTA_GMAIL_USER_PER_MINUTE").expect("a setting");
    setting.1 = "2000".into();
    world.sim.reset_ledger();
    for _ in 0..16 {
        (0..8).for_each(|_| drop(world.sim.admin("mail/messages", json!({ "user": user, "raw": "Subject: x\r\n\r\nx" }))));
        stopped(&world, &["gmail", "poll", &user, "--max-duration", "1s", "--json"]);
    }
    let spent = world.sim.ledger()["quota_units"].as_u64().expect("a number");
    assert!((1_500..=2_000).contains(&spent), "{spent} units where 2,000 are allowed");
}

/// A run that reserves locks the minute's row before the day's. A run that returns units must lock them in the same order, or PostgreSQL
/// ends one of the two with a deadlock.
#[test]
fn a_run_that_gives_back_holds_up_none_that_reserves() {
    let mut world = World::with_users(1, 9);
    world.sync_all().expect(0);
    // Unexpected pages, so that a reserved block has units left.
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "1");
    world.sim.churn(8, 3);
    world.execute("UPDATE streams SET due_at = now() WHERE kind = 'events'");
    let calls = world.syncctl(&["calendar", "cron", "--dry-run", "--json"]).expect(0).json()["api_calls"].clone();
    world.sim.fault(json!({ "fault": "stall", "at_call": calls, "times": 1 }));
    let run = world.spawn(&["calendar", "cron"]);
    world.wait_for_stall();
    let mut other = world.database.connect();
    let mut reserves = other.transaction().expect("a transaction");
    let minute =
        reserves.query("SELECT FROM quota_minutes WHERE subject NOT LIKE '%/%' FOR UPDATE", &[]).expect("the minute's row");
    assert_eq!(minute.len(), 1);
    world.sim.admin("release", json!({}));
    // Returning units is the run's last statement about quota.
    let waits = "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%back AS (%'";
    until("something is given back", || world.rows(waits) > 0);
    let day = "SELECT FROM quota_usage WHERE span = 'day' FOR UPDATE NOWAIT";
    reserves.query(day, &[]).expect("the day's row, which no waiter for the minute's holds");
    reserves.commit().expect("the end");
    assert!(run.wait_with_output().expect("the run ends").status.success());
}
