//! The limit on concurrent calls of one mailbox.

use serde_json::{Value, json};

use crate::Gmail;

/// The answers of one batch of this many calls.
pub fn batch(gmail: &Gmail, id: &str, calls: usize) -> Vec<bool> {
    let call = format!(
        "--x\r\nContent-Type: application/http\r\n\r\nGET /gmail/v1/users/me/messages/{id}?format=minimal HTTP/1.1\r\nAuthorization: Bearer {}\r\n\r\n\r\n",
        gmail.token
    );
    let request = gmail.agent.post(format!("{}/batch/gmail/v1", gmail.url)).header("content-type", "multipart/mixed; boundary=x");
    let mut answer = request.send(format!("{}--x--", call.repeat(calls))).expect("an answer");
    let text = answer.body_mut().read_to_string().expect("text");
    text.lines().filter_map(|line| line.strip_prefix("HTTP/1.1 ")).map(|status| status == "200 OK").collect()
}

fn passed(answers: &[bool]) -> usize {
    answers.iter().filter(|passed| **passed).count()
}

#[test]
fn a_batch_of_a_hundred_is_refused_in_part_and_four_of_twenty_five_pass() {
    let gmail = Gmail::start();
    let id = gmail.deliver("one");
    for _ in 0..4 {
        assert_eq!(passed(&batch(&gmail, &id, 25)), 25);
    }
    assert_eq!(passed(&batch(&gmail, &id, 100)), 50);
}

#[test]
fn after_a_refusal_everything_is_refused_until_the_mailbox_had_a_rest() {
    let gmail = Gmail::start();
    let id = gmail.deliver("one");
    gmail.admin("concurrency", json!({ "per_user": 10, "rest_s": 600.0 }));
    assert_eq!(passed(&batch(&gmail, &id, 11)), 10);
    gmail.admin("clock", json!({ "advance": 400 }));
    assert_eq!(passed(&batch(&gmail, &id, 5)), 0);
    gmail.admin("clock", json!({ "advance": 400 }));
    assert_eq!(passed(&batch(&gmail, &id, 1)), 0, "a call during the pause restarts it");
    gmail.admin("clock", json!({ "advance": 601 }));
    assert_eq!(passed(&batch(&gmail, &id, 10)), 10);
}

#[test]
fn a_refusal_is_worded_as_gmail_words_it_and_costs_no_quota() {
    let gmail = Gmail::start();
    gmail.admin("concurrency", json!({ "per_user": 1, "rest_s": 600.0 }));
    let id = gmail.deliver("one");
    batch(&gmail, &id, 2);
    let request = gmail.agent.get(format!("{}/gmail/v1/users/me/profile", gmail.url));
    let mut answer = request.header("authorization", format!("Bearer {}", gmail.token)).call().expect("an answer");
    let body: Value = answer.body_mut().read_json().expect("JSON");
    let message = "Too many concurrent requests for user.";
    assert_eq!(answer.status().as_u16(), 429);
    assert_eq!(
        body,
        json!({ "error": { "code": 429, "message": message, "status": "RESOURCE_EXHAUSTED",
            "errors": [{ "message": message, "domain": "usageLimits", "reason": "rateLimitExceeded" }] } })
    );
    let ledger: Value = serde_json::from_str(&gmail.text("/admin/ledger")).expect("a ledger");
    assert_eq!((&ledger["by_status"]["429"], &ledger["quota_units"]), (&json!(2), &json!(20)), "{ledger}");
}
