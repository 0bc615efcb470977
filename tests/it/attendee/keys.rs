//! Keys of projects: refused, renewed, and never shown.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::attendee::PROJECT;

const USER: &str = "user00000@example.com";

#[test]
fn a_refused_key_is_named_once_and_not_asked_with_again_until_it_is_renewed() {
    let world = World::with_attendee(1);
    world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.sim.admin("attendee/projects", json!({ "name": PROJECT, "key": "another-key" }));
    let run = world.poll_bots();
    assert_eq!(run.code, 77, "{run:#?}");
    assert!(run.stderr.contains("syncctl attendee project add"), "no remedy: {}", run.stderr);
    world.sim.reset_ledger();
    // As in cron: not forced.
    world.syncctl(&["attendee", "cron"]);
    assert_eq!(world.sim.ledger()["by_method"]["bots.list"], Value::Null, "asked again with a key that was refused");
    world.syncctl_with_input(&["attendee", "project", "add", PROJECT], "another-key").expect(0);
    world.pass(180);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    world.assert_in_step();
}

#[test]
fn a_key_that_attendee_refuses_is_not_stored_and_one_that_cannot_be_tried_is() {
    let mut world = World::with_attendee(1);
    let keys = "SELECT count(DISTINCT api_key) FROM attendee_projects WHERE name IN ('main', 'other')";
    let refused = world.syncctl_with_input(&["attendee", "project", "add", "other"], "mistyped").expect(77);
    assert!(refused.stderr.contains("Attendee refuses this key"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("mistyped"), "a key in a message");
    let before = world.sealed_api_key();
    world.syncctl_with_input(&["attendee", "project", "add", PROJECT], "mistyped").expect(77);
    assert_eq!(world.sealed_api_key(), before, "a good key was replaced");
    assert_eq!(world.count(keys), 1);
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "500ms");
    for fault in ["server_500", "not_found_page", "redirect_302", "slow_headers"] {
        world.sim.fault(json!({ "fault": fault, "seconds": 60 }));
        let run = world.syncctl_with_input(&["attendee", "project", "add", "other"], "key-of-other").expect(0);
        assert!(run.stderr.contains("could not be tested"), "{fault}: {}", run.stderr);
        world.sim.clear_faults();
    }
    assert_eq!(world.count(keys), 2);
}

#[test]
fn a_lack_of_permission_is_a_refused_key_too() {
    let world = World::with_attendee(1);
    world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.sim.fault(json!({ "fault": "insufficient_permissions", "method": "bots.list" }));
    assert_eq!(world.poll_bots().code, 77);
}

#[test]
fn the_key_is_in_no_log_no_report_and_no_table() {
    let world = World::with_attendee(1);
    world.meet(USER, "standup", 60);
    let runs = [
        world.schedule(),
        world.syncctl(&["attendee", "cron", "--force", "-vv"]),
        world.syncctl(&["attendee", "project", "list", "--json"]),
        world.syncctl(&["config", "show"]),
    ];
    for run in runs {
        assert!(!run.stdout.contains("key-of-the-simulated") && !run.stderr.contains("key-of-the-simulated"), "{run:#?}");
        assert!(!run.stderr.contains('@'), "an address in the log: {run:#?}");
    }
    let matches = world.rows("attendee_projects WHERE position('simulated'::bytea in api_key) > 0");
    assert_eq!(matches, 0, "the key is in plain text");
}

#[test]
fn the_key_goes_to_the_server_that_is_set_and_to_none_that_a_page_names() {
    let world = World::with_attendee(1);
    // A server whose links lead to another server: only their cursor is followed.
    let elsewhere = format!("{}/sink/elsewhere", world.sim.url);
    let key = "key-of-the-simulated-attendee";
    world.sim.admin("attendee/projects", json!({ "name": PROJECT, "key": key, "next_origin": elsewhere }));
    for nth in 0..30 {
        world.meet(USER, &format!("talk{nth}"), 60 + nth);
    }
    world.schedule().expect(0);
    world.pass(62);
    world.poll_bots().expect(0);
    assert_eq!(world.sim.get("sink/count?name=elsewhere")["requests"], 0);
    world.assert_in_step();
}
