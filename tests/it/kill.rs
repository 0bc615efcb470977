//! kill -9 at random points: the next runs make good, and the dead run is named.

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus};
use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::support::World;
use crate::support::service::{ATTENDEE, CALENDAR, DRIVE, GMAIL, Service};

/// How many runs are killed while they live, and how many of these after they have opened their row.
const KILLS: u64 = 100;
const WITH_ROW: i64 = 50;
/// What the time until death grows by with each run that was killed before it had a row: where the machine is busy, runs begin late.
const LATER: f64 = 1.05;

#[test]
fn a_hundred_kills_of_calendar_runs_lose_and_double_nothing() {
    a_hundred_kills(&CALENDAR);
}

#[test]
fn a_hundred_kills_of_gmail_runs_lose_and_double_nothing() {
    a_hundred_kills(&GMAIL);
}

#[test]
fn a_hundred_kills_of_drive_runs_lose_and_double_nothing() {
    a_hundred_kills(&DRIVE);
}

#[test]
fn a_hundred_kills_of_attendee_runs_lose_and_double_nothing() {
    a_hundred_kills(&ATTENDEE);
}

fn a_hundred_kills(service: &'static Service) {
    let mut world = World::of(service, 12, 30);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    if let Some(page_size) = service.page_size {
        world.set(page_size, "6");
    }
    // Cursors expire more often here than a day allows.
    world.set("SYNCCTL_ENGINE_RESYNCS_PER_DAY", "1000");
    world.sync_all().expect(0);
    let mut chance = rand::rngs::StdRng::seed_from_u64(42);
    let (mut killed, mut round) = (0, 0);
    let mut within = service.killed_within as f64 * 1_000.0;
    let rows =
        |world: &World, what: &str| world.count(&format!("SELECT count(*) FROM {}_cron_results WHERE {what}", service.name));
    // A run that ends before its death does not count.
    while killed < KILLS || rows(&world, "status IN ('abandoned', 'running')") < WITH_ROW {
        assert!(round < 10 * KILLS, "only {killed} of {round} runs were still alive when they were to be killed");
        world.churn(8, round);
        if round % 10 == 3 {
            world.expire();
        }
        let child = world.spawn(service.killed[usize::try_from(round).expect("a round") % service.killed.len()]);
        // Not waiting for anything: the point of death is the thing under test.
        let before = rows(&world, "true");
        let status = kill_after(child, Duration::from_micros(chance.random_range(1_000.0..within) as u64));
        let died = status.signal() == Some(9);
        killed += u64::from(died);
        within *= if died && rows(&world, "true") == before { LATER } else { 1.0 };
        world.wait_until_leases_lapse();
        round += 1;
    }
    (service.finish)(&world);
    // The first of these may end a full pass that a killed run began; what was deleted meanwhile comes with the next.
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
    let abandoned = rows(&world, "status = 'abandoned'");
    println!("{}: {killed} of {round} runs killed; {abandoned} of them had opened their row", service.name);
    // Those killed before they had a row left none.
    assert!((WITH_ROW..=killed as i64).contains(&abandoned), "{abandoned} of {killed} killed runs read abandoned");
    assert_eq!(world.count("SELECT count(*) FROM runs WHERE status = 'running'"), 0);
}

/// Kills the run when its time has come, unless it ends before.
fn kill_after(mut child: Child, time: Duration) -> ExitStatus {
    let mut stderr = child.stderr.take().expect("a pipe");
    let (ended, end) = std::sync::mpsc::channel::<()>();
    // Its standard error ends with the run.
    let reader = std::thread::spawn(move || {
        let _ = stderr.read_to_end(&mut Vec::new());
        drop(ended);
    });
    let _ = end.recv_timeout(time);
    child.kill().expect("killing the run");
    let status = child.wait().expect("the run ends");
    reader.join().expect("the reader ends");
    status
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
