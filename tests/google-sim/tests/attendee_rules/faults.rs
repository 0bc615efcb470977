//! Faults in Attendee's format, and calls that take effect although the answer is lost.

use serde_json::{Value, json};

use crate::Attendee;

#[test]
fn faults_speak_as_attendee_does() {
    let attendee = Attendee::start();
    let struck = |fault: &str| {
        attendee.admin("faults", json!({ "fault": fault, "method": "bots.list", "user": "one", "times": 1, "retry_after": 7 }));
        attendee.call("GET", "/bots", None)
    };
    assert_eq!(struck("rate_limit_429"), (429, json!({ "detail": "Request was throttled. Expected available in 7 seconds." })));
    assert_eq!(struck("auth_error"), (401, json!({ "detail": "Invalid or disabled API key" })));
    assert_eq!(struck("bad_gateway_502").0, 502);
    assert_eq!(struck("server_500").0, 500);
    assert_eq!(struck("not_found"), (404, json!({ "error": "Bot not found" })));
    attendee.admin("faults", json!({ "fault": "cut_json", "method": "bots.list", "times": 1 }));
    assert!(matches!(attendee.call("GET", "/bots", None), (200, Value::String(_))), "half of an answer");
    assert_eq!(attendee.call("GET", "/bots", None).0, 200);
}

#[test]
fn a_call_whose_answer_is_lost_has_taken_effect() {
    let attendee = Attendee::start();
    attendee.admin("faults", json!({ "fault": "answer_lost", "method": "bots.create", "times": 1 }));
    assert!(attendee.try_call("POST", "/bots", Some(attendee.wish("k", 3_600))).is_err());
    assert_eq!(attendee.get("/bots?deduplication_key=k")["results"].as_array().map(Vec::len), Some(1));
    assert_eq!(attendee.call("POST", "/bots", Some(attendee.wish("k", 3_600))).0, 400);
}

#[test]
fn a_stalled_answer_has_taken_effect_and_a_stalled_call_has_not() {
    let attendee = Attendee::start();
    for (fault, made) in [("stall", 0), ("stall_answer", 1)] {
        attendee.admin("faults", json!({ "fault": fault, "method": "bots.create", "times": 1 }));
        std::thread::scope(|scope| {
            let call = scope.spawn(|| attendee.call("POST", "/bots", Some(attendee.wish(fault, 3_600))));
            assert_eq!(attendee.read("stalled?wait=1")["stalled"], 1);
            assert_eq!(attendee.get(&format!("/bots?deduplication_key={fault}"))["results"].as_array().map(Vec::len), Some(made));
            attendee.admin("release", json!({}));
            assert_eq!(call.join().expect("an answer").0, 201);
        });
    }
}
