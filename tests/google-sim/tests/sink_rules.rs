//! The receiver's rules, over HTTP: what it records, what it refuses, how it fails.

use google_sim::Sim;
use ring::hmac;
use serde_json::{Value, json};

struct Sink {
    url: String,
    agent: ureq::Agent,
    _runtime: tokio::runtime::Runtime,
}

impl Sink {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = runtime.block_on(Sim::start()).expect("a simulator").url.clone();
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        Self { url, agent: config.build().into(), _runtime: runtime }
    }

    fn configure(&self, behaviour: Value) {
        let answer = self.agent.post(format!("{}/admin/sink", self.url)).send_json(&behaviour).expect("an answer");
        assert_eq!(answer.status(), 200, "{behaviour}");
    }

    /// POSTs an event; `None`: the connection broke.
    fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Option<(u16, Value)> {
        let mut request = self.agent.post(format!("{}/sink/{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut answer = request.send(body).ok()?;
        let text = answer.body_mut().read_to_string().expect("text");
        Some((answer.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::Null)))
    }

    fn status(&self, path: &str) -> Option<u16> {
        self.post(path, &[], "{}").map(|(status, _)| status)
    }

    fn get(&self, path: &str) -> Value {
        let mut answer = self.agent.get(format!("{}/admin/sink{path}", self.url)).call().expect("an answer");
        answer.body_mut().read_json().expect("JSON")
    }
}

fn signature(secret: &str, time: &str, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let digest = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    format!("t={time},v1={}", data_encoding::HEXLOWER.encode(digest.as_ref()))
}

#[test]
fn an_event_is_recorded_as_it_came() {
    let sink = Sink::start();
    assert_eq!(sink.post("n8n/webhook/1?x=y", &[("x-kind", "drive")], "{ \"a\":1 }"), Some((200, json!({ "ok": true }))));
    let seen = sink.get("?name=n8n");
    let event = &seen["events"][0];
    assert_eq!((&seen["requests"], &event["path"]), (&json!(1), &json!("/sink/n8n/webhook/1?x=y")));
    assert_eq!((&event["body"], &event["headers"]["x-kind"]), (&json!("{ \"a\":1 }"), &json!("drive")));
    assert_eq!((&event["method"], &event["status"], &event["signature"]), (&json!("POST"), &json!(200), &Value::Null));
    assert_eq!(sink.get("?name=other")["requests"], 0);
}

#[test]
fn a_wrong_or_missing_signature_is_refused_and_recorded() {
    let sink = Sink::start();
    sink.configure(json!({ "name": "n8n", "secret": "s3cret" }));
    let good = signature("s3cret", "1790000000", "body");
    let post = |headers: &[(&str, &str)], body: &str| sink.post("n8n", headers, body).map(|(status, _)| status);
    assert_eq!(post(&[("x-syncctl-signature", &good)], "body"), Some(200));
    assert_eq!(post(&[("x-syncctl-signature", &good)], "another body"), Some(401));
    assert_eq!(post(&[("x-syncctl-signature", &good.replace("t=179", "t=178"))], "body"), Some(401), "the time is signed");
    assert_eq!(post(&[("x-syncctl-signature", &signature("other", "1790000000", "body"))], "body"), Some(401));
    assert_eq!(post(&[], "body"), Some(401));
    let seen = sink.get("?name=n8n");
    let marks: Vec<&str> =
        seen["events"].as_array().expect("events").iter().filter_map(|event| event["signature"].as_str()).collect();
    assert_eq!(marks, ["good", "bad", "bad", "bad", "bad"]);
}

#[test]
fn it_fails_as_often_as_it_is_set_to() {
    let sink = Sink::start();
    sink.configure(json!({ "name": "n8n", "status": 503, "fail_times": 2 }));
    assert_eq!([(); 3].map(|()| sink.status("n8n")), [Some(503), Some(503), Some(200)]);
    sink.configure(json!({ "name": "n8n", "status": 410 }));
    assert_eq!([(); 2].map(|()| sink.status("n8n")), [Some(410), Some(410)]);
    sink.configure(json!({ "name": "n8n", "drop": true, "fail_times": 1 }));
    assert_eq!([(); 2].map(|()| sink.status("n8n")), [None, Some(200)]);
    sink.configure(json!({ "name": "n8n", "redirect": "http://127.0.0.1:1/elsewhere" }));
    assert_eq!(sink.status("n8n"), Some(307));
    assert_eq!(sink.status("other"), Some(200), "each name for itself");
    sink.configure(json!({ "name": "n8n", "probability": 0.5 }));
    let failed = (0..100).filter(|_| sink.status("n8n") == Some(500)).count();
    assert!((20..80).contains(&failed), "{failed}");
}

#[test]
fn keys_count_once_they_are_answered_well() {
    let sink = Sink::start();
    sink.configure(json!({ "name": "n8n", "fail_times": 1, "keep": false }));
    for key in ["a", "a", "b", "a"] {
        sink.post("n8n", &[("idempotency-key", key)], "{}");
    }
    let count = sink.get("/count?name=n8n");
    let expected = json!({ "requests": 4, "ok": 3, "distinct_keys": 2, "duplicates": 1, "bad_signatures": 0, "stalled": 0 });
    assert_eq!(count, expected);
    assert_eq!(sink.get("?name=n8n")["events"], json!([]), "nothing is kept");
    sink.agent.delete(format!("{}/admin/sink", sink.url)).call().expect("cleared");
    assert_eq!(sink.get("/count?name=n8n")["requests"], 0);
}

#[test]
fn a_stalled_request_is_answered_after_its_release() {
    let sink = Sink::start();
    sink.configure(json!({ "name": "n8n", "stall": true }));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| sink.status("n8n"));
        while sink.get("/count")["stalled"] != 1 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(sink.get("/count")["ok"], 0);
        sink.agent.post(format!("{}/admin/sink/release", sink.url)).send_empty().expect("released");
        assert_eq!(waiting.join().expect("no panic"), Some(200));
    });
    assert_eq!(sink.status("n8n"), Some(200), "it stalls no more");
}

#[test]
fn a_huge_answer_has_the_size_that_was_asked_for() {
    let sink = Sink::start();
    sink.configure(json!({ "name": "n8n", "body_bytes": 200_000 }));
    let mut answer = sink.agent.post(format!("{}/sink/n8n", sink.url)).send("{}").expect("an answer");
    assert_eq!(answer.body_mut().read_to_vec().expect("bytes").len(), 200_000);
}
