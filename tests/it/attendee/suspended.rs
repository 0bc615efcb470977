//! A schedule that was suspended and resumes with stale knowledge after another one has done the work.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::waiting::until;

const USER: &str = "user00000@example.com";
const TAKEN_OVER: &str = "another run has taken over the job";

/// Four meetings, and a run that waits for the answer to its first bot. Returns the run and the links.
fn waiting(world: &mut World) -> (std::process::Child, Vec<String>) {
    // One bot after another.
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "1");
    let links = (0..4).map(|nth| world.meet(USER, &format!("talk{nth}"), 180 + nth)).collect();
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    world.sim.fault(json!({ "fault": "stall", "method": "bots.create", "times": 1 }));
    let run = world.spawn(&["attendee", "schedule", "--json"]);
    world.wait_for_stall();
    (run, links)
}

fn report(run: std::process::Child) -> Value {
    let output = run.wait_with_output().expect("it ends");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[track_caller]
fn assert_one_bot_each(world: &World, links: &[String]) {
    for link in links {
        world.only_bot(link);
    }
    assert_eq!(world.rows("attendee_bots"), links.len() as i64);
    world.poll_bots().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn a_suspended_schedule_makes_no_second_bot() {
    let mut world = World::with_attendee(1);
    world.set("SYNCCTL_ENGINE_LEASE", "300ms");
    let (run, links) = waiting(&mut world);
    let pid = i32::try_from(run.id()).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).expect("a signal");
    world.wait_until_leases_lapse();
    world.sim.clear_faults();
    world.syncctl(&["attendee", "schedule"]).expect(0);
    world.sim.admin("release", json!({}));
    rustix::process::kill_process(pid, rustix::process::Signal::CONT).expect("a signal");
    report(run);
    assert_one_bot_each(&world, &links);
}

/// The same without a heartbeat: the run checks before each bot.
#[test]
fn a_bot_that_another_run_asked_for_is_not_asked_for_again() {
    let mut world = World::with_attendee(1);
    let (run, links) = waiting(&mut world);
    world.unlock_jobs();
    world.sim.clear_faults();
    world.syncctl(&["attendee", "schedule"]).expect(0);
    world.sim.admin("release", json!({}));
    assert_eq!(report(run)["stopped_early"], TAKEN_OVER);
    assert_one_bot_each(&world, &links);
}

#[test]
fn a_suspended_schedule_takes_back_no_bot_that_is_wanted_again() {
    let mut world = World::with_attendee(1);
    world.set("SYNCCTL_ENGINE_CONCURRENCY", "1");
    let links = [0, 1].map(|nth| world.meet(USER, &format!("talk{nth}"), 180 + nth));
    world.schedule().expect(0);
    for nth in 0..2 {
        world.sim.delete_event(USER, &format!("talk{nth}"));
    }
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    world.sim.fault(json!({ "fault": "stall", "method": "bots.delete", "times": 1 }));
    let run = world.spawn(&["attendee", "schedule", "--json"]);
    world.wait_for_stall();
    // Another run takes the job, and the second meeting takes place after all.
    world.unlock_jobs();
    world.sim.clear_faults();
    world.meet(USER, "talk1", 181);
    world.schedule().expect(0);
    world.sim.admin("release", json!({}));
    assert_eq!(report(run)["stopped_early"], TAKEN_OVER);
    assert_eq!(world.only_bot(&links[1])["deleted"], false);
    assert_eq!(world.only_bot(&links[0])["deleted"], true);
    world.poll_bots().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn a_run_whose_job_another_one_has_taken_over_winds_down() {
    let mut world = World::with_attendee(1);
    world.set("SYNCCTL_ENGINE_LEASE", "600ms");
    let (run, links) = waiting(&mut world);
    world.execute("UPDATE job_locks SET run_id = gen_random_uuid(), held_until = now() + interval '1 hour'");
    // Its answer arrives after the heartbeat has noticed.
    let heard = "runs WHERE status = 'running' AND progress ->> 'winding_down' = 'true'";
    until("it hears of it", || world.rows(heard) > 0);
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    let report = report(run);
    assert_eq!(report["stopped_early"], TAKEN_OVER, "{report}");
    assert_eq!(world.rows("attendee_bots"), 1, "it went on");
    world.unlock_jobs();
    world.syncctl(&["attendee", "schedule"]).expect(0);
    assert_one_bot_each(&world, &links);
}
