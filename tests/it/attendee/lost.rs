//! A bot whose creation is unknown: the run was killed between the call and the commit, or the answer was lost.

use serde_json::json;

use crate::support::World;

const USER: &str = "user00000@example.com";

/// Kills a run of `attendee schedule` when Attendee has created the bot and has not answered yet. Returns the meeting's link.
fn killed_after_the_call(world: &mut World) -> String {
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    let link = world.meet(USER, "standup", 180);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    world.sim.fault(json!({ "fault": "stall_answer", "method": "bots.create", "times": 1 }));
    let mut child = world.spawn(&["attendee", "schedule"]);
    world.wait_for_stall();
    child.kill().expect("killing the run");
    child.wait().expect("the run ends");
    world.sim.clear_faults();
    assert_eq!(world.only_bot(&link)["state"], "scheduled");
    assert_eq!(world.rows("attendee_bots WHERE bot_id IS NOT NULL"), 0, "the run reached its commit");
    world.wait_until_leases_lapse();
    link
}

#[test]
fn a_bot_whose_run_was_killed_before_the_commit_is_found_again() {
    let mut world = World::with_attendee(1);
    let link = killed_after_the_call(&mut world);
    world.schedule().expect(0);
    let bot = world.only_bot(&link);
    let meeting = world.meeting();
    assert_eq!([meeting.bot_id.as_str(), &meeting.bot_status], [bot["id"].as_str().expect("an id"), "bot_scheduled"]);
    world.poll_bots().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
}

#[test]
fn a_meeting_that_is_cancelled_after_such_a_kill_leaves_no_orphan() {
    let mut world = World::with_attendee(1);
    let link = killed_after_the_call(&mut world);
    world.sim.delete_event(USER, "standup");
    world.schedule().expect(0);
    assert_eq!(world.only_bot(&link)["deleted"], true);
    world.poll_bots().expect(0);
    world.assert_in_step();
}

#[test]
fn a_meeting_that_is_moved_after_such_a_kill_keeps_its_one_bot() {
    let mut world = World::with_attendee(1);
    let link = killed_after_the_call(&mut world);
    world.meet(USER, "standup", 300);
    world.schedule().expect(0);
    let bot = world.only_bot(&link);
    assert_eq!((&bot["state"], &bot["deleted"]), (&json!("scheduled"), &json!(false)));
    world.poll_bots().expect(0);
    world.assert_in_step();
}

#[test]
fn a_lost_bot_that_failed_in_the_meantime_is_not_created_again() {
    let mut world = World::with_attendee(1);
    let link = killed_after_the_call(&mut world);
    let id = world.only_bot(&link)["id"].clone();
    // Its key is free now.
    world.sim.admin("attendee/act", json!({ "bot": id, "do": "fail" }));
    world.schedule().expect(0);
    assert_eq!(world.only_bot(&link)["id"], id);
    world.poll_bots().expect(0);
    assert_eq!(world.meeting().bot_status, "failed");
}

#[test]
fn a_kill_while_a_bot_is_moved_or_removed_is_repaired_by_the_next_run() {
    let mut world = World::with_attendee(1);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.meet(USER, "moved", 180);
    world.meet(USER, "cancelled", 180);
    world.schedule().expect(0);
    for (method, change) in [("bots.patch", "move"), ("bots.delete", "cancel")] {
        match change {
            "move" => drop(world.meet(USER, "moved", 300)),
            _ => world.sim.delete_event(USER, "cancelled"),
        }
        world.syncctl(&["calendar", "cron", "--force"]).expect(0);
        world.sim.fault(json!({ "fault": "stall_answer", "method": method, "times": 1 }));
        let mut child = world.spawn(&["attendee", "schedule"]);
        world.wait_for_stall();
        child.kill().expect("killing the run");
        child.wait().expect("the run ends");
        world.sim.clear_faults();
        world.wait_until_leases_lapse();
        world.schedule().expect(0);
        world.poll_bots().expect(0);
        world.assert_in_step();
    }
    world.assert_no_leftovers();
}

#[test]
fn two_runs_at_once_make_one_bot_a_meeting() {
    let world = World::with_attendee(2);
    let links: Vec<String> = (0..12).map(|nth| world.meet(USER, &format!("talk{nth}"), 180 + nth)).collect();
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    let runs: Vec<_> = (0..3).map(|_| world.spawn(&["attendee", "schedule"])).collect();
    for mut run in runs {
        let code = run.wait().expect("it ends").code();
        assert!(matches!(code, Some(0 | 75)), "{code:?}");
    }
    world.schedule().expect(0);
    links.iter().for_each(|link| drop(world.only_bot(link)));
    world.poll_bots().expect(0);
    world.assert_in_step();
}

#[test]
fn a_bot_that_already_has_the_key_is_adopted_and_other_refusals_are_not() {
    let world = World::with_attendee(1);
    world.meet(USER, "standup", 180);
    world.schedule().expect(0);
    let bot = world.bots().remove(0);
    // As if the row had never been written: a restored backup.
    world.execute("DELETE FROM attendee_bots; UPDATE meetings SET bot_id = NULL, bot_status = 'none'");
    world.schedule().expect(0);
    assert_eq!(world.meeting().bot_id, bot["id"].as_str().expect("an id"));
    world.assert_in_step();
    let other = world.meet(USER, "refused", 200);
    world.sim.fault(json!({ "fault": "bad_request_400", "method": "bots.create", "times": 1 }));
    let third = world.meet(USER, "third", 220);
    let run = world.schedule();
    assert_eq!(run.code, 1, "{run:#?}");
    assert_eq!(world.bots().iter().filter(|bot| bot["meeting_url"] == other || bot["meeting_url"] == third).count(), 1);
    world.sim.clear_faults();
    world.schedule().expect(0);
    world.poll_bots().expect(0);
    world.assert_in_step();
}
