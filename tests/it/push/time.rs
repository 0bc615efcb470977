//! Weeks without a run, runs that die anywhere, and a month of failing calls: no gap, and no leak.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Instant;

use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use super::ground::*;
use crate::support::service::{CALENDAR, DRIVE, GMAIL, Service};

#[test]
fn after_a_week_without_a_run_every_stream_is_watched_again() {
    let world = followed(&DRIVE, 2);
    renew(&world).expect(0);
    let before = at_google(&world).len();
    world.move_clock(200.0);
    assert_eq!(at_google(&world).len(), 0);
    let report = renew(&world).expect(0).json();
    assert_eq!((&report["push"]["made"], &report["push"]["stopped"]), (&json!(before), &json!(0)), "{report}");
    assert_in_step(&world);
}

#[test]
fn a_hundred_kills_of_calendar_renewals_leave_no_gap_and_no_leak() {
    kills(&CALENDAR, 100);
}

#[test]
fn kills_of_drive_renewals_leave_no_gap_and_no_leak() {
    kills(&DRIVE, 30);
}

#[test]
fn kills_of_gmail_renewals_leave_no_gap_and_no_leak() {
    kills(&GMAIL, 30);
}

/// Makes every channel due for renewal; changes only the rows, so that grants and leases of the runs stay valid.
const AGE: &str =
    "UPDATE channels SET created_at = created_at - interval '145 hours', expires_at = expires_at - interval '145 hours'";

/// Kills renewals at random points until this many of them have died.
fn kills(service: &'static Service, count: u32) {
    let mut world = followed(service, 6);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "4");
    renew(&world).expect(0);
    let streams = watchable(&world);
    world.execute(AGE);
    let started = Instant::now();
    renew(&world).expect(0);
    let duration = started.elapsed();
    let mut chance = rand::rngs::StdRng::seed_from_u64(42);
    let (mut killed, mut rounds, mut asked_for, mut half_done, mut nothing) = (0, 0, 0, 0, false);
    while killed < count {
        assert!(rounds < 10 * count, "{killed} of {rounds} runs lived when they were to be killed");
        if rounds % 3 == 0 {
            // The set to renew differs; sometimes no stream has a channel.
            nothing = rounds % 9 == 0;
            if nothing { drop(world.syncctl(&["channels", "stop", "--all"]).expect(0)) } else { world.execute(AGE) }
        }
        rounds += 1;
        let mut child = world.spawn(&[service.name, "renew-watches"]);
        // Deliberately not waiting for a state: the point of death is what is tested.
        std::thread::sleep(duration.mul_f64(chance.random_range(0.05..1.1)));
        child.kill().expect("killing");
        killed += u32::from(child.wait().expect("waiting").signal() == Some(9));
        asked_for += world.channels_in("creating");
        let there = by_resource(&world).len() as i64;
        assert!(nothing || there == streams, "a gap: {there} of {streams} streams have a channel after round {rounds}");
        assert_no_leak(&world);
        half_done += i64::from(nothing && there > 0 && there < streams);
        world.wait_until_leases_lapse();
        // Two of three die right after another did.
        if rounds % 3 == 0 || killed == count {
            // The first cleans up after the dead ones, the second finds nothing left.
            renew(&world).expect(0);
            renew(&world).expect(0);
            assert_in_step(&world);
        }
    }
    let past = past(&world);
    println!(
        "{}: {killed} of {rounds} runs killed while they lived; {asked_for} channels were being asked for then, {half_done} first renewals \
         half done; at most {} channels of one stream at any time, none leaked",
        service.name, past.most
    );
    assert!(past.most <= 2, "{past:?}");
    assert!(asked_for > 0, "no run was killed while it asked for channels");
    assert_eq!(world.runs_in("running"), 0);
}

#[test]
fn a_month_of_calendar_renewals_with_a_tenth_of_the_calls_failing_has_no_gap_and_no_leak() {
    a_month(&CALENDAR);
}

#[test]
fn a_month_of_drive_renewals_with_a_tenth_of_the_calls_failing_has_no_gap_and_no_leak() {
    a_month(&DRIVE);
}

#[test]
fn a_month_of_gmail_renewals_with_a_tenth_of_the_calls_failing_has_no_gap_and_no_leak() {
    a_month(&GMAIL);
}

/// Renewals twice a day. Tokens live an hour, so that every call of a run may also fail because of its token.
fn a_month(service: &'static Service) {
    let mut world = followed(service, 30);
    renew(&world).expect(0);
    assert_in_step(&world);
    let streams = watchable(&world);
    world.set("SYNCCTL_ENGINE_TRIES", "5");
    // Refused before it took effect, and done but with the answer lost; the second fault strikes part of the calls left by the first.
    for (nth, fault) in
        ["unavailable_503", "server_500", "rate_limit_403", "cut_body", "connection_reset"].into_iter().enumerate()
    {
        let probability = 0.02 / (1.0 - 0.02 * nth as f64);
        world.sim.fault(json!({ "fault": fault, "probability": probability }));
    }
    // Enough to leave some to the next run.
    world.sim.fault(json!({ "fault": "unavailable_503", "probability": 0.3, "method": "channels.stop" }));
    let mut failed = 0;
    for _ in 0..60 {
        world.move_clock(12.0);
        failed += i32::from(renew(&world).code != 0);
        assert_no_leak(&world);
    }
    let past = past(&world);
    let faults = world.sim.get("faults");
    let sum = |name: &str| faults.as_array().into_iter().flatten().filter_map(|fault| fault[name].as_u64()).sum::<u64>();
    let (hits, calls) = (sum("hits"), faults[0]["calls"].as_u64().unwrap_or(0));
    world.sim.clear_faults();
    renew(&world);
    renew(&world).expect(0);
    assert_in_step(&world);
    let made = world.rows("channels WHERE resource_id IS NOT NULL");
    println!(
        "{}: {streams} streams, 60 runs in 30 days, {hits} of {calls} calls failed, and with them {failed} runs; {made} channels made; \
         gap {} s, at most {} channels of one stream at any time, none leaked",
        service.name, past.gap_seconds, past.most
    );
    assert_eq!((past.resources as i64, past.gap_seconds), (streams, 0.0), "{past:?}");
    assert!(past.most <= 2, "{past:?}");
    assert!(hits * 20 > calls, "too few calls failed for this to say anything: {hits} of {calls}");
}
