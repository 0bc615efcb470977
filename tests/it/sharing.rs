//! Concurrent processes: one job on one host, one job on many hosts, stolen leases, shared tokens and quotas.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::World;
use crate::support::waiting::{terminate, until_within};

#[test]
fn a_second_run_of_the_job_exits_75_with_a_skipped_row() {
    let world = World::with_users(2, 5);
    world.sim.fault(json!({ "fault": "stall", "at_call": 1, "times": 1 }));
    let first = world.spawn(&["calendar", "cron"]);
    world.wait_for_stall();
    let second = world.syncctl(&["calendar", "cron"]).expect(75);
    assert!(second.stdout.contains("holds the job"), "{}", second.stdout);
    world.sim.admin("release", json!({}));
    assert!(first.wait_with_output().expect("the run ends").status.success());
    let rows = world.query("SELECT status FROM calendar_cron_results ORDER BY start_time");
    assert_eq!(rows.iter().map(|row| row.get::<_, String>(0)).collect::<Vec<_>>(), ["completed", "skipped"]);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn two_parallel_runs_share_the_streams_and_poll_none_twice() {
    let mut world = World::with_users(150, 3);
    world.set("SYNCCTL_ENGINE_CHUNK", "10");
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "4");
    world.sync_all().expect(0);
    world.make_all_due();
    world.sim.reset_ledger();
    let runs: Vec<_> = (0..2).map(|_| world.spawn(&["calendar", "cron", "--parallel", "--json"])).collect();
    let reports: Vec<Value> = runs
        .into_iter()
        .map(|run| serde_json::from_slice(&run.wait_with_output().expect("the run ends").stdout).expect("a report"))
        .collect();
    let polled: Vec<u64> = reports.iter().map(|report| report["streams"].as_u64().expect("a number")).collect();
    assert_eq!(polled.iter().sum::<u64>(), 300);
    assert!(polled.iter().all(|streams| *streams > 0), "one run did everything: {polled:?}");
    assert_eq!(world.sim.ledger()["total"], 300);
    world.assert_no_leftovers();
}

#[test]
fn a_run_whose_lease_was_taken_writes_nothing_more() {
    let world = World::with_users(1, 10);
    world.sync_all().expect(0);
    world.sim.churn(5, 1);
    world.sim.fault(json!({ "fault": "stall", "at_call": 1, "method": "events.list", "times": 1 }));
    let run = world.spawn(&["calendar", "cron", "--force", "--json"]);
    world.wait_for_stall();
    let before = world.stored();
    world.execute("UPDATE streams SET claimed_by = gen_random_uuid() WHERE kind = 'events'");
    world.sim.admin("release", json!({}));
    let output = run.wait_with_output().expect("the run ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["errors"]["lease_lost"]["count"], 1, "{report}");
    assert_eq!(world.stored(), before);
    world.execute("UPDATE streams SET claimed_by = NULL, claimed_until = NULL");
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn two_processes_refresh_a_token_once_between_them() {
    let world = World::with_users(1, 2);
    world.sync_all().expect(0);
    let user = world.first_user();
    world.execute(
        "CREATE EXTENSION IF NOT EXISTS pg_stat_statements; UPDATE accounts SET access_token = NULL, token_expires_at = NULL",
    );
    world.sim.reset_ledger();
    world.sim.fault(json!({ "fault": "stall", "at_call": 1, "method": "token" }));
    let first = world.spawn(&["calendar", "poll", &user]);
    world.wait_for_stall();
    // The second process gets a stream of the same user while the first one waits for the token.
    world.execute("UPDATE streams SET claimed_by = NULL, claimed_until = NULL, last_run = NULL WHERE kind = 'events'");
    let second = world.spawn(&["calendar", "poll", &user]);
    let tries = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
      WHERE d.datname = current_database() AND query LIKE '%SET refreshing_by =%' AND query NOT LIKE '%pg_stat_statements%'";
    let before = world.count(tries);
    while world.count(tries) == before {
        std::thread::yield_now();
    }
    world.sim.admin("release", json!({}));
    for run in [first, second] {
        run.wait_with_output().expect("the run ends");
    }
    assert_eq!(world.sim.ledger()["oauth"]["refreshes"], 1, "{}", world.sim.ledger()["oauth"]);
    world.sim.reset_ledger();
    world.sync_all().expect(0);
    assert_eq!(world.sim.ledger()["oauth"]["refreshes"], 0, "cached tokens serve later runs");
}

#[test]
fn the_day_cap_holds_across_runs_and_hosts() {
    let mut world = World::with_users(10, 2);
    world.set("SYNCCTL_QUOTA_CALENDAR_PER_DAY", "12");
    world.set("SYNCCTL_QUOTA_CALENDAR_PROJECT_PER_MINUTE", "200");
    for _ in 0..3 {
        world.sync_all();
    }
    let calls = world.sim.ledger()["total"].as_u64().expect("a number");
    assert!(calls <= 12, "{calls} calls where 12 are allowed");
    assert!(calls >= 8, "{calls} calls: quota was lost");
    assert_eq!(world.quota_pauses(), 1);
}

#[test]
fn the_limit_of_a_user_holds_across_runs_and_hosts() {
    let mut world = World::with_users(1, 80);
    world.set("SYNCCTL_QUOTA_CALENDAR_USER_PER_MINUTE", "40");
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "1");
    let calls = || world.sim.ledger()["total"].as_i64().expect("a number");
    // A full minute makes a run wait for the next one, which it does not live to see.
    for least in [20, 30] {
        let run = world.spawn(&["calendar", "cron", "--force"]);
        // What a run gave back is free at once, and not only when the minute is over.
        until_within(Duration::from_secs(45), "calls", || calls() >= least);
        terminate(&run);
        run.wait_with_output().expect("it ends");
    }
    let spent = "SELECT (SELECT sum(units) FROM unnest(q.units) AS units)::bigint FROM quota_minutes q WHERE subject LIKE '%/%'";
    let units: Vec<i64> = world.query(spent).iter().map(|row| row.get(0)).collect();
    assert!(!units.is_empty() && units.iter().all(|units| *units <= 40), "{units:?} units in a minute where 40 are allowed");
    let calls = calls();
    // Below a tenth of the limit a run writes nothing down: that is all that it may spend beside the ledger.
    assert!(calls <= units.iter().sum::<i64>() + 2 * 4, "{calls} calls, {units:?} in the ledger");
}

#[test]
fn first_syncs_yield_to_streams_that_are_followed() {
    let mut world = World::with_users(3, 2);
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "1");
    // One call at a time: lists of several users would share a request.
    world.set("SYNCCTL_GOOGLE_BATCH_SIZE", "1");
    world.sync_all().expect(0);
    let known = world.sim.users();
    world.sim.generate(8, 2);
    world.import();
    world.sim.reset_ledger();
    world.sim.fault(json!({ "fault": "stall", "at_call": 4, "method": "calendarList.list" }));
    let run = world.spawn(&["calendar", "cron", "--force"]);
    world.wait_for_stall();
    // Both streams of the users synced before, then the first of the others.
    let ledger = world.sim.ledger();
    let calls = ledger["by_user"].as_object().expect("users");
    assert_eq!(calls.len(), 4, "{calls:?}");
    assert!(known.iter().all(|user| calls[user]["events.list"] == 1), "{calls:?}");
    world.sim.admin("release", json!({}));
    assert!(run.wait_with_output().expect("the run ends").status.success());
    world.assert_in_step();
}

#[test]
fn a_time_budget_ends_the_run_and_leaves_the_rest_due() {
    let mut world = World::with_users(30, 2);
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "4");
    world.sim.fault(json!({ "fault": "stall", "at_call": 5, "times": 1 }));
    let run = world.spawn(&["calendar", "cron", "--max-duration", "15s", "--json"]);
    world.wait_for_stall();
    // The withheld answer arrives only after the time budget is over: the run must end without waiting for a slow Google.
    let output = run.wait_with_output().expect("the run ends");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["stopped_early"], "max_duration reached");
    // Users who were not reached do not count as successful in this run.
    let polled = world.count("SELECT count(DISTINCT user_id) FROM streams WHERE polled_at IS NOT NULL");
    assert!(report["interrupted_streams"].as_u64() > Some(0), "{report}");
    assert_eq!((report["successful_users"].as_i64(), &report["failed_users"]), (Some(polled), &json!(0)), "{report}");
    world.sim.admin("release", json!({}));
    world.assert_no_leftovers();
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
}
