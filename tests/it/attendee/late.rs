//! Failed transcriptions: Attendee reports one when part of it was not transcribed five minutes after the meeting, and never reverts it;
//! the words arrive anyway.

use serde_json::json;

use super::announced::announced;
use crate::support::World;
use crate::support::waiting::until;

const USER: &str = "user00000@example.com";

/// A meeting of which a part was not transcribed when the bot ended; it arrives two hours later, or never.
fn failed(course: serde_json::Value) -> World {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": course }));
    world.schedule().expect(0);
    world.pass(120);
    let bot = world.only_bot(&link);
    assert_eq!((&bot["state"], &bot["transcription_state"]), (&json!("ended"), &json!("failed")));
    world.poll_bots().expect(0);
    world
}

fn document(world: &World) -> (i32, String, String) {
    let rows = world.query("SELECT version, body, coalesce(note, '') FROM documents WHERE source = 'attendee'");
    assert_eq!(rows.len(), 1, "one document");
    (rows[0].get(0), rows[0].get(1), rows[0].get(2))
}

fn events(world: &World, kind: &str) -> i64 {
    world.outbox_events_of(&format!("attendee.transcript.{kind}"))
}

#[test]
fn late_utterances_are_added_until_the_patience_ends() {
    let mut world = failed(json!({ "late_percent": 50, "transcript": "failed", "words_seconds": 7_200 }));
    let early = world.utterances();
    assert!(early > 0 && early < 12, "{early} lines");
    let (version, _, note) = document(&world);
    assert!(version == 1 && note.starts_with("incomplete: Attendee has not transcribed everything"), "{version} {note}");
    assert_eq!(world.settled_bots(), 0, "more may come");
    world.syncctl(&["verify", "attendee"]).expect(0);
    // Polled again without news: nothing is written twice, and the delay of the bot's last change does not grow.
    let delays = || world.syncctl(&["attendee", "metrics", "--json"]).expect(0).json()["window"]["delays"]["count"].clone();
    let before = delays();
    world.poll_bots().expect(0);
    assert_eq!((document(&world).0, events(&world, "updated"), delays()), (1, 0, before));
    // The words arrive, each with a webhook, which makes the project due.
    let _server = announced(&mut world, &[]);
    world.pass(130);
    until("the project is due", || world.due_streams_of("attendee") == 1);
    world.syncctl(&["attendee", "cron", "--json"]).expect(0);
    assert_eq!(world.utterances(), 12);
    let (version, body, note) = document(&world);
    assert!(version == 2 && body.contains("11: ") && note.starts_with("incomplete"), "{version} {note}");
    assert_eq!((events(&world, "created"), events(&world, "updated")), (1, 1));
    world.syncctl(&["verify", "attendee"]).expect(0);
    // Finally the patience ends, and the document notes that it may be incomplete.
    world.age_ends_of_bots("25 hours");
    world.poll_bots().expect(0);
    assert_eq!(world.settled_bots(), 1);
    assert!(document(&world).2.starts_with("incomplete: Attendee did not transcribe everything"), "{}", document(&world).2);
    world.sim.reset_ledger();
    world.poll_bots().expect(0);
    assert_eq!(world.sim.ledger()["total"], 0, "nothing is waited for");
}

#[test]
fn later_utterances_are_found_by_verify_and_fetched_by_name() {
    let mut world = failed(json!({ "late_percent": 50, "transcript": "failed", "words_seconds": 7_200 }));
    world.set("SYNCCTL_ATTENDEE_TRANSCRIPT_PATIENCE", "1h");
    world.age_ends_of_bots("2 hours");
    world.poll_bots().expect(0);
    assert_eq!(world.settled_bots(), 1);
    world.syncctl(&["verify", "attendee"]).expect(0);
    world.pass(130);
    let report = world.syncctl(&["verify", "attendee", "--json"]).expect(1).json();
    assert_eq!(report["runs"][0]["verify"]["kinds"]["bots"]["stale"], 1, "{report}");
    let bot = world.bot().bot_id;
    world.syncctl(&["attendee", "poll", &bot]).expect(0);
    assert_eq!(world.utterances(), 12);
    assert_eq!((document(&world).0, world.settled_bots()), (3, 1));
    world.syncctl(&["verify", "attendee"]).expect(0);
}

#[test]
fn an_empty_transcription_is_waited_for_and_marked_as_incomplete() {
    let world = failed(json!({ "late_percent": 100, "transcript": "failed" }));
    assert_eq!(world.documents(), 0);
    let bot = world.bot().bot_id;
    let said = world.syncctl(&["attendee", "transcript", &bot]).expect(0).stdout;
    assert!(said.contains("words may still come"), "{said}");
    world.age_ends_of_bots("25 hours");
    world.poll_bots().expect(0);
    assert_eq!(world.settled_bots(), 1);
}

#[test]
fn two_utterances_of_one_speaker_in_one_millisecond_are_both_stored() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": { "at_once": true, "late_percent": 0 } }));
    world.schedule().expect(0);
    world.pass(80);
    world.poll_bots().expect(0);
    assert!(world.utterances() > 0);
    world.pass(60);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    let times = world.count("SELECT count(DISTINCT (speaker_uuid, timestamp_ms)) FROM attendee_utterances");
    assert_eq!((world.utterances(), times), (12, 6));
    let body = document(&world).1;
    assert!((0..12).all(|nth| body.contains(&format!("{nth}: "))), "{body}");
}
