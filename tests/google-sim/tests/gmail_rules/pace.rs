//! Latency of answers, and the ledger's counts of limits.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Gmail;
use crate::concurrency::batch;

fn ledger(gmail: &Gmail) -> Value {
    serde_json::from_str(&gmail.text("/admin/ledger")).expect("a ledger")
}

fn took(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// Longer than any machine needs for a call that does not wait.
const LONG_MS: u64 = 60_000;

#[test]
fn a_call_waits_its_time_and_a_batch_more_for_each_call_in_it() {
    let mut gmail = Gmail::start();
    let id = gmail.deliver("one");
    gmail.admin("latency", json!({ "median_ms": 60, "sigma": 0, "per_call_ms": 10 }));
    let single = took(|| assert_eq!(gmail.get("me/profile").0, 200));
    let together = took(|| assert!(batch(&gmail, &id, 9).into_iter().all(|passed| passed)));
    let token = took(|| gmail.grant());
    assert!(single >= Duration::from_millis(60), "{single:?}");
    assert!(together >= Duration::from_millis(150), "{together:?}");
    assert!(token >= Duration::from_millis(60), "{token:?}");
}

#[test]
fn a_method_has_its_own_time_and_a_batch_that_of_its_slowest_call() {
    let gmail = Gmail::start();
    let id = gmail.deliver("one");
    gmail.admin("latency", json!({ "median_ms": LONG_MS }));
    gmail.admin("latency", json!({ "method": "getProfile", "median_ms": 0 }));
    gmail.admin("latency", json!({ "method": "messages.get", "median_ms": 70 }));
    let (profile, together) = (took(|| assert_eq!(gmail.get("me/profile").0, 200)), took(|| drop(batch(&gmail, &id, 3))));
    assert!(profile < Duration::from_millis(LONG_MS), "{profile:?}");
    assert!((70..LONG_MS as u128).contains(&together.as_millis()), "{together:?}");
    gmail.admin("latency", json!({ "median_ms": 0 }));
    gmail.admin("latency", json!({ "method": "batch", "median_ms": 90 }));
    let batched = took(|| drop(batch(&gmail, &id, 3)));
    assert!(batched >= Duration::from_millis(90), "{batched:?}");
}

#[test]
fn a_call_is_under_way_while_its_answer_waits() {
    let gmail = Gmail::start();
    let id = gmail.deliver("one");
    gmail.admin("concurrency", json!({ "per_user": 1, "rest_s": 0 }));
    gmail.admin("latency", json!({ "method": "getProfile", "median_ms": LONG_MS }));
    let (agent, url) = (gmail.agent.clone(), format!("{}/gmail/v1/users/me/profile", gmail.url));
    let bearer = format!("Bearer {}", gmail.token);
    // It ends with the simulator.
    std::thread::spawn(move || agent.get(url).header("authorization", bearer).call());
    while ledger(&gmail)["by_method"]["getProfile"] != 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(gmail.get(&format!("me/messages/{id}")).0, 429);
    let seen = ledger(&gmail);
    assert_eq!((&seen["beyond"]["concurrency"], &seen["requests_at_once"]), (&json!(1), &json!(2)), "{seen}");
    gmail.admin("ledger/reset", json!({}));
    assert_eq!(ledger(&gmail)["requests_at_once"], 1, "one is still under way");
}

#[test]
fn a_batch_is_one_request_at_once() {
    let gmail = Gmail::start();
    let id = gmail.deliver("one");
    batch(&gmail, &id, 20);
    let seen = ledger(&gmail);
    assert_eq!((&seen["requests_at_once"], &seen["total"]), (&json!(1), &json!(20)), "{seen}");
}

#[test]
fn the_ledger_counts_what_each_limit_refused_and_what_was_spent() {
    let gmail = Gmail::start();
    let ask = |limits: Value| {
        gmail.admin("quota", limits);
        [(); 3].map(|()| gmail.get("me/profile").0)
    };
    assert_eq!(ask(json!({ "user_per_minute": 2, "sliding": true })), [200, 200, 403]);
    gmail.admin("clock", json!({ "advance": 60 }));
    assert_eq!(gmail.get("me/profile").0, 200, "the minute has slid on");
    assert_eq!(ask(json!({ "project_per_minute": 1 })), [200, 403, 403]);
    assert_eq!(ask(json!({ "project_per_day": 0 })), [403, 403, 403]);
    let seen = ledger(&gmail);
    assert_eq!(seen["beyond"], json!({ "user_minute": 1, "project_minute": 2, "day": 3, "concurrency": 0 }));
    assert_eq!(seen["units"], json!({ "gmail": 4 }));
}
