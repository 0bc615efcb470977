//! Events of mailboxes: received, labelled, removed.

use serde_json::{Value, json};

use super::{ask_for, assert_has, kind, take, take_types};
use crate::support::World;
use crate::support::service::GMAIL;

const TYPES: [&str; 3] = ["gmail.message.received", "gmail.message.labelled", "gmail.message.removed"];

fn world() -> World {
    let mut world = World::of(&GMAIL, 1, 0);
    ask_for(&mut world, &TYPES);
    world
}

fn arrives(world: &World, raw: &str, labels: &[&str]) -> String {
    let made = world.sim.admin("mail/messages", json!({ "user": world.first_user(), "raw": raw, "labels": labels }));
    made["id"].as_str().expect("an id").to_owned()
}

fn relabel(world: &World, id: &str, add: &[&str], remove: &[&str]) {
    world.sim.admin("mail/labels", json!({ "user": world.first_user(), "id": id, "add": add, "remove": remove }));
}

fn delete(world: &World, id: &str) {
    let request = ureq::delete(format!("{}/admin/mail/messages", world.sim.url)).header("content-type", "application/json");
    request.force_send_body().send(json!({ "user": world.first_user(), "id": id }).to_string()).expect("deleting a message");
}

#[test]
fn each_change_of_a_message_is_one_event_of_its_type() {
    let world = world();
    arrives(&world, "Subject: old\r\n\r\nx", &["INBOX"]);
    world.sync_all().expect(0);
    assert_eq!(take_types(&world), Vec::<String>::new(), "the first pass");
    let id = arrives(&world, "From: Bob <bob@example.com>\r\nSubject: Budget\r\n\r\nthe budget", &["INBOX", "UNREAD"]);
    arrives(&world, "Subject: sent\r\n\r\nx", &["SENT"]);
    let draft = arrives(&world, "Subject: draft\r\n\r\nx", &["DRAFT"]);
    world.sync_all().expect(0);
    let [received] = &take(&world)[..] else { panic!("one event") };
    assert_has(
        received,
        &[
            ("/type", json!("gmail.message.received")),
            ("/message_id", json!(id)),
            ("/label_ids", json!(["INBOX", "UNREAD"])),
            ("/email/subject", json!("Budget")),
            ("/email/from", json!("bob@example.com")),
        ],
    );
    assert!(received.get("document_id").is_none() && received["thread_id"].is_string(), "{received}");
    relabel(&world, &id, &["STARRED"], &["UNREAD"]);
    relabel(&world, &draft, &["STARRED"], &[]);
    world.sync_all().expect(0);
    let [labelled] = &take(&world)[..] else { panic!("one event") };
    assert_has(
        labelled,
        &[
            ("/type", json!("gmail.message.labelled")),
            ("/added_label_ids", json!(["STARRED"])),
            ("/removed_label_ids", json!(["UNREAD"])),
            ("/label_ids", json!(["INBOX", "STARRED"])),
            ("/email/subject", json!("Budget")),
        ],
    );
    delete(&world, &id);
    delete(&world, &draft);
    world.sync_all().expect(0);
    let [removed] = &take(&world)[..] else { panic!("one event") };
    assert_has(
        removed,
        &[("/type", json!("gmail.message.removed")), ("/message_id", json!(id)), ("/email/subject", json!("Budget"))],
    );
    world.sync_all().expect(0);
    assert_eq!(take_types(&world), Vec::<String>::new());
}

#[test]
fn a_resync_writes_what_has_changed_while_the_history_was_lost() {
    let world = world();
    let [labelled, deleted] = ["a", "b"].map(|subject| arrives(&world, &format!("Subject: {subject}\r\n\r\nx"), &["INBOX"]));
    world.sync_all().expect(0);
    let received = arrives(&world, "Subject: c\r\n\r\nx", &["INBOX"]);
    // It arrived before the last full pass, which would have listed it: it is not new.
    let old = (chrono::Utc::now() - chrono::TimeDelta::days(2)).to_rfc3339();
    world.sim.admin("mail/messages", json!({ "user": world.first_user(), "raw": "Subject: d\r\n\r\nx", "internal_date": old }));
    relabel(&world, &labelled, &["STARRED"], &[]);
    delete(&world, &deleted);
    world.expire();
    world.sync_all().expect(0);
    assert_eq!(world.messages_about("d"), 1);
    let mut changes: Vec<(String, String)> =
        take(&world).iter().map(|event| (kind(event), event["message_id"].as_str().expect("an id").to_owned())).collect();
    changes.sort();
    let expected = [("message.labelled", &labelled), ("message.received", &received), ("message.removed", &deleted)];
    assert_eq!(changes, expected.map(|(kind, id)| (kind.to_owned(), id.clone())));
}

/// The last event of each message agrees with what is stored, and no event repeats another.
#[track_caller]
pub fn assert_each_change_once(world: &World) {
    let rows = world.query(
        "SELECT o.user_id::text || o.subject::text, o.payload, m.labels, m.deleted_at IS NOT NULL FROM outbox_events o
         LEFT JOIN gmail_messages m ON m.user_id = o.user_id AND m.message_id = o.payload ->> 'message_id'
         WHERE o.type = ANY ('{gmail.message.received,gmail.message.labelled,gmail.message.removed}') ORDER BY o.seq",
    );
    assert!(!rows.is_empty());
    let mut last: std::collections::BTreeMap<String, (Value, Vec<String>, bool)> = std::collections::BTreeMap::new();
    for row in &rows {
        let (subject, payload): (String, Value) = (row.get(0), row.get(1));
        if let Some((before, ..)) = last.get(&subject) {
            let repeats = before["type"] == payload["type"] && before["label_ids"] == payload["label_ids"];
            assert!(!repeats, "{before} and again {payload}");
        }
        last.insert(subject, (payload, row.get(2), row.get(3)));
    }
    for (payload, labels, is_gone) in last.values() {
        assert_eq!(payload["type"] == "gmail.message.removed", *is_gone, "{payload}");
        assert!(*is_gone || payload["label_ids"] == json!(labels), "{payload}: {labels:?}");
    }
}
