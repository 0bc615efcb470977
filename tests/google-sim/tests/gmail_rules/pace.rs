//! What the ledger tells of limits.

use serde_json::{Value, json};

use crate::Gmail;
use crate::concurrency::batch;

fn ledger(gmail: &Gmail) -> Value {
    serde_json::from_str(&gmail.text("/admin/ledger")).expect("a ledger")
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
