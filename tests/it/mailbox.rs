//! `gmail list`, `gmail search` and `gmail show`: stored messages for people.

use serde_json::{Value, json};

use crate::labels::mailbox;
use crate::support::World;

fn subjects(list: &Value) -> Vec<&str> {
    list["messages"].as_array().expect("messages").iter().filter_map(|message| message["subject"].as_str()).collect()
}

fn ask(world: &World, arguments: &[&str]) -> Value {
    world.syncctl(&[&["gmail"], arguments, &["--json"]].concat()).expect(0).json()
}

/// Delivers a message that was received at this hour of 2026-11-20, UTC.
fn at(world: &World, user: &str, hour: u32, headers: &str, labels: &[&str], text: &str) -> String {
    let raw = format!("{headers}\r\nTo: {user}\r\n\r\n{text}\r\n");
    let date = format!("2026-11-20T{hour:02}:30:00Z");
    let put = json!({ "user": user, "raw": raw, "labels": labels, "internal_date": date });
    world.sim.admin("mail/messages", put)["id"].as_str().expect("an id").to_owned()
}

#[test]
fn messages_are_listed_newest_first_by_label_and_in_the_readers_time() {
    let (world, user) = mailbox();
    at(&world, &user, 8, "From: Bob <bob@example.org>\r\nSubject: first", &["INBOX", "Clients/Acme"], "x");
    at(&world, &user, 9, "From: eve@example.org\r\nSubject: second", &["INBOX", "UNREAD"], "x");
    at(&world, &user, 10, "Subject: third", &["UNREAD", "Clients/Acme"], "x");
    world.sync_all().expect(0);
    assert_eq!(subjects(&ask(&world, &["list", &user])), ["third", "second", "first"]);
    assert_eq!(subjects(&ask(&world, &["list", &user, "--limit", "1"])), ["third"]);
    assert_eq!(subjects(&ask(&world, &["list", &user, "--unread"])), ["third", "second"]);
    assert_eq!(subjects(&ask(&world, &["list", &user, "--label", "clients/acme"])), ["third", "first"]);
    assert_eq!(subjects(&ask(&world, &["list", &user, "--label", "INBOX", "--unread"])), ["second"]);
    let list = ask(&world, &["list", &user, "--zone", "Europe/Berlin", "--label", "INBOX"]);
    assert_eq!(list["messages"][1]["received_at"], "2026-11-20T09:30:00+01:00", "{list}");
    assert_eq!(list["messages"][1]["labels"], json!(["Clients/Acme", "INBOX"]), "{list}");
    let text = world.syncctl(&["gmail", "list", &user, "--zone", "Europe/Berlin"]).expect(0).stdout;
    assert!(text.contains("Fri 2026-11-20 09:30  Bob ") && text.contains("3 messages, times in Europe/Berlin"), "{text}");
    let wrong = world.syncctl(&["gmail", "list", &user, "--label", "Acme"]).expect(2);
    assert!(wrong.stderr.contains("no label \"Acme\"; there are: Clients/Acme, "), "{wrong:?}");
}

#[test]
fn all_words_of_a_search_occur_in_subject_sender_or_text() {
    let (mut world, user) = mailbox();
    world.set("SYNCCTL_GMAIL_STORE", "all");
    at(&world, &user, 8, "From: Bob <bob@example.org>\r\nSubject: 100% sure", &["INBOX"], "the budget of May");
    at(&world, &user, 9, "From: eve@example.org\r\nSubject: Budget", &["INBOX", "UNREAD"], "of June_1");
    world.sync_all().expect(0);
    let found = |words: &[&str]| {
        let list = ask(&world, &[&["search", &user], words].concat());
        subjects(&list).into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(found(&["budget"]), ["Budget", "100% sure"]);
    assert_eq!(found(&["BUDGET", "bob"]), ["100% sure"]);
    assert_eq!(found(&["budget of may"]), ["100% sure"]);
    assert_eq!(found(&["0%"]), ["100% sure"]);
    assert_eq!(found(&["june_1"]), ["Budget"]);
    assert_eq!(found(&["june%1"]), [""; 0]);
    assert_eq!(found(&["budget", "--unread"]), ["Budget"]);
    assert!(world.syncctl(&["gmail", "search", &user, "nothing"]).expect(0).stdout.contains("no messages"));
}

#[test]
fn a_message_is_shown_with_names_of_labels_attachments_and_text_and_moves_no_terminal() {
    let (mut world, user) = mailbox();
    world.set("SYNCCTL_GMAIL_STORE", "all");
    let headers =
        "From: Bob <bob@example.org>\r\nSubject: =?UTF-8?Q?red=1B[31m_alert?=\r\nContent-Type: multipart/mixed; boundary=b";
    let text = "--b\r\nContent-Type: text/plain\r\n\r\nHello\u{1b}]0;title\u{7}\r\n--b\r\nContent-Type: application/pdf; name=\"plan.pdf\"\r\n\
                Content-Transfer-Encoding: base64\r\n\r\nAAECAw==\r\n--b--";
    let id = at(&world, &user, 8, headers, &["INBOX", "Plans"], text);
    world.sync_all().expect(0);
    let shown = world.syncctl(&["gmail", "show", &user, &id, "--zone", "UTC"]).expect(0).stdout;
    assert!(
        shown.contains("labels    INBOX, Plans\n") && shown.contains("attached  1. plan.pdf, application/pdf, 4 bytes ("),
        "{shown}"
    );
    assert!(shown.contains("received  Fri 2026-11-20 08:30:00 (UTC)\n") && shown.contains("\nHello"), "{shown}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
    let shown = ask(&world, &["show", &user, &id]);
    assert_eq!((&shown["labels"], &shown["attachments"][0]["size"]), (&json!(["INBOX", "Plans"]), &json!(4)), "{shown}");
    assert!(shown["headers"].as_array().is_some_and(|headers| headers.len() == 4), "{shown}");
    let wrong = world.syncctl(&["gmail", "show", &user, "0123456789abcdef"]).expect(2);
    assert!(wrong.stderr.contains("no stored message 0123456789abcdef; see `syncctl gmail list`"), "{wrong:?}");
}

#[test]
fn what_may_be_missing_is_named() {
    let (world, user) = mailbox();
    let told = world.syncctl(&["gmail", "list", &user, "--json"]).expect(1);
    assert!(told.stderr.contains("its first full pass is not complete"), "{told:?}");
    assert!(told.json()["incomplete"].is_string(), "{told:?}");
    world.sync_all().expect(0);
    for (trouble, reason) in [
        ("UPDATE streams SET failures = 1", "its last poll failed"),
        ("UPDATE streams SET failures = 0, state = 'revoked'", "it is not synced (revoked)"),
        (
            "UPDATE streams SET state = 'active'; INSERT INTO quarantined_items (stream_id, item_id, raw, error)
             SELECT id, 'x', '{}', 'a test' FROM streams WHERE kind = 'mailbox'",
            "items of it could not be read",
        ),
        ("DELETE FROM streams WHERE kind = 'mailbox'", "has not been polled yet"),
    ] {
        world.execute(trouble);
        let told = world.syncctl(&["gmail", "search", &user, "x"]).expect(1);
        assert!(told.stderr.contains(reason), "{reason}: {told:?}");
    }
}
