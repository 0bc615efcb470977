//! Questions about mail, compared with what Gmail lists, and with the messages as a client reads them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::{ANN, BOB, Question, text, time};
use crate::instances::accounts;
use crate::support::World;
use crate::support::google::Google;
use crate::support::service::GMAIL;
use crate::support::sim::field;

/// Bytes; the page's example is larger than anything in these mailboxes.
const LARGE: u64 = 5_000;

/// Three mailboxes with the mix of working ones, of which every message is stored in full.
fn mailboxes() -> World {
    let mut world = World::of(&GMAIL, 3, 120);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.sim.admin("mail/headers", json!({ "decoded": true }));
    world
}

/// Ann's messages, in the order of their arrival.
fn messages(world: &World) -> Vec<Value> {
    let state = world.sim.text(&format!("mail/state?user={ANN}"));
    state.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect()
}

fn ann(world: &World) -> Google {
    let accounts = accounts(world);
    let account = accounts.iter().find(|account| account["email"] == ANN).expect("Ann's account");
    Google::of(&world.sim, account)
}

/// Adds a label to a message of Ann's.
fn add_label(world: &World, message: &Value, label: &str) {
    world.sim.admin("mail/labels", json!({ "user": ANN, "id": message["id"], "add": [label], "remove": [] }));
}

#[test]
fn mail_by_label_is_what_gmail_lists() {
    let world = mailboxes();
    for message in messages(&world).iter().step_by(4) {
        add_label(&world, message, "Invoices");
    }
    for message in messages(&world).iter().step_by(20) {
        add_label(&world, message, "TRASH");
    }
    world.deliver(ANN, "paid", &["INBOX", "Invoices/Paid"]);
    world.deliver(BOB, "not Ann's", &["INBOX", "Invoices"]);
    world.sync_all().expect(0);
    let answer = Question::of("Which mail is labelled \"Invoices\"?").ask(&world);
    assert_eq!(answer.scanned, [""; 0]);
    let google = ann(&world);
    let labels = google.get("gmail/v1/users/me/labels", &[]);
    let label = labels["labels"].as_array().and_then(|all| all.iter().find(|label| label["name"] == "Invoices"));
    let id = field(label.expect("a label"), "id");
    let listed = google.all("gmail/v1/users/me/messages", &[("labelIds", &id)], "messages");
    let expected: Vec<_> = listed
        .iter()
        .map(|listed| {
            let id = field(listed, "id");
            let message = google.get(&format!("gmail/v1/users/me/messages/{id}"), &[("format", "metadata")]);
            let mut headers = message["payload"]["headers"].as_array().into_iter().flatten();
            let subject = headers.find(|header| header["name"] == "Subject").map(|header| text(header, "value"));
            (received(&message["internalDate"]), subject.unwrap_or_default().trim().to_owned(), id)
        })
        .collect();
    let row = |row: &Value| (time(row, "received_at"), text(row, "subject"), text(row, "message_id"));
    let found: Vec<_> = answer.rows.iter().map(row).collect();
    assert!(found.len() > 15, "too little to compare: {found:#?}");
    assert_eq!(found, expected);
}

/// Milliseconds since 1970, as a number or a text.
fn received(date: &Value) -> DateTime<Utc> {
    let millis = date.as_i64().or(date.as_str().and_then(|text| text.parse().ok()));
    DateTime::from_timestamp_millis(millis.expect("a number")).expect("a time")
}

#[test]
fn threads_that_wait_are_those_whose_newest_message_in_the_inbox_is_not_an_answer() {
    let world = mailboxes();
    let put = |headers: &str, labels: &[&str]| {
        let raw = format!("{headers}\r\nSubject: Budget\r\n\r\nHello\r\n");
        world.sim.admin("mail/messages", json!({ "user": ANN, "raw": raw, "labels": labels }));
    };
    // A draft is no answer.
    for (id, reply) in [("1@partner.example", "DRAFT"), ("2@partner.example", "SENT")] {
        put(&format!("From: Bob <bob@partner.example>\r\nMessage-ID: <{id}>"), &["INBOX"]);
        put(&format!("From: {ANN}\r\nIn-Reply-To: <{id}>"), &[reply]);
    }
    world.sync_all().expect(0);
    let answer = Question::of("Which threads wait for my answer?").ask(&world);
    assert_eq!(answer.scanned, [""; 0]);
    let mut newest: BTreeMap<String, (DateTime<Utc>, String, BTreeSet<String>)> = BTreeMap::new();
    for message in messages(&world) {
        let labels: BTreeSet<String> = super::set(&message, "labels");
        if ["DRAFT", "SPAM", "TRASH"].iter().any(|label| labels.contains(*label)) {
            continue;
        }
        let this = (received(&message["internal_date"]), field(&message, "id"), labels);
        let thread = newest.entry(field(&message, "thread")).or_insert_with(|| this.clone());
        if this > *thread {
            *thread = this;
        }
    }
    let is_waiting = |labels: &BTreeSet<String>| {
        let is_other = |label: &String| label == "SENT" || label.starts_with("CATEGORY_");
        labels.contains("INBOX") && !labels.iter().any(is_other)
    };
    let all = newest.len();
    let expected: BTreeMap<String, (DateTime<Utc>, bool)> = newest
        .into_iter()
        .filter(|(_, (_, _, labels))| is_waiting(labels))
        .map(|(thread, (at, _, labels))| (thread, (at, labels.contains("UNREAD"))))
        .collect();
    let row = |row: &Value| (text(row, "thread_id"), (time(row, "received_at"), row["unread"] == true));
    let found: BTreeMap<_, _> = answer.rows.iter().map(row).collect();
    assert!(answer.rows.is_sorted_by_key(|row| time(row, "received_at")), "{:#?}", answer.rows);
    assert!(found.len() > 15 && found.len() < all, "{} of {all} threads", found.len());
    assert_eq!(answer.rows.iter().filter(|row| row["subject"] == "Budget").count(), 1, "{:#?}", answer.rows);
    assert_eq!(found, expected);
}

/// Name and size of each file in a part of a message.
fn files(part: &Value) -> Vec<(String, u64)> {
    let own = Some((text(part, "filename"), part["body"]["size"].as_u64().unwrap_or(0))).filter(|(name, _)| !name.is_empty());
    let inner = part["parts"].as_array().into_iter().flatten().flat_map(files);
    own.into_iter().chain(inner).collect()
}

#[test]
fn large_attachments_are_those_of_the_messages_themselves() {
    let world = mailboxes();
    world.sync_all().expect(0);
    let answer = Question::of("Which mail has large attachments?").with("1000000", &LARGE.to_string()).ask(&world);
    assert_eq!(answer.scanned, [""; 0]);
    let google = ann(&world);
    let mut expected = Vec::new();
    for message in messages(&world) {
        let id = field(&message, "id");
        let message = google.get(&format!("gmail/v1/users/me/messages/{id}"), &[("format", "full")]);
        let large = files(&message["payload"]).into_iter().filter(|(_, size)| *size > LARGE);
        expected.extend(large.map(|(name, size)| (id.clone(), name, size)));
    }
    let row = |row: &Value| (text(row, "message_id"), text(row, "name"), row["size"].as_u64().expect("bytes"));
    let mut found: Vec<_> = answer.rows.iter().map(row).collect();
    assert!(found.is_sorted_by_key(|(_, _, size)| std::cmp::Reverse(*size)), "{found:#?}");
    assert!(found.len() > 8, "too little to compare: {found:#?}");
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}
