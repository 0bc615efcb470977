//! Transcripts that arrive incrementally and late, recordings, chat, participants.

use serde_json::{Value, json};

use crate::Attendee;

fn texts(transcript: &Value) -> Vec<&str> {
    transcript.as_array().expect("a transcript").iter().filter_map(|one| one["transcription"]["transcript"].as_str()).collect()
}

#[test]
fn a_transcript_grows_during_the_meeting_and_is_whole_some_time_after() {
    let attendee = Attendee::start();
    let bot = attendee.bot("k", 600);
    let transcript = || attendee.get(&format!("/bots/{bot}/transcript"));
    let state = || attendee.get(&format!("/bots/{bot}"))["transcription_state"].clone();
    assert_eq!((transcript(), state()), (json!([]), json!("not_started")));
    attendee.pass(600 + 31 + 900);
    let half = texts(&transcript()).len();
    assert!((2..8).contains(&half), "{half} of 12 by half-time");
    assert_eq!(state(), "in_progress");
    attendee.pass(900 + 5 + 61);
    assert_eq!(attendee.state(&bot), "ended");
    let at_the_end = texts(&transcript()).len();
    assert!(at_the_end < 12 && at_the_end > half, "{at_the_end} of 12 when the bot has ended");
    assert_eq!(state(), "in_progress");
    attendee.pass(120);
    assert_eq!((texts(&transcript()).len(), state()), (12, json!("complete")));
    let complete = transcript();
    let first = &complete[0];
    assert_eq!((&first["speaker_name"], &first["speaker_is_host"]), (&json!("Ann Archer"), &json!(true)));
    assert!(
        first["timestamp_ms"].is_i64() && first["duration_ms"].is_i64() && first["transcription"]["words"][0]["word"].is_string()
    );
    let times: Vec<i64> =
        complete.as_array().expect("a transcript").iter().filter_map(|one| one["timestamp_ms"].as_i64()).collect();
    assert!(times.is_sorted());
}

#[test]
fn updated_after_gives_what_came_and_what_was_corrected() {
    let attendee = Attendee::start();
    attendee.admin("attendee/script", json!({ "course": { "late_percent": 0, "utterances": 5, "meeting_seconds": 600 } }));
    let bot = attendee.bot("k", 600);
    // The fifth, 500 seconds into the recording, is corrected 30 seconds later.
    attendee.pass(600 + 31 + 510);
    let mark = attendee.at(0);
    let since = |mark: &str| attendee.get(&format!("/bots/{bot}/transcript?updated_after={mark}"));
    let draft = attendee.get(&format!("/bots/{bot}/transcript"));
    assert!(texts(&draft)[4].ends_with(" um"), "{draft}");
    assert_eq!(since(&mark), json!([]));
    attendee.pass(40);
    let corrected = since(&mark);
    assert_eq!(texts(&corrected).len(), 1);
    assert!(!texts(&corrected)[0].ends_with(" um"), "{corrected}");
    assert_eq!(
        (&corrected[0]["timestamp_ms"], &corrected[0]["speaker_uuid"]),
        (&draft[4]["timestamp_ms"], &draft[4]["speaker_uuid"])
    );
    assert_eq!(attendee.call("GET", &format!("/bots/{bot}/transcript?updated_after=yesterday"), None).0, 400);
}

#[test]
fn a_transcript_may_never_come_or_fail() {
    let attendee = Attendee::start();
    attendee.admin("attendee/script", json!({ "of": "never", "course": { "transcript": "never", "late_percent": 100 } }));
    attendee.admin("attendee/script", json!({ "of": "failed", "course": { "transcript": "failed", "late_percent": 100 } }));
    attendee.admin("attendee/script", json!({ "of": "silent", "course": { "utterances": 0 } }));
    let bots = ["never", "failed", "silent"].map(|key| attendee.bot(key, 600));
    attendee.pass(200_000);
    let seen = bots.map(|bot| {
        let (shown, transcript) = (attendee.get(&format!("/bots/{bot}")), attendee.get(&format!("/bots/{bot}/transcript")));
        assert_eq!((&shown["state"], transcript), (&json!("ended"), json!([])));
        shown["transcription_state"].clone()
    });
    // If no one speaks, the transcription never starts.
    assert_eq!(seen, ["in_progress", "failed", "not_started"]);
}

#[test]
fn recording_chat_and_participants_are_there_when_they_can_be() {
    let attendee = Attendee::start();
    let bot = attendee.bot("k", 600);
    let path = |what: &str| format!("/bots/{bot}/{what}");
    let send = || attendee.call("POST", &path("send_chat_message"), Some(json!({ "message": "I take notes." })));
    assert_eq!(send().0, 400);
    assert_eq!(attendee.get(&path("participants"))["results"], json!([]));
    attendee.pass(700);
    assert_eq!(send().0, 200);
    assert_eq!(attendee.call("GET", &path("recording"), None).0, 404);
    attendee.pass(4_000);
    assert!(attendee.get(&path("recording"))["url"].as_str().is_some_and(|url| url.ends_with(".mp4")));
    assert_eq!(attendee.get(&path("participants"))["results"].as_array().map(Vec::len), Some(3));
    assert_eq!(attendee.get(&path("participant_events"))["results"].as_array().map(Vec::len), Some(6));
    let chat = attendee.get(&path("chat_messages"));
    assert_eq!((chat["results"].as_array().map(Vec::len), &chat["results"][0]["text"]), (Some(3), &json!("I take notes.")));
}
