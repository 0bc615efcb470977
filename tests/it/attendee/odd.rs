//! Edge cases: unknown states, bots that fail, vanish, or belong to no meeting.

use serde_json::json;

use crate::support::World;
use crate::support::attendee::PROJECT;

const USER: &str = "user00000@example.com";

#[test]
fn an_unknown_state_is_stored_unchanged_with_a_warning() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": { "state": "joined_from_the_moon" } }));
    world.schedule().expect(0);
    world.pass(70);
    let run = world.poll_bots().expect(0);
    assert!(run.stderr.contains("joined_from_the_moon") || run.stdout.contains("joined_from_the_moon"), "no warning: {run:#?}");
    assert_eq!(world.bot().raw_state, "joined_from_the_moon");
    world.assert_in_step();
    world.pass(120);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    world.assert_in_step();
    assert_eq!(world.meeting().bot_status, "completed");
}

#[test]
fn a_bot_that_is_not_admitted_fails_and_is_not_requested_again() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": { "admitted": false, "waiting_seconds": 600 } }));
    world.schedule().expect(0);
    world.pass(75);
    let run = world.poll_bots().expect(0);
    let why = "could_not_join_meeting: waiting_room_timeout_exceeded";
    let (meeting, bot) = (world.meeting(), world.bot());
    assert_eq!([meeting.bot_status, meeting.bot_reason, bot.reason, bot.last_error], ["failed", why, why, why]);
    let id = world.only_bot(&link)["id"].as_str().expect("an id").to_owned();
    assert_eq!(run.json()["details"]["troubled"][&id], why, "{run:#?}");
    let said = world.syncctl(&["attendee", "transcript", &id]).expect(0).stdout;
    assert!(said.contains(why), "{said}");
    world.schedule().expect(0);
    world.only_bot(&link);
    world.sim.reset_ledger();
    world.poll_bots().expect(0);
    assert_eq!(world.sim.ledger()["total"], 0, "no bot is open");
    assert_eq!(world.rows("attendee_transcripts WHERE utterances > 0"), 0);
}

#[test]
fn a_bot_that_may_not_record_has_joined_and_ends_without_a_text() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": { "recorded": false } }));
    world.schedule().expect(0);
    world.pass(70);
    world.poll_bots().expect(0);
    assert_eq!(world.meeting().bot_status, "bot_joined");
    world.pass(120);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    assert_eq!(world.meeting().bot_status, "completed");
}

/// Number of unsettled bots of a meeting with this course after it is over and was polled.
fn open_after(course: serde_json::Value) -> i64 {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": course }));
    world.schedule().expect(0);
    world.pass(180);
    assert_eq!(world.only_bot(&link)["state"], "ended");
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    world.unsettled_bots()
}

#[test]
fn a_meeting_in_which_no_one_spoke_is_not_waited_for() {
    assert_eq!(open_after(json!({ "utterances": 0 })), 0);
}

#[test]
fn a_meeting_in_which_no_one_spoke_never_starts_its_transcription() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": { "utterances": 0 } }));
    world.schedule().expect(0);
    world.pass(180);
    let bot = world.only_bot(&link);
    assert_eq!((&bot["transcription_state"], &bot["recording_state"]), (&json!("not_started"), &json!("complete")));
    world.poll_bots().expect(0);
    let bot = world.bot();
    assert_eq!([bot.state, bot.last_error], ["settled", "no one spoke"]);
    world.sim.reset_ledger();
    world.poll_bots().expect(0);
    assert_eq!(world.sim.ledger()["total"], 0, "it is done");
}

#[test]
fn a_meeting_that_was_not_recorded_is_not_waited_for() {
    assert_eq!(open_after(json!({ "recorded": false })), 0);
}

#[test]
fn a_clock_that_is_behind_attendees_costs_no_bot_of_a_meeting_that_begins_soon() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 3);
    // By the server's clock the bot should have joined already.
    world.sim.admin("clock", json!({ "advance": 130 }));
    world.schedule().expect(0);
    assert_eq!(world.only_bot(&link)["deleted"], false);
}

#[test]
fn data_that_was_deleted_before_it_was_fetched_settles_the_bot() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.pass(180);
    world.sim.admin("attendee/act", json!({ "bot": world.only_bot(&link)["id"], "do": "delete_data" }));
    world.poll_bots().expect(0);
    assert_eq!(world.bot().raw_state, "data_deleted");
    assert_eq!(world.meeting().bot_status, "completed");
    world.sim.reset_ledger();
    world.poll_bots().expect(0);
    assert_eq!(world.sim.ledger()["total"], 0, "it is settled");
}

#[test]
fn a_meeting_whose_data_was_deleted_has_no_document() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.pass(80);
    world.poll_bots().expect(0);
    assert!(world.utterances() > 0, "nothing was heard");
    world.pass(100);
    world.sim.admin("attendee/act", json!({ "bot": world.only_bot(&link)["id"], "do": "delete_data" }));
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    for table in ["documents", "attendee_transcripts", "attendee_utterances", "outbox_events"] {
        assert_eq!(world.rows(table), 0, "{table}");
    }
    let bot = world.bot();
    assert_eq!([bot.state, bot.last_error], ["settled", "its data was deleted at Attendee"]);
    world.syncctl(&["verify", "attendee"]).expect(0);
}

#[test]
fn a_bot_that_was_deleted_at_attendee_is_reported_and_left_alone() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    let id = world.only_bot(&link)["id"].as_str().expect("an id").to_owned();
    let request = ureq::delete(format!("{}/api/v1/bots/{id}", world.sim.url));
    request.header("authorization", "Token key-of-the-simulated-attendee").call().expect("removed");
    let run = world.poll_bots();
    assert!(matches!(run.code, 0 | 1), "{run:#?}");
    world.sim.reset_ledger();
    world.poll_bots().expect(0);
    assert_eq!(world.sim.ledger()["by_method"]["bots.get"], json!(null), "it is asked for no more");
}

#[test]
fn bots_of_others_in_the_same_project_are_left_alone() {
    let world = World::with_attendee(1);
    let at = world.sim_now() + chrono::Duration::hours(1);
    let foreign = json!({ "project": PROJECT, "meeting_url": "https://zoom.us/j/1", "join_at": at, "count": 30 });
    world.sim.admin("attendee/bots", foreign);
    world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.pass(90);
    world.poll_bots().expect(0);
    assert_eq!(world.rows("attendee_bots"), 1);
    assert_eq!(world.bots().iter().filter(|bot| bot["deleted"] == true).count(), 0);
}
