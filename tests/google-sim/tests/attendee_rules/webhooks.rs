//! Webhooks: signed, in order, and retried when they fail.

use data_encoding::BASE64;
use ring::hmac;
use serde_json::{Value, json};

use crate::Attendee;

/// Waits for this many webhooks, then checks that no more arrive; returns them.
fn got(attendee: &Attendee, count: usize) -> Vec<Value> {
    let all = || attendee.read("sink?name=hook")["events"].as_array().cloned().expect("events");
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(300);
    while all().len() < count && std::time::Instant::now() < patience {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(150));
    let all = all();
    assert_eq!(all.len(), count, "{all:#?}");
    all
}

fn subscribe(attendee: &Attendee, triggers: &Value) -> Vec<u8> {
    let url = format!("{}/sink/hook", attendee.url);
    let secret =
        attendee.admin("attendee/webhooks", json!({ "project": "one", "url": url, "triggers": triggers }))["secret"].clone();
    BASE64.decode(secret.as_str().expect("a secret").as_bytes()).expect("base64")
}

fn payload(event: &Value) -> Value {
    serde_json::from_str(event["body"].as_str().expect("a body")).expect("JSON")
}

#[test]
fn changes_of_state_are_announced_in_order_and_signed() {
    let attendee = Attendee::start();
    let secret = subscribe(&attendee, &json!(["bot.state_change"]));
    let bot = attendee.bot("k", 600);
    attendee.pass(10_000);
    let got = got(&attendee, 8);
    let states: Vec<Value> = got.iter().map(|event| payload(event)["data"]["new_state"].clone()).collect();
    let course =
        ["staged", "joining", "waiting_room", "joined_not_recording", "joined_recording", "leaving", "post_processing", "ended"];
    assert_eq!(states, course);
    let first = payload(&got[0]);
    assert_eq!(
        (&first["bot_id"], &first["trigger"], &first["bot_metadata"]),
        (&json!(bot), &json!("bot.state_change"), &json!({ "meeting": "m1" }))
    );
    assert!(got[0]["body"].as_str().is_some_and(|body| body.contains("\": ")), "it is not sent in the form that is signed");
    for event in &got {
        let mut sorted = payload(event);
        sorted.sort_all_objects();
        let signature = event["headers"]["x-webhook-signature"]
            .as_str()
            .map(|text| BASE64.decode(text.as_bytes()))
            .expect("signed")
            .expect("base64");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        assert!(hmac::verify(&key, sorted.to_string().as_bytes(), &signature).is_ok(), "{event}");
    }
}

#[test]
fn utterances_are_announced_once_when_they_come_and_once_when_they_are_corrected() {
    let attendee = Attendee::start();
    let course = json!({ "utterances": 5, "late_percent": 0, "speakers": ["Zoë Žižek"] });
    attendee.admin("attendee/script", json!({ "course": course }));
    subscribe(&attendee, &json!(["transcript.update"]));
    attendee.bot("k", 600);
    attendee.pass(10_000);
    let got = got(&attendee, 6);
    let said: Vec<Value> = got.iter().map(|event| payload(event)["data"]["transcription"]["transcript"].clone()).collect();
    assert_eq!(said[4], json!(format!("{} um", said[5].as_str().expect("text"))));
    assert_eq!(payload(&got[0])["data"]["speaker_name"], "Zoë Žižek");
    assert!(got[0]["body"].as_str().is_some_and(str::is_ascii), "it is sent escaped");
}

#[test]
fn a_webhook_that_fails_comes_again_with_its_key_three_times_in_all() {
    let attendee = Attendee::start();
    subscribe(&attendee, &json!(["bot.state_change"]));
    let join = || attendee.call("POST", "/bots", Some(json!({ "meeting_url": crate::MEET, "bot_name": "Scribe" })));
    attendee.admin("attendee/script", json!({ "course": { "join_seconds": 1_000_000 } }));
    attendee.admin("sink", json!({ "name": "hook", "status": 404, "fail_times": 1 }));
    assert_eq!(join().0, 201);
    let twice = got(&attendee, 2);
    assert_eq!(payload(&twice[0])["idempotency_key"], payload(&twice[1])["idempotency_key"]);
    attendee.admin("sink", json!({ "name": "hook", "status": 503 }));
    assert_eq!(join().0, 201);
    let last = got(&attendee, 5);
    assert_ne!(payload(&last[0])["idempotency_key"], payload(&last[4])["idempotency_key"]);
    assert_eq!(attendee.read("attendee/webhooks")[0]["count"], json!({ "sent": 2, "delivered": 1, "failed": 1 }));
}
