//! A bot's transitions through its states, and its possible outcomes.

use serde_json::{Value, json};

use crate::{Attendee, MEET};

fn kinds(bot: &Value) -> Vec<&str> {
    bot["events"].as_array().expect("events").iter().filter_map(|event| event["type"].as_str()).collect()
}

#[test]
fn a_bot_goes_from_scheduled_to_ended_by_the_simulated_clock() {
    let attendee = Attendee::start();
    let bot = attendee.bot("k", 3_600);
    let mut seen = vec![attendee.state(&bot)];
    for seconds in [3_310, 295, 12, 22, 1_794, 6, 60] {
        attendee.pass(seconds);
        seen.push(attendee.state(&bot));
    }
    let states = ["scheduled", "staged", "joining", "waiting_room", "joined_recording", "leaving", "post_processing", "ended"];
    assert_eq!(seen, states);
    let bot = attendee.get(&format!("/bots/{bot}"));
    let events =
        ["staged", "join_requested", "put_in_waiting_room", "joined_meeting", "recording_permission_granted", "leave_requested"];
    assert_eq!(kinds(&bot), [&events[..], &["left_meeting", "post_processing_completed"]].concat());
    assert_eq!(bot["events"][5]["sub_type"], "auto_leave_only_participant_in_meeting");
    assert_eq!(bot["recording_state"], "complete");
}

#[test]
fn a_jump_of_the_clock_leaves_no_event_out() {
    let attendee = Attendee::start();
    let bot = attendee.bot("k", 3_600);
    attendee.pass(20_000);
    let bot = attendee.get(&format!("/bots/{bot}"));
    assert_eq!((&bot["state"], kinds(&bot).len()), (&json!("ended"), 8));
    let times: Vec<&str> =
        bot["events"].as_array().expect("events").iter().filter_map(|event| event["created_at"].as_str()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn one_who_is_never_admitted_fails() {
    let attendee = Attendee::start();
    attendee.admin("attendee/script", json!({ "of": "k", "course": { "admitted": false, "waiting_seconds": 900 } }));
    let (bot, other) = (attendee.bot("k", 600), attendee.bot("other", 600));
    attendee.pass(700);
    assert_eq!((attendee.state(&bot), attendee.state(&other)), ("waiting_room".into(), "joined_recording".into()));
    attendee.pass(900);
    let bot = attendee.get(&format!("/bots/{bot}"));
    assert_eq!(bot["state"], "fatal_error");
    assert_eq!(
        bot["events"].as_array().and_then(|events| events.last()).map(|event| &event["sub_type"]),
        Some(&json!("waiting_room_timeout_exceeded"))
    );
}

#[test]
fn one_who_may_not_record_hears_nothing() {
    let attendee = Attendee::start();
    attendee.admin("attendee/script", json!({ "of": MEET, "course": { "recorded": false } }));
    let bot = attendee.bot("k", 600);
    attendee.pass(700);
    assert_eq!(attendee.state(&bot), "joined_recording_permission_denied");
    attendee.pass(4_000);
    let shown = attendee.get(&format!("/bots/{bot}"));
    assert_eq!(
        (&shown["state"], &shown["transcription_state"], &shown["recording_state"]),
        (&json!("ended"), &json!("not_started"), &json!("not_started"))
    );
    assert_eq!(attendee.get(&format!("/bots/{bot}/transcript")), json!([]));
    assert_eq!(attendee.call("GET", &format!("/bots/{bot}/recording"), None).0, 404);
}

#[test]
fn an_odd_state_is_shown_and_no_list_by_state_names_it() {
    let attendee = Attendee::start();
    attendee.admin("attendee/script", json!({ "of": "k", "course": { "state": "joined_from_the_moon" } }));
    let bot = attendee.bot("k", 600);
    assert_eq!(attendee.state(&bot), "scheduled");
    attendee.pass(700);
    assert_eq!(attendee.state(&bot), "joined_from_the_moon");
    assert_eq!(attendee.get("/bots?states=joined_recording")["results"], json!([]));
    assert_eq!(attendee.get("/bots")["results"][0]["id"], json!(bot));
    attendee.pass(4_000);
    assert_eq!(attendee.state(&bot), "ended");
}

#[test]
fn a_bot_leaves_when_it_is_asked_to_and_hears_nothing_more() {
    let attendee = Attendee::start();
    let bot = attendee.bot("k", 600);
    let leave = || attendee.call("POST", &format!("/bots/{bot}/leave"), None);
    let (status, body) = leave();
    assert!(
        status == 400 && body["error"].as_str().is_some_and(|error| error.contains("not allowed when bot is in state scheduled"))
    );
    attendee.pass(1_500);
    let (status, shown) = leave();
    assert_eq!((status, &shown["state"]), (200, &json!("leaving")));
    attendee.pass(4_000);
    assert_eq!(attendee.state(&bot), "ended");
    let heard = attendee.get(&format!("/bots/{bot}/transcript")).as_array().map(Vec::len).expect("a transcript");
    assert!((1..12).contains(&heard), "{heard} of 12");
}

#[test]
fn a_test_can_change_a_bots_state() {
    let attendee = Attendee::start();
    let act = |bot: &str, deed: &str| attendee.admin("attendee/act", json!({ "bot": bot, "do": deed }))["state"].clone();
    let (early, dead) = (attendee.bot("early", 600), attendee.bot("dead", 600));
    attendee.pass(1_000);
    assert_eq!(act(&early, "end_meeting"), "post_processing");
    assert_eq!(act(&dead, "fail"), "fatal_error");
    attendee.pass(60);
    assert_eq!(attendee.state(&early), "ended");
    assert_eq!(act(&early, "delete_data"), "data_deleted");
    assert_eq!(attendee.get(&format!("/bots/{early}/transcript")), json!([]));
    assert_eq!(attendee.call("POST", &format!("/bots/{dead}/delete_data"), None).1["state"], "data_deleted");
}

#[test]
fn the_truth_names_every_bot_that_ever_was() {
    let attendee = Attendee::start();
    let gone = attendee.bot("k", 3_600);
    assert_eq!(attendee.call("DELETE", &format!("/bots/{gone}"), None).0, 200);
    let there = attendee.bot("k", 3_600);
    let Value::String(lines) = attendee.read("attendee/state") else { panic!("two lines") };
    let bots: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("a line")).collect();
    assert_eq!(
        bots.iter().map(|bot| (&bot["id"], &bot["deleted"])).collect::<Vec<_>>(),
        [(&json!(gone), &json!(true)), (&json!(there), &json!(false))]
    );
}
