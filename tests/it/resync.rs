//! Cursors that expire, passes that are interrupted, windows that move.

use serde_json::json;

use crate::support::World;
use crate::support::service::GMAIL;

/// Small pages, so that a pass has many.
fn paged(users: u32, events: u32) -> World {
    let mut world = World::with_users(users, events);
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "5");
    world
}

#[test]
fn a_cursor_that_expires_twice_in_one_day_is_resynced_and_deletions_in_the_gap_become_tombstones() {
    let world = paged(3, 40);
    let first = world.sync_all().expect(0).json();
    assert_eq!(first["changes"]["events"]["created"], 120, "{first}");
    let before = world.deleted_events();
    for seed in [1, 2] {
        world.sim.admin("churn", json!({ "changes": 30, "seed": seed, "kinds": { "delete": 1, "update": 1 } }));
        world.sim.admin("expire", json!({ "what": "sync_tokens" }));
        let report = world.sync_all().expect(0).json();
        assert!(report["resyncs"].as_u64() >= Some(3), "{report}");
        world.assert_in_step();
    }
    assert!(world.deleted_events() > before);
}

#[test]
fn a_410_in_the_middle_of_a_pass_begins_the_pass_again() {
    let world = paged(1, 60);
    world.sim.fault(json!({ "fault": "cursor_expired", "at_call": 4, "method": "events.list", "times": 1 }));
    world.sync_all().expect(0);
    world.assert_in_step();
    world.sim.churn(30, 9);
    world.sim.fault(json!({ "fault": "cursor_expired", "at_call": 2, "method": "events.list", "times": 1 }));
    world.sim.fault(json!({ "fault": "cursor_expired", "at_call": 5, "method": "events.list", "times": 1 }));
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn an_interrupted_full_pass_deletes_nothing_and_the_next_run_goes_on_with_it() {
    let mut world = paged(1, 60);
    world.set("SYNCCTL_ENGINE_LEASE", "300ms");
    world.sync_all().expect(0);
    world.sim.admin("churn", json!({ "changes": 10, "seed": 4, "kinds": { "delete": 1 } }));
    world.sim.admin("expire", json!({ "what": "sync_tokens" }));
    // The first answer is the 410; the pass begins with the second.
    world.sim.fault(json!({ "fault": "stall", "at_call": 5, "method": "events.list", "times": 1 }));
    let mut child = world.spawn(&["calendar", "cron", "--force"]);
    world.wait_for_stall();
    child.kill().expect("killing the run");
    child.wait().expect("the run ends");
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    assert_eq!(world.events(), 60, "an unfinished pass deletes nothing");
    world.wait_until_leases_lapse();
    world.sim.reset_ledger();
    world.sync_all().expect(0);
    world.assert_in_step();
    let calls = world.sim.ledger()["by_method"]["events.list"].as_u64().expect("a number");
    assert!(calls < 12, "the pass began again instead of going on: {calls} calls");
}

#[test]
fn more_resyncs_than_allowed_in_a_day_degrade_the_stream() {
    let mut world = paged(1, 10);
    world.set("SYNCCTL_ENGINE_RESYNCS_PER_DAY", "2");
    world.sync_all().expect(0);
    for _ in 0..2 {
        world.sim.admin("expire", json!({ "what": "sync_tokens" }));
        world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    }
    world.sim.admin("expire", json!({ "what": "sync_tokens" }));
    let run = world.sync_all();
    assert_eq!(run.code, 1, "{run:#?}");
    assert!(run.json()["errors"]["cursor_expired"]["example"].as_str().is_some_and(|text| text.contains("degraded")), "{run:#?}");
    assert_eq!(world.streams_in("degraded"), 1);
}

#[test]
fn a_degraded_stream_in_which_nothing_changes_is_well_again_the_next_day() {
    let mut world = paged(1, 10);
    world.set("SYNCCTL_ENGINE_RESYNCS_PER_DAY", "1");
    world.sync_all().expect(0);
    for code in [0, 1] {
        world.sim.admin("expire", json!({ "what": "sync_tokens" }));
        assert_eq!(world.sync_all().code, code);
    }
    world.sync_all().expect(0);
    assert_eq!(world.streams_in("degraded"), 1, "it is still the same day");
    world.execute("UPDATE streams SET resync_day = resync_day - 1");
    let run = world.sync_all().expect(0).json();
    assert_eq!((&run["idle_streams"], world.streams_in("degraded")), (&run["streams"], 0), "{run}");
}

#[test]
fn settings_that_change_what_a_token_is_bound_to_cost_a_resync_not_a_stuck_stream() {
    let mut world = World::with_users(2, 20);
    world.sync_all().expect(0);
    world.sim.churn(10, 3);
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "7");
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn changes_while_a_client_pages_are_not_lost() {
    let world = paged(1, 80);
    world.sim.fault(json!({ "fault": "stall", "at_call": 6, "method": "events.list", "times": 1 }));
    let child = world.spawn(&["calendar", "cron"]);
    world.wait_for_stall();
    world.sim.churn(40, 21);
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    let output = child.wait_with_output().expect("the run ends");
    assert!(output.status.success(), "{output:?}");
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn the_window_moves_on_by_a_separate_full_pass() {
    let mut world = World::with_users(1, 10);
    world.sync_all().expect(0);
    world.age_full_passes("events", "31 days");
    let stamps = "SELECT max(seen_pass) FROM calendar_events";
    let before = world.count(stamps);
    world.set("SYNCCTL_CALENDAR_FULL_PASS_EVERY", "30days");
    world.sync_all().expect(0);
    assert_eq!(world.count(stamps), before + 1);
    world.assert_in_step();
}

/// Like a mailbox that was moved to another server and restarts its history numbers.
#[test]
fn mail_with_lower_numbers_than_before_is_what_a_complete_pass_names() {
    let world = World::of(&GMAIL, 1, 10);
    world.sync_all().expect(0);
    world.execute("UPDATE gmail_messages SET history_id = history_id + 1000000000, labels = '{}'");
    world.expire();
    world.sync_all().expect(0);
    world.assert_in_step();
}
