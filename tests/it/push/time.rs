//! Weeks without a run, runs that die anywhere, and a month of failing calls: no gap, and no leak.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use super::ground::*;
use crate::support::service::{CALENDAR, DRIVE};

#[test]
fn after_a_week_without_a_run_every_stream_is_watched_anew() {
    let world = followed(&DRIVE, 2);
    renew(&world).expect(0);
    let before = at_google(&world).len();
    move_clock(&world, 200);
    assert_eq!(at_google(&world).len(), 0);
    let report = renew(&world).expect(0).json();
    assert_eq!((&report["push"]["made"], &report["push"]["stopped"]), (&json!(before), &json!(0)), "{report}");
    assert_in_step(&world);
}

#[test]
fn a_run_that_dies_anywhere_leaks_nothing_after_the_next_two() {
    let mut world = followed(&CALENDAR, 6);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "4");
    let mut chance = rand::rngs::StdRng::seed_from_u64(42);
    let (mut killed, mut orphans) = (0, 0);
    for round in 0..60 {
        // What is to be renewed differs from round to round; in some, nothing has a channel yet.
        match round % 10 {
            0 => drop(world.syncctl(&["channels", "stop", "--all"]).expect(0)),
            // By their rows only: the grants and leases of the runs stay as they are.
            _ => world.execute("UPDATE channels SET created_at = created_at - interval '145 hours', expires_at = expires_at - interval '145 hours'"),
        }
        let mut child = world.spawn(&["calendar", "renew-watches"]);
        // Not waiting for anything: the point of death is the thing under test.
        std::thread::sleep(Duration::from_micros(chance.random_range(5_000..150_000)));
        child.kill().expect("killing");
        killed += u64::from(child.wait().expect("waiting").code().is_none());
        orphans += world.count("SELECT count(*) FROM channels WHERE state = 'creating'");
        world.wait_until_leases_lapse();
        renew(&world).expect(0);
        renew(&world).expect(0);
        assert_in_step(&world);
    }
    println!("{killed} of 60 runs were killed while they lived, {orphans} channels were being asked for then");
    assert!(killed > 10, "only {killed} runs were killed while they lived");
}

#[test]
fn a_month_of_renewals_with_a_tenth_of_the_calls_failing_has_no_gap_and_no_leak() {
    for service in [&CALENDAR, &DRIVE] {
        let mut world = followed(service, 8);
        renew(&world).expect(0);
        assert_in_step(&world);
        let resources: BTreeSet<String> = by_resource(&world).into_keys().collect();
        // With two runs a day and a day to renew in, one try a run would fail twice in a row for some stream of the month.
        world.set("SYNCCTL_ENGINE_TRIES", "3");
        for (method, half) in
            [("events.watch", 0.05), ("calendarList.watch", 0.05), ("changes.watch", 0.05), ("channels.stop", 0.2)]
        {
            // Refused before anything was done, and done but cut on the way.
            world.sim.fault(json!({ "fault": "unavailable_503", "probability": half, "method": method }));
            world.sim.fault(json!({ "fault": "cut_body", "probability": half, "method": method }));
        }
        let (mut most, mut failed) = (0, 0);
        for _ in 0..60 {
            move_clock(&world, 12);
            failed += i32::from(renew(&world).code != 0);
            let now = by_resource(&world);
            assert_eq!(now.keys().cloned().collect::<BTreeSet<_>>(), resources, "a gap");
            most = most.max(now.values().copied().max().unwrap_or(0));
        }
        let faults = world.sim.get("faults");
        let hits: u64 = faults.as_array().into_iter().flatten().filter_map(|fault| fault["hits"].as_u64()).sum();
        world.sim.clear_faults();
        renew(&world);
        renew(&world).expect(0);
        assert_in_step(&world);
        let history = world.sim.get("push/history");
        let gaps =
            history.as_array().into_iter().flatten().filter(|row| row["intervals"].as_array().is_none_or(|all| all.len() != 1));
        assert_eq!(gaps.count(), 0, "{history}");
        let made = world.count("SELECT count(*) FROM channels");
        println!(
            "{}: {} streams, 60 runs in 30 days, {made} channels made in the last 30 days, {hits} calls failed in {failed} runs, at most {most} channels of one stream, no gap",
            service.name,
            resources.len()
        );
        assert!(most <= 2, "{most} channels of one stream at once");
        assert!(hits > 0);
    }
}
