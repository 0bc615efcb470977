//! No false alarms: unpolled changes, concurrent changes, streams that cannot be listed.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{kind, main_kind, number, verify};
use crate::support::World;
use crate::support::service::{CALENDAR, DRIVE, GMAIL, Service};

#[test]
fn changes_that_no_poll_has_seen_are_not_reported_as_lost() {
    for service in [&CALENDAR, &GMAIL, &DRIVE] {
        let world = World::of(service, 2, 60);
        world.sync_all().expect(0);
        world.sync_all().expect(0);
        world.churn(40, 11);
        let report = verify(&world, &[]).expect(0).json();
        let figures = kind(&report, main_kind(service));
        assert!(number(figures, "not_polled") > 0, "{}: {report}", service.name);
        assert_eq!(["missing", "excess", "stale"].map(|name| number(figures, name)), [0, 0, 0], "{}: {report}", service.name);
        world.sync_all().expect(0);
        world.assert_in_step();
        let report = verify(&world, &[]).expect(0).json();
        assert_eq!(number(kind(&report, main_kind(service)), "not_polled"), 0, "{}: {report}", service.name);
    }
}

#[test]
fn a_shared_drive_that_came_or_went_since_the_last_poll_is_no_alarm() {
    let world = World::of(&DRIVE, 2, 10);
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    let user = world.first_user();
    let drive: String =
        world.query("SELECT resource FROM streams WHERE kind = 'changes' AND resource <> 'my-drive' LIMIT 1")[0].get(0);
    world.drive_admin("DELETE", "members", &json!({ "drive": drive, "user": user }));
    world.sim.admin("drive/drives", json!({ "name": "New", "members": [user] }));
    let report = verify(&world, &[]).expect(0).json();
    assert_eq!(number(kind(&report, "drive_list"), "not_polled"), 2, "{report}");
    assert!(number(kind(&report, "changes"), "not_polled") >= 10, "{report}");
}

fn stays_calm(service: &'static Service) {
    let world = World::of(service, 2, 60);
    world.sync_all().expect(0);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let unrest = scope.spawn(|| {
            for seed in 0..12 {
                world.churn(15, seed);
                if seed % 2 == 0 {
                    world.sync_all();
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        while !is_over.load(Ordering::Relaxed) {
            verify(&world, &[]).expect(0);
        }
        unrest.join().expect("the unrest ends");
    });
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    world.assert_in_step();
    verify(&world, &[]).expect(0);
}

#[test]
fn calendars_that_change_during_a_comparison_raise_no_alarm() {
    stays_calm(&CALENDAR);
}

#[test]
fn mailboxes_that_change_during_a_comparison_raise_no_alarm() {
    stays_calm(&GMAIL);
}

#[test]
fn drives_that_change_during_a_comparison_raise_no_alarm() {
    stays_calm(&DRIVE);
}

#[test]
fn a_change_between_two_pages_of_a_comparison_is_no_alarm() {
    let world = World::with_users(1, 30);
    world.sync_all().expect(0);
    // The first page is empty, the second waits until everything has changed.
    world.sim.admin("empty_pages", json!({ "probability": 1.0 }));
    world.sim.fault(json!({ "fault": "stall", "at_call": 2, "method": "events.list", "times": 1 }));
    let child = world.spawn(&["verify", "calendar", "--all", "--json"]);
    world.wait_for_stall();
    world.sim.churn(20, 5);
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    let output = child.wait_with_output().expect("the run ends");
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON on stdout");
    assert!(number(kind(&report, "events"), "not_polled") > 0, "nothing has changed: {report}");
}

#[test]
fn a_stream_that_cannot_be_listed_is_an_error_with_its_class_and_no_loss() {
    let world = World::with_users(2, 10);
    world.sync_all().expect(0);
    let before = world.texts("SELECT s::text FROM streams s ORDER BY id");
    world.sim.fault(json!({ "fault": "access_not_configured", "method": "events.list" }));
    let run = verify(&world, &[]).expect(1);
    let report = run.json();
    assert_eq!(report["runs"][0]["errors"]["api_disabled"]["count"], 2, "{report}");
    assert_eq!(report["consistent"], false, "{report}");
    assert_eq!(number(kind(&report, "events"), "missing"), 0, "{report}");
    let after = world.texts("SELECT s::text FROM streams s ORDER BY id");
    assert_eq!(before, after, "a comparison writes nothing of what it finds");
}

#[test]
fn a_stream_without_a_complete_pass_is_not_compared() {
    let world = World::with_users(1, 10);
    let report = verify(&world, &[]).expect(0).json();
    assert_eq!(number(kind(&report, "calendar_list"), "unfinished_streams"), 1, "{report}");
    assert_eq!(number(kind(&report, "calendar_list"), "compared"), 0, "{report}");
}
