//! kill -9 at random points: the next runs make good, and the dead run is named.

use std::io::Read as _;
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::support::World;

/// How many times a run is killed.
const KILLS: u64 = 100;

#[test]
fn a_hundred_kills_at_random_points_lose_and_double_nothing() {
    let mut world = World::with_users(12, 30);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "6");
    // Cursors expire more often here than a day allows, and a run that dies gives back no quota.
    world.set("SYNCCTL_ENGINE_RESYNCS_PER_DAY", "1000");
    world.set("SYNCCTL_QUOTA_CALENDAR_PROJECT_PER_MINUTE", "1000000");
    world.sync_all().expect(0);
    let mut chance = rand::rngs::StdRng::seed_from_u64(42);
    let mut killed = 0;
    for round in 0..KILLS {
        world.sim.churn(8, round);
        if round % 10 == 3 {
            world.sim.admin("expire", json!({ "what": "sync_tokens" }));
        }
        let mut child = world.spawn(&["calendar", "cron", "--force"]);
        // Not waiting for anything: the point of death is the thing under test.
        let mut line = [0; 1];
        let _ = child.stderr.take().map(|mut pipe| {
            let deadline = Duration::from_micros(chance.random_range(1_000..250_000));
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            let reader = std::thread::spawn(move || {
                let _ = pipe.read(&mut line);
                drop(sender);
            });
            let _ = receiver.recv_timeout(deadline);
            reader
        });
        if child.try_wait().expect("the run's state").is_none() {
            killed += 1;
            child.kill().expect("killing the run");
        }
        child.wait().expect("the run ends");
        world.wait_until_leases_lapse();
    }
    assert!(killed >= KILLS / 2, "only {killed} runs were still alive when they were to be killed");
    // The first of these may end a full pass that a killed run began; what was deleted meanwhile comes with the next.
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
    let abandoned = world.count("SELECT count(*) FROM calendar_cron_results WHERE status = 'abandoned'");
    assert!(abandoned > 0 && abandoned <= killed as i64, "{abandoned} of {killed} killed runs read abandoned");
    assert_eq!(world.count("SELECT count(*) FROM runs WHERE status = 'running'"), 0);
}

#[test]
fn a_run_that_is_told_to_stop_finishes_its_pages_and_gives_everything_back() {
    let mut world = World::with_users(4, 60);
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "5");
    world.sim.fault(json!({ "fault": "stall", "at_call": 12, "times": 1 }));
    let child = world.spawn(&["calendar", "cron", "--json"]);
    world.wait_for_stall();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("telling the run to stop");
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    let output = child.wait_with_output().expect("the run ends");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["stopped_early"], "told to stop");
    world.assert_no_leftovers();
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
}
