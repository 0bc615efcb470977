//! Gmail refuses calls of one mailbox when too many are in flight, and for a while afterwards: mail still arrives, and at its regular
//! price. Pauses and waits are a fiftieth of those observed at Google.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::GMAIL;

fn mailbox(messages: u32) -> World {
    let mut world = World::of(&GMAIL, 1, messages);
    world.set("SYNCCTL_ENGINE_BACKOFF_BASE", "20ms");
    world.set("SYNCCTL_ENGINE_BACKOFF_CAP", "1280ms");
    world.set("SYNCCTL_ENGINE_TRIES", "5");
    world
}

fn bound(world: &World, per_user: u32, rest_s: f64) {
    world.sim.admin("concurrency", json!({ "per_user": per_user, "rest_s": rest_s, "call_s": 0.002 }));
    world.sim.reset_ledger();
}

fn seen(world: &World) -> (u64, u64) {
    let seen = world.sim.get("concurrency");
    (seen["most"].as_u64().expect("a number"), seen["refused"].as_u64().expect("a number"))
}

fn units(run: &Value) -> f64 {
    run["quota_units"].as_f64().unwrap_or_else(|| panic!("units in {run}"))
}

fn stored(world: &World) -> i64 {
    world.messages()
}

#[test]
fn a_mailbox_of_a_thousand_messages_is_stored_in_one_run_whatever_the_bound_and_the_rest() {
    for (per_user, rest_s) in [(25, 0.1), (25, 0.6), (10, 0.1), (10, 0.6), (50, 0.1), (50, 0.6)] {
        let world = mailbox(1_000);
        bound(&world, per_user, rest_s);
        let run = world.sync_all().expect(0).json();
        assert_eq!(stored(&world), 1_000, "{run}");
        // The simulator counts successful calls, not refused ones.
        let need = world.sim.ledger()["quota_units"].as_f64().expect("a number");
        assert!(units(&run) <= 1.1 * need, "{per_user} in parallel, pause {rest_s}: {} units, {need} were needed", units(&run));
        let (most, refused) = seen(&world);
        assert!(most <= 25 && (per_user < 25 || refused == 0), "{most} in parallel, {refused} refused");
        world.assert_in_step();
    }
}

#[test]
fn the_read_part_of_a_page_is_kept_when_the_rest_is_refused_and_nothing_is_listed_twice() {
    for first_sync in [true, false] {
        let mut world = mailbox(if first_sync { 60 } else { 0 });
        world.set("SYNCCTL_ENGINE_BACKOFF_CAP", "40ms");
        if !first_sync {
            world.sync_all().expect(0);
            world.sim.admin("mail/generate", json!({ "messages": 60, "seed": 8 }));
        }
        bound(&world, 10, 3_600.0);
        let run = world.sync_all().expect(1).json();
        assert_eq!(run["errors"]["rate_limited"]["count"], 1, "{run}");
        assert_eq!(world.quarantined(), 0);
        assert!((1..=10).contains(&stored(&world)), "{} stored", stored(&world));
        bound(&world, 0, 0.0);
        world.sync_all().expect(0);
        let calls = world.sim.ledger()["by_method"].clone();
        assert_eq!(calls.get("messages.list"), None, "{calls}");
        assert!(calls["messages.get"].as_u64() < Some(60), "{calls}");
        world.assert_in_step();
    }
}

#[test]
fn a_killed_or_stopped_run_keeps_what_it_read_of_a_page() {
    for is_stopped in [false, true] {
        let mut world = mailbox(400);
        world.set("SYNCCTL_ENGINE_LEASE", "300ms");
        world.set("SYNCCTL_GMAIL_PAGE_SIZE", "500");
        world.set("SYNCCTL_GOOGLE_TIMEOUT", "1s");
        world.sim.fault(json!({ "fault": "stall", "method": "messages.get", "at_call": 360, "times": 1 }));
        let mut child = world.spawn(&["gmail", "cron", "--force"]);
        world.wait_for_stall();
        // The previous page is written while this one is requested.
        while stored(&world) < 200 {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        if is_stopped {
            let killed = std::process::Command::new("kill").arg(child.id().to_string()).status().expect("a signal");
            assert!(killed.success());
        } else {
            child.kill().expect("killing the run");
        }
        child.wait().expect("the run ends");
        world.sim.admin("release", json!({}));
        world.sim.clear_faults();
        world.wait_until_leases_lapse();
        let before = stored(&world);
        assert!((200..400).contains(&before), "{before}");
        world.sim.reset_ledger();
        world.sync_all().expect(0);
        let calls = world.sim.ledger()["by_method"].clone();
        assert_eq!(calls.get("messages.list"), None, "{calls}");
        let complete = world.rows("gmail_messages WHERE body IS NOT NULL OR attachments IS NOT NULL");
        assert!(calls["messages.get"].as_i64() <= Some(400 - before + complete), "{before} were stored: {calls}");
        world.assert_in_step();
    }
}

#[test]
fn a_stopped_run_does_not_wait_for_the_end_of_a_pause() {
    let mut world = mailbox(60);
    world.set("SYNCCTL_ENGINE_BACKOFF_BASE", "10m");
    world.set("SYNCCTL_ENGINE_BACKOFF_CAP", "10m");
    bound(&world, 10, 3_600.0);
    let run = world.syncctl(&["gmail", "cron", "--force", "--json", "--max-duration", "2s"]).expect(0).json();
    assert_eq!((&run["interrupted_streams"], &run["failed_streams"]), (&json!(1), &json!(0)), "{run}");
    assert!((1..=10).contains(&stored(&world)), "{} stored", stored(&world));
    world.assert_no_leftovers();
    bound(&world, 0, 0.0);
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn a_comparison_and_a_retry_keep_to_the_bound_too() {
    let world = mailbox(200);
    world.sync_all().expect(0);
    bound(&world, 5, 0.1);
    world.syncctl(&["verify", "gmail", "--all"]).expect(0);
    let (most, refused) = seen(&world);
    assert!(most <= 5 && refused > 0, "{most} in parallel, {refused} refused");
}

#[test]
fn a_refusal_of_one_mailbox_slows_no_other() {
    let world = World::of(&GMAIL, 3, 60);
    let user = world.first_user();
    world.sim.fault(json!({ "fault": "rate_limit_429", "method": "messages.get", "user": user }));
    let run = world.sync_all().expect(1).json();
    assert_eq!((&run["failed_streams"], stored(&world)), (&json!(1), 120), "{run}");
}
