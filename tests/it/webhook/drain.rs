//! Announced streams are polled: once, however many notifications arrived, and no others.

use std::time::Duration;

use serde_json::json;

use super::server::{Server, watched};
use crate::support::World;
use crate::support::waiting::until;

#[test]
fn a_burst_of_a_thousand_is_one_poll() {
    let (world, channels) = watched(3);
    let server = Server::start(&world, &[]);
    std::thread::scope(|scope| {
        for part in 0..20 {
            let (server, channel) = (&server, &channels[0]);
            scope.spawn(move || (0..50).for_each(|n| assert_eq!(server.notify(channel, part * 50 + n, "exists"), 200)));
        }
    });
    assert_eq!(world.notifications(), 1000);
    assert_eq!(world.notifications_of_channels(), 1000);
    let drained = world.syncctl(&["webhook", "drain", "--json"]).expect(0).json();
    let run = &drained["runs"][0];
    assert_eq!(
        (run["job"].as_str(), run["streams"].as_u64(), run["api_calls"].as_u64()),
        (Some("calendar drain"), Some(1), Some(1)),
        "{drained}"
    );
    assert_eq!(world.syncctl(&["webhook", "drain", "--json"]).expect(0).json()["runs"], json!([]));
    world.assert_no_leftovers();
}

/// A change announced during a poll of its stream may be missing in that poll's answer.
#[test]
fn a_change_announced_during_a_poll_is_polled_again() {
    let (world, channels) = watched(1);
    let server = Server::start(&world, &[]);
    assert_eq!(server.notify(&channels[0], 1, "exists"), 200);
    world.sim.fault(json!({ "fault": "stall", "at_call": 1, "times": 1 }));
    let run = world.spawn(&["webhook", "drain"]);
    world.wait_for_stall();
    assert_eq!(server.notify(&channels[0], 2, "exists"), 200);
    // Held by the run: nothing for a second one.
    assert_eq!(world.syncctl(&["webhook", "drain", "--json"]).expect(0).json()["runs"], json!([]));
    world.sim.admin("release", json!({}));
    assert!(run.wait_with_output().expect("it ends").status.success());
    world.sim.clear_faults();
    let drained = world.syncctl(&["webhook", "drain", "--json"]).expect(0).json();
    assert_eq!(drained["runs"][0]["streams"].as_u64(), Some(1), "{drained}");
    assert_eq!(world.syncctl(&["webhook", "drain", "--json"]).expect(0).json()["runs"], json!([]));
}

#[test]
fn the_server_polls_announced_streams_if_it_is_set_to() {
    let (world, channels) = watched(2);
    world.churn(6, 3);
    let server = Server::start(&world, &["--drain", "--set", "calendar.page_size=7"]);
    for channel in &channels {
        assert_eq!(server.notify(channel, 1, "exists"), 200);
    }
    let before = world.results_in("calendar", "completed");
    until("all are polled", || world.notified_streams() == 0 && world.results_in("calendar", "completed") > before);
    world.assert_in_step();
    assert!(server.stop().success());
    world.assert_no_leftovers();
}

/// Its child process gets the signal too, finishes its page, and leaves nothing behind.
#[test]
fn a_signal_reaches_the_poll_that_is_under_way() {
    let (world, channels) = watched(1);
    world.sim.fault(json!({ "fault": "stall", "at_call": 1, "times": 1 }));
    let server = Server::start(&world, &["--drain"]);
    assert_eq!(server.notify(&channels[0], 1, "exists"), 200);
    world.wait_for_stall();
    server.terminate();
    std::thread::sleep(Duration::from_millis(200));
    world.sim.admin("release", json!({}));
    assert!(server.ended().success());
    world.assert_no_leftovers();
    assert_eq!(world.results_in("calendar", "completed"), 2);
}

#[test]
fn old_notifications_are_forgotten() {
    let world = World::empty();
    world.execute(
        "INSERT INTO notifications (source, key, received_at)
         SELECT 'attendee', n::text, now() - make_interval(days => n % 14) - interval '1 minute' FROM generate_series(0, 13999) n",
    );
    let drained = world.syncctl(&["webhook", "drain", "--json"]).expect(0).json();
    assert_eq!(drained["forgotten"], 7000);
    assert_eq!(world.rows("notifications WHERE received_at < now() - interval '7 days'"), 0);
}
