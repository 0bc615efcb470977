//! Persistent faults of Attendee: each has its class, its exit code and a message, and none costs a bot.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::world::RunResult;

const USER: &str = "user00000@example.com";

/// A poll of an active bot while one of its calls fails permanently.
fn polled(world: &mut World, fault: &str, method: &str) -> RunResult {
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "500ms");
    world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.pass(75);
    world.sim.fault(json!({ "fault": fault, "method": method, "seconds": 60 }));
    let run = world.poll_bots();
    world.sim.clear_faults();
    run
}

#[track_caller]
fn named(run: &RunResult, class: &str) {
    let errors: Value = run.json()["errors"].clone();
    assert!(errors[class]["count"].as_u64() > Some(0), "{run:#?}");
    assert!(!run.stderr.contains('@'), "an address in the log: {}", run.stderr);
}

/// Everything recovers once the fault is gone.
#[track_caller]
fn assert_recovers(world: &World) {
    world.pass(120);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn a_server_that_fails_or_is_silent_is_transient() {
    for fault in ["server_500", "bad_gateway_502", "connection_reset", "slow_headers", "cut_json"] {
        let mut world = World::with_attendee(1);
        let run = polled(&mut world, fault, "bots.list");
        assert!([1, 69].contains(&run.code), "{run:#?}");
        named(&run, "transient");
        assert_recovers(&world);
    }
}

#[test]
fn limits_that_do_not_lift_are_a_limit_and_no_failure_of_the_bot() {
    let mut world = World::with_attendee(1);
    let run = polled(&mut world, "rate_limit_429", "bots.transcript");
    assert_eq!(run.code, 1, "{run:#?}");
    named(&run, "rate_limited");
    assert_recovers(&world);
}

#[test]
fn a_cursor_that_is_not_taken_is_named_with_what_to_look_at() {
    let mut world = World::with_attendee(1);
    let run = polled(&mut world, "not_found", "bots.list");
    assert_eq!(run.code, 1, "{run:#?}");
    named(&run, "permanent");
    assert!(run.stderr.contains("attendee.root"), "{}", run.stderr);
    assert_recovers(&world);
}

#[test]
fn a_bot_whose_transcript_cannot_be_read_does_not_delay_the_others() {
    let world = World::with_attendee(1);
    for nth in 0..3 {
        world.meet(USER, &format!("talk{nth}"), 60);
    }
    world.schedule().expect(0);
    world.pass(180);
    world.sim.fault(json!({ "fault": "bad_request_400", "method": "bots.transcript", "times": 1 }));
    let run = world.poll_bots();
    assert!(run.stderr.contains("not read"), "{run:#?}");
    assert_eq!(world.transcripts(), 2);
    assert_recovers(&world);
}

#[test]
fn an_internal_error_of_attendee_is_tried_again_although_it_comes_as_a_bad_request() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.fault(json!({ "fault": "internal_error_400", "method": "bots.create", "times": 2 }));
    world.schedule().expect(0);
    world.only_bot(&link);
}

#[test]
fn an_answer_that_is_not_attendees_is_reported_with_a_remedy() {
    for fault in ["not_found_page", "redirect_302"] {
        let mut world = World::with_attendee(1);
        let run = polled(&mut world, fault, "bots.list");
        assert!([1, 69].contains(&run.code), "{run:#?}");
        assert!(run.stderr.contains("check attendee.root"), "{}", run.stderr);
        assert_recovers(&world);
    }
}

#[test]
fn a_server_that_never_answers_is_waited_for_once() {
    let mut world = World::with_attendee(1);
    for nth in 0..30 {
        let link = world.meet(USER, &format!("talk{nth}"), 60);
        world.sim.admin("attendee/script", json!({ "of": link, "course": { "recorded": false } }));
    }
    world.schedule().expect(0);
    world.pass(75);
    let there = world.settings.len();
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "1s");
    world.sim.fault(json!({ "fault": "slow_headers", "seconds": 60 }));
    world.sim.reset_ledger();
    let run = world.poll_bots();
    assert!([1, 69].contains(&run.code), "{run:#?}");
    named(&run, "transient");
    assert_eq!(world.sim.ledger()["total"], 1, "one call, and one time limit");
    world.sim.clear_faults();
    world.settings.truncate(there);
    assert_recovers(&world);
}

#[test]
fn an_answer_that_does_not_begin_is_tried_again_once_attendee_has_answered() {
    let mut world = World::with_attendee(1);
    for nth in 0..4 {
        world.meet(USER, &format!("talk{nth}"), 60);
    }
    world.schedule().expect(0);
    world.pass(180);
    let there = world.settings.len();
    world.set("SYNCCTL_GOOGLE_TIMEOUT", "5s");
    // The list arrives, and the first transcript does not.
    world.sim.fault(json!({ "fault": "slow_headers", "method": "bots.transcript", "at_call": 1, "seconds": 60 }));
    world.poll_bots().expect(0);
    assert_eq!(world.sim.get("faults")[0]["hits"], 1);
    assert_eq!(world.transcripts(), 4);
    world.settings.truncate(there);
    assert_recovers(&world);
}

#[test]
fn an_attendee_that_cannot_be_reached_ends_with_69_and_loses_nothing() {
    let mut world = World::with_attendee(1);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    world.meet(USER, "standup", 60);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    // A port that was free a moment ago: connections are refused.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let there = world.settings.len();
    world.set("SYNCCTL_ATTENDEE_ROOT", format!("http://127.0.0.1:{port}"));
    let run = world.syncctl(&["attendee", "schedule"]).expect(69);
    assert!(run.stderr.contains("could not connect"), "{}", run.stderr);
    assert!(world.bots().is_empty());
    world.settings.truncate(there);
    world.schedule().expect(0);
    assert_recovers(&world);
}
