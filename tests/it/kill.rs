//! kill -9 at random points of a run's database conversation: the next runs recover, and the dead run is recorded.

use std::os::unix::process::ExitStatusExt as _;

use rand::{Rng as _, SeedableRng as _};
use serde_json::json;

use crate::events;
use crate::support::gate::Gate;
use crate::support::service::{ATTENDEE, CALENDAR, DRIVE, GMAIL, Service};
use crate::support::{World, postgres};

/// How many runs are killed, and how many of these after they have inserted their row: only a small part of the conversation is before
/// that.
const KILLS: u64 = 100;
const WITH_ROW: i64 = 75;
/// Settings that have more stored than by default.
const ALSO_STORED: [(&str, &str); 3] =
    [("SYNCCTL_GMAIL_STORE", "all"), ("SYNCCTL_GMAIL_ATTACHMENTS", "all"), ("SYNCCTL_GMAIL_HTML", "true")];

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
    for (setting, value) in ALSO_STORED {
        world.set(setting, value);
    }
    if let Some(page_size) = service.page_size {
        world.set(page_size, "6");
    }
    events::ask_for(
        &mut world,
        &["calendar.event.*", "gmail.message.received", "gmail.message.labelled", "gmail.message.removed"],
    );
    // Cursors expire more often here than a day allows.
    world.set("SYNCCTL_ENGINE_RESYNCS_PER_DAY", "1000");
    world.sync_all().expect(0);
    let server = postgres::shared();
    let gate = Gate::before(&server.socket_dir(), server.port());
    let (direct, through) = (world.url.clone(), gate.url(world.database.name(), server.port()));
    let mut chance = rand::rngs::StdRng::seed_from_u64(42);
    // Number of messages that each job sends, as known so far.
    let mut said = vec![20; service.killed.len()];
    let (mut killed, mut round) = (0, 0);
    while killed < KILLS {
        assert!(round < 10 * KILLS, "only {killed} of {round} runs had not ended when they were to be killed");
        world.churn(8, round);
        if round % 10 == 3 {
            world.expire();
        }
        let job = usize::try_from(round).expect("a round") % service.killed.len();
        world.url.clone_from(&through);
        // Sometimes further than any run came: this one may send more.
        gate.freeze_after(chance.random_range(1..=said[job] * 3 / 2), chance.random());
        let mut run = world.spawn(service.killed[job]);
        world.url.clone_from(&direct);
        if gate.stands_still_before_the_end_of(&mut run) {
            run.kill().expect("killing the run");
        }
        said[job] = said[job].max(gate.passed());
        let status = run.wait_with_output().expect("the run ends").status;
        killed += u64::from(status.signal() == Some(9));
        gate.open();
        world.wait_until_leases_lapse();
        round += 1;
    }
    // On a busy machine a lease so short lapses without a kill.
    world.set("SYNCCTL_ENGINE_LEASE", "30s");
    (service.finish)(&world);
    // The first of these may end a full pass that a killed run began; deletions in the meantime arrive with the next.
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
    events::assert_each_change_once(&world);
    let abandoned = world.results_in(service.name, "abandoned");
    println!("{}: {killed} of {round} runs killed; {abandoned} of them had opened their row", service.name);
    // Those killed before they had a row left none.
    assert!((WITH_ROW..=killed as i64).contains(&abandoned), "{abandoned} of {killed} killed runs read abandoned");
    assert_eq!(world.runs_in("running"), 0);
}

#[test]
fn a_stopped_run_finishes_its_pages_and_releases_everything() {
    let mut world = World::with_users(4, 60);
    world.set("SYNCCTL_CALENDAR_PAGE_SIZE", "5");
    world.sim.fault(json!({ "fault": "stall", "at_call": 12, "times": 1 }));
    let child = world.spawn(&["calendar", "cron", "--json"]);
    world.wait_for_stall();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("stopping the run");
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    let output = child.wait_with_output().expect("the run ends");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["stopped_early"], "stop requested");
    world.assert_no_leftovers();
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.assert_in_step();
}
