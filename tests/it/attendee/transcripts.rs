//! Transcripts: incremental while the meeting runs, complete when it is over, once, and late if necessary.

use serde_json::json;

use crate::support::World;

const USER: &str = "user00000@example.com";

#[test]
fn utterances_are_stored_during_the_meeting_and_corrected_later() {
    let world = World::with_attendee(1);
    world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    let mut counts = Vec::new();
    for minutes in [68, 10, 10] {
        world.pass(minutes);
        world.poll_bots().expect(0);
        counts.push(world.utterances());
    }
    assert!(counts.is_sorted() && counts[0] > 0 && counts[2] > counts[0], "{counts:?}");
    assert_eq!(world.documents_of("attendee"), 0, "a document of half a meeting");
    world.pass(60);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    assert_eq!(world.utterances(), 12);
    assert_eq!(world.rows("attendee_utterances WHERE text LIKE '% um'"), 0, "a draft stayed");
    world.assert_in_step();
}

#[test]
fn a_transcript_that_comes_late_is_waited_for_and_stored_once() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": { "late_percent": 100, "transcript_seconds": 7_200 } }));
    world.schedule().expect(0);
    world.pass(120);
    assert_eq!(world.only_bot(&link)["state"], "ended");
    for _ in 0..3 {
        world.poll_bots().expect(0);
        assert_eq!(world.transcripts(), 0);
    }
    world.pass(120);
    for _ in 0..3 {
        world.poll_bots().expect(0);
    }
    world.assert_in_step();
    let row = &world.query("SELECT d.title, d.body, d.version FROM documents d WHERE d.source = 'attendee'")[0];
    let (title, body, version): (Option<&str>, &str, i32) = (row.get(0), row.get(1), row.get(2));
    assert!(title.is_some_and(|title| title.contains("Talk standup")), "{title:?}");
    assert!(body.contains("Ann Archer") && body.contains("the budget") && version == 1, "{body}");
}

#[test]
fn a_run_that_is_killed_while_it_fetches_a_transcript_doubles_nothing() {
    let mut world = World::with_attendee(1);
    world.set("SYNCCTL_ENGINE_LEASE", "250ms");
    world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.pass(180);
    for fault in ["stall", "stall_answer"] {
        world.sim.fault(json!({ "fault": fault, "method": "bots.transcript", "times": 1 }));
        let mut child = world.spawn(&["attendee", "cron", "--force"]);
        world.wait_for_stall();
        child.kill().expect("killing the run");
        child.wait().expect("the run ends");
        world.sim.clear_faults();
        world.wait_until_leases_lapse();
    }
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    world.assert_in_step();
    world.assert_no_leftovers();
    assert_eq!(world.documents_of("attendee"), 1);
}

#[test]
fn a_transcript_that_never_comes_is_given_up_after_its_time_and_so_is_one_that_failed() {
    let mut world = World::with_attendee(1);
    world.set("SYNCCTL_ATTENDEE_TRANSCRIPT_PATIENCE", "1h");
    let (never, failed) = (world.meet(USER, "never", 60), world.meet(USER, "failed", 60));
    for (link, transcript) in [(&never, "never"), (&failed, "failed")] {
        world.sim.admin("attendee/script", json!({ "of": link, "course": { "late_percent": 100, "transcript": transcript } }));
    }
    world.schedule().expect(0);
    world.pass(180);
    world.poll_bots().expect(0);
    let open = "attendee_bots WHERE state NOT IN ('settled', 'removed')";
    assert_eq!(world.rows(open), 2, "words of the one that failed may come as well");
    world.age_ends_of_bots("2 hours");
    let run = world.poll_bots().expect(0);
    assert_eq!(world.rows(open), 0, "{run:#?}");
    world.sim.reset_ledger();
    world.poll_bots().expect(0);
    assert_eq!(world.sim.ledger()["total"], 0, "nothing is waited for");
}

#[test]
fn three_polls_at_once_store_each_transcript_once() {
    let world = World::with_attendee(2);
    for nth in 0..20 {
        world.meet(USER, &format!("talk{nth}"), 60 + nth);
    }
    world.schedule().expect(0);
    world.pass(180);
    let runs: Vec<_> = (0..3).map(|_| world.spawn(&["attendee", "cron", "--force", "--parallel"])).collect();
    for mut run in runs {
        let code = run.wait().expect("it ends").code();
        assert!(matches!(code, Some(0 | 1 | 75)), "{code:?}");
    }
    world.poll_bots().expect(0);
    world.assert_in_step();
    assert_eq!(world.outbox_events_of("attendee.transcript.created"), 20);
}

#[test]
fn a_bot_that_dies_in_the_meeting_leaves_what_it_heard() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.pass(75);
    world.sim.admin("attendee/act", json!({ "bot": world.only_bot(&link)["id"], "do": "fail" }));
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    let row = &world
        .query("SELECT b.state, b.status, t.utterances FROM attendee_bots b JOIN attendee_transcripts t ON t.bot = b.id")[0];
    let (state, status, utterances): (&str, &str, i32) = (row.get(0), row.get(1), row.get(2));
    assert!((state, status) == ("settled", "failed") && (1..12).contains(&utterances), "{state} {status} {utterances}");
    assert_eq!(world.documents_of("attendee"), 1);
}

#[test]
fn a_dry_run_of_a_poll_writes_nothing() {
    let world = World::with_attendee(1);
    world.meet(USER, "standup", 60);
    world.schedule().expect(0);
    world.pass(180);
    world.syncctl(&["attendee", "cron", "--force", "--dry-run"]).expect(0);
    assert_eq!(world.rows("attendee_bots WHERE raw_state = 'scheduled'"), 1);
    assert_eq!(world.utterances(), 0);
    assert_eq!(world.documents(), 0);
}

#[test]
fn a_nul_in_an_utterance_or_a_speakers_name_is_replaced() {
    let world = World::with_attendee(1);
    let link = world.meet(USER, "standup", 60);
    world.sim.admin("attendee/script", json!({ "of": link, "course": { "speakers": ["Ann\u{0}Archer"] } }));
    // An escaped backslash before `u0000` is text.
    let said = json!([{ "speaker_name": "Ben\u{0}", "speaker_uuid": "ben\u{0}", "timestamp_ms": 1, "transcription": { "transcript": "no\u{0}, \\u0000" } }]);
    world.sim.fault(json!({ "fault": "answer", "status": 200, "body": said, "method": "bots.transcript", "times": 1 }));
    world.schedule().expect(0);
    world.pass(75);
    world.poll_bots().expect(0);
    let heard = &world
        .query("SELECT speaker_uuid, speaker_name, text, raw -> 'transcription' ->> 'transcript' FROM attendee_utterances")[0];
    let heard: [&str; 4] = [heard.get(0), heard.get(1), heard.get(2), heard.get(3)];
    assert_eq!(heard, ["ben\u{fffd}", "Ben\u{fffd}", "no\u{fffd}, \\u0000", "no\u{fffd}, \\u0000"]);
    world.pass(105);
    world.poll_bots().expect(0);
    world.poll_bots().expect(0);
    assert_eq!(world.quarantined(), 0);
    let present = "SELECT details -> 'participants' -> 0 ->> 'name' FROM documents WHERE kind = 'transcript'";
    assert_eq!(world.query(present)[0].get::<_, &str>(0), "Ann\u{fffd}Archer");
    assert_eq!(world.unsettled_bots(), 0);
}
