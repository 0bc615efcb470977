//! Polls that share a request: failures of one of them, and failures of all.

use serde_json::json;

use crate::support::World;

#[test]
fn idle_polls_share_requests_and_still_cost_one_call_each() {
    let world = World::with_users(100, 2);
    world.sync_all().expect(0);
    world.sim.reset_ledger();
    world.sync_all().expect(0);
    let ledger = world.sim.ledger();
    let (calls, batches) = (ledger["total"].as_u64(), ledger["batches"].as_u64().expect("a number"));
    assert_eq!(calls, Some(200));
    assert!((1..=50).contains(&batches), "{batches} batches for 200 calls");
}

#[test]
fn a_refused_call_in_a_batch_is_made_again_without_the_others() {
    let world = World::with_users(30, 2);
    world.sync_all().expect(0);
    for fault in ["rate_limit_429", "server_500", "auth_error"] {
        world.sim.reset_ledger();
        world.sim.fault(json!({ "fault": fault, "method": "events.list", "probability": 1.0, "times": 5 }));
        world.sync_all().expect(0);
        world.sim.clear_faults();
        assert_eq!(world.sim.ledger()["total"], 60 + 5, "{fault}");
    }
}

#[test]
fn an_endpoint_that_takes_no_batches_is_blamed_on_no_calendar() {
    let world = World::with_users(20, 3);
    world.sync_all().expect(0);
    world.sim.churn(10, 1);
    for fault in ["not_found", "bad_request_400", "auth_error"] {
        world.sim.fault(json!({ "fault": fault, "method": "batch", "probability": 1.0 }));
        let output = world.sync_all().expect(0);
        assert!(output.stderr.contains("batches are refused"), "{fault}: {}", output.stderr);
        world.sim.clear_faults();
    }
    world.assert_in_step();
    assert_eq!(world.rows("streams WHERE state <> 'active'"), 0);
}

#[test]
fn a_batch_that_fails_as_a_whole_is_made_again() {
    for fault in ["server_500", "rate_limit_429", "connection_reset", "cut_body", "cut_json"] {
        let world = World::with_users(20, 3);
        world.sync_all().expect(0);
        world.sim.churn(10, 1);
        world.sim.fault(json!({ "fault": fault, "method": "batch", "probability": 0.5, "times": 6 }));
        world.sync_all().expect(0);
        world.sim.clear_faults();
        world.assert_in_step();
        world.assert_no_leftovers();
    }
}

#[test]
fn a_call_that_breaks_its_batch_fails_alone() {
    let mut world = World::with_users(20, 2);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    world.sync_all().expect(0);
    let user = world.sim.users().into_iter().nth(7).expect("a user");
    for fault in ["connection_reset", "cut_body"] {
        world.sim.fault(json!({ "fault": fault, "method": "events.list", "user": user, "probability": 1.0 }));
        let report = world.sync_all().expect(1).json();
        assert_eq!(report["failed_streams"], 1, "{fault}: {report}");
        world.sim.clear_faults();
    }
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn without_batches_every_call_goes_alone() {
    let mut world = World::with_users(5, 2);
    world.set("SYNCCTL_GOOGLE_BATCH_SIZE", "1");
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    assert_eq!(world.sim.ledger()["batches"], 0);
    world.assert_in_step();
}
