//! Cost and coverage of a comparison, and what repair leaves unchanged.

use super::{kind, number, verify};
use crate::support::World;
use crate::support::service::GMAIL;

#[test]
fn a_sample_is_the_same_for_the_same_seed_and_another_for_another() {
    let world = World::with_users(12, 3);
    world.sync_all().expect(0);
    world.execute("DELETE FROM calendar_events");
    let streams = |seed: &str| {
        let run = world.syncctl(&["verify", "calendar", "--sample", "4", "--seed", seed, "--json"]);
        let report = run.json();
        let compared = &report["runs"][0]["verify"];
        assert_eq!((compared["chosen"].as_u64(), compared["of"].as_u64()), (Some(4), Some(24)), "{report}");
        let examples = kind(&report, "events")["examples"].as_array().cloned().unwrap_or_default();
        examples.iter().map(|example| example["stream_id"].as_i64()).collect::<std::collections::BTreeSet<_>>()
    };
    let first = streams("1");
    assert_eq!(first, streams("1"));
    assert!((2..9).any(|seed| streams(&seed.to_string()) != first), "every seed chooses the same");
}

#[test]
fn only_the_streams_that_differ_make_a_complete_pass() {
    let world = World::with_users(4, 10);
    world.sync_all().expect(0);
    let damaged = world.count("SELECT min(id) FROM streams WHERE kind = 'events'");
    let passes = "SELECT id, pass_count FROM streams ORDER BY id";
    let count = || world.query(passes).iter().map(|row| (row.get(0), row.get(1))).collect::<Vec<(i64, i64)>>();
    let before = count();
    world.execute(&format!("DELETE FROM calendar_events WHERE stream_id = {damaged}"));
    verify(&world, &["--repair"]).expect(0);
    let expected: Vec<(i64, i64)> = before.into_iter().map(|(id, passes)| (id, passes + i64::from(id == damaged))).collect();
    assert_eq!(count(), expected);
    world.assert_in_step();
}

#[test]
fn one_users_streams_can_be_compared_alone() {
    let world = World::with_users(3, 5);
    world.sync_all().expect(0);
    world.execute("DELETE FROM calendar_events");
    let user = world.first_user();
    let ran = world.syncctl(&["verify", "calendar", "--user", &user, "--json"]).expect(1);
    // No other streams could be chosen.
    assert!(ran.stderr.contains("repair with --repair") && !ran.stderr.contains("--seed"), "{}", ran.stderr);
    let report = ran.json();
    assert_eq!(number(kind(&report, "events"), "missing"), 5, "{report}");
    assert_eq!(number(kind(&report, "events"), "streams"), 1, "{report}");
}

#[test]
fn labels_are_compared_by_lists_and_not_message_by_message() {
    let world = World::of(&GMAIL, 1, 300);
    world.sync_all().expect(0);
    world.sim.reset_ledger();
    let report = verify(&world, &[]).expect(0).json();
    assert_eq!(number(kind(&report, "mailbox"), "compared"), 300, "{report}");
    let calls = &world.sim.ledger()["by_method"];
    assert!(calls["messages.get"].is_null(), "{calls}");
    assert!(calls["messages.list"].as_u64().is_some_and(|calls| calls < 40), "{calls}");
}

#[test]
fn a_comparison_that_is_stopped_says_what_it_left_and_leaves_nothing_behind() {
    let world = World::with_users(3, 5);
    world.sync_all().expect(0);
    world.sim.fault(serde_json::json!({ "fault": "stall", "method": "events.list", "times": 1 }));
    let child = world.spawn(&["verify", "calendar", "drive", "--all", "--json"]);
    world.wait_for_stall();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).expect("a signal");
    let output = child.wait_with_output().expect("the end");
    world.sim.admin("release", serde_json::json!({}));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
    assert_eq!(report["consistent"], false, "{report}");
    assert_eq!(report["runs"][0]["stopped_early"], "stop requested", "{report}");
    assert!(report["runs"][0]["interrupted_streams"].as_u64().is_some_and(|streams| streams >= 1), "{report}");
    assert_eq!(number(kind(&report, "events"), "missing"), 0, "{report}");
    // Services that were not reached have unknown results too.
    assert_eq!(report["runs"][1]["stopped_early"], "stop requested", "{report}");
    world.assert_no_leftovers();
}

#[test]
fn the_time_for_a_comparison_is_that_of_all_services_together() {
    let world = World::with_users(3, 5);
    world.sync_all().expect(0);
    world.sim.fault(serde_json::json!({ "fault": "stall", "method": "events.list", "times": 1 }));
    let report = world.syncctl(&["verify", "calendar", "drive", "--all", "--max-duration", "500ms", "--json"]).json();
    world.sim.admin("release", serde_json::json!({}));
    for run in [&report["runs"][0], &report["runs"][1]] {
        assert_eq!(run["stopped_early"], "max_duration reached", "{report}");
    }
    assert_eq!(report["consistent"], false, "{report}");
}

#[test]
fn only_compared_items_are_counted() {
    let world = World::with_users(1, 20);
    world.sync_all().expect(0);
    let compared = |more: &[&str]| {
        let report = verify(&world, more).expect(0).json();
        number(kind(&report, "events"), "compared")
    };
    assert_eq!(compared(&[]), 20);
    // Items outside the window are on one side only, and not compared.
    let soon = compared(&["--set", "calendar.window_past=1d", "--set", "calendar.window_future=2d"]);
    assert!(soon < 20, "{soon} of 20 events compared");
}
