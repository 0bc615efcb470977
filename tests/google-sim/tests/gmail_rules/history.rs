//! `history.list`.

use serde_json::{Value, json};

use super::{Gmail, USER, ids};

#[test]
fn history_names_each_change_once_with_ids_that_rise_in_steps_of_more_than_one() {
    let gmail = Gmail::start();
    let start = gmail.now();
    let quiet = gmail.ok(&format!("me/history?startHistoryId={start}"));
    assert_eq!(quiet, json!({ "historyId": start }), "nothing happened");
    let first = gmail.deliver("one");
    let second = gmail.deliver("two");
    gmail.admin("mail/labels", json!({ "user": USER, "id": first, "add": ["STARRED"], "remove": ["UNREAD"] }));
    gmail.admin("mail/labels", json!({ "user": USER, "id": first, "add": ["STARRED"] }));
    gmail.delete(&second);
    let records = gmail.pages(&format!("me/history?maxResults=2&startHistoryId={start}"), "history");
    let shown: Vec<Value> = records
        .iter()
        .map(|record| {
            let mut record = record.clone();
            let object = record.as_object_mut().expect("a record");
            object.remove("id");
            object.remove("messages");
            record
        })
        .collect();
    let message = |id: &str, labels: &[&str]| json!({ "id": id, "threadId": id, "labelIds": labels });
    assert_eq!(
        shown,
        [
            json!({ "messagesAdded": [{ "message": message(&first, &["INBOX", "UNREAD"]) }] }),
            json!({ "messagesAdded": [{ "message": message(&second, &["INBOX", "UNREAD"]) }] }),
            json!({ "labelsAdded": [{ "message": message(&first, &["INBOX", "UNREAD", "STARRED"]), "labelIds": ["STARRED"] }] }),
            json!({ "labelsRemoved": [{ "message": message(&first, &["INBOX", "STARRED"]), "labelIds": ["UNREAD"] }] }),
            json!({ "messagesDeleted": [{ "message": message(&second, &["INBOX", "UNREAD"]) }] }),
        ]
    );
    let numbers: Vec<u64> = ids(&records).iter().map(|id| id.parse().expect("a number")).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert!(numbers.windows(2).any(|pair| pair[1] - pair[0] > 1), "{numbers:?}");
    assert_eq!(gmail.now(), numbers[4].to_string());
    assert_eq!(gmail.ok(&format!("me/messages/{first}?format=minimal"))["historyId"], numbers[3].to_string());
    let deleted = gmail.pages(&format!("me/history?startHistoryId={start}&historyTypes=messageDeleted"), "history");
    assert_eq!(ids(&deleted), [numbers[4].to_string()]);
    let starred = gmail.pages(&format!("me/history?startHistoryId={start}&labelId=STARRED"), "history");
    assert_eq!(ids(&starred), [numbers[2].to_string(), numbers[3].to_string()]);
    let unread = gmail.pages(&format!("me/history?startHistoryId={start}&labelId=UNREAD"), "history");
    assert_eq!(unread.len(), 5, "the change that takes the label away too");
}

#[test]
fn history_that_is_forgotten_or_never_was_is_not_found() {
    let gmail = Gmail::start();
    gmail.deliver("one");
    let start = gmail.now();
    gmail.deliver("two");
    let page = gmail.ok(&format!("me/history?startHistoryId={start}"));
    assert_eq!(page["history"].as_array().map(Vec::len), Some(1));
    gmail.admin("faults", json!({ "fault": "cursor_expired", "method": "history.list", "times": 1 }));
    assert_eq!(gmail.reason(&format!("me/history?startHistoryId={start}")), (404, "notFound".into()), "the fault");
    assert_eq!(gmail.get(&format!("me/history?startHistoryId={start}")).0, 200, "once");
    let newest = gmail.now();
    gmail.admin("expire", json!({ "what": "history" }));
    for old in [&start, &newest] {
        assert_eq!(gmail.reason(&format!("me/history?startHistoryId={old}")), (404, "notFound".into()));
    }
    assert_eq!(gmail.get(&format!("me/history?startHistoryId={}", gmail.now())).0, 200);
    assert_eq!(gmail.get("me/history?startHistoryId=99999999999999999").0, 404, "of the future");
    for malformed in ["me/history", "me/history?startHistoryId=abc", "me/history?startHistoryId=-1"] {
        assert_eq!(gmail.get(malformed).0, 400, "{malformed}");
    }
}

#[test]
fn a_page_token_belongs_to_its_start() {
    let gmail = Gmail::start();
    let start = gmail.now();
    gmail.deliver("one");
    let other = gmail.now();
    gmail.deliver("two");
    gmail.deliver("three");
    let page = gmail.ok(&format!("me/history?startHistoryId={start}&maxResults=2"));
    let token = page["nextPageToken"].as_str().expect("more");
    assert_eq!(page["historyId"], gmail.now(), "the newest id on every page");
    assert_eq!(gmail.get(&format!("me/history?startHistoryId={other}&pageToken={token}")).0, 400);
    let last = gmail.ok(&format!("me/history?startHistoryId={start}&pageToken={token}"));
    assert_eq!((last["history"].as_array().map(Vec::len), last.get("nextPageToken")), (Some(1), None));
}

#[test]
fn a_first_page_may_be_empty_and_carry_a_token() {
    let gmail = Gmail::start();
    let start = gmail.now();
    let id = gmail.deliver("one");
    gmail.admin("empty_pages", json!({ "probability": 1.0 }));
    let history = format!("me/history?startHistoryId={start}");
    assert_eq!((gmail.ok(&history).get("history"), gmail.pages(&history, "history").len()), (None, 1));
    assert_eq!((gmail.ok("me/messages?x=1").get("messages"), gmail.listed("x=1")), (None, vec![id]));
}
