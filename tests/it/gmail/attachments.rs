//! Attachments: contents that are stored, why others are not, and what becomes of them.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::{fs, path::Path};

use serde_json::{Value, json};

use super::{arrives, empty_mailboxes, users};
use crate::support::World;
use crate::support::reader::{Copy, Read};
use crate::support::sim::field;

/// A mailbox whose messages are fetched in full, and its user.
fn mailbox(attachments: &str) -> (World, String) {
    let mut world = empty_mailboxes(1);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.set("SYNCCTL_GMAIL_ATTACHMENTS", attachments);
    let user = users(&world).remove(0);
    (world, user)
}

/// Delivers the simulator's collection; returns its messages, as they were sent, by subject.
fn collection(world: &World, user: &str) -> BTreeMap<String, Value> {
    let sent = world.sim.admin("mail/attachments", json!({ "user": user, "large": 60_000 }));
    sent.as_array().expect("messages").iter().map(|message| (field(message, "subject"), message.clone())).collect()
}

/// The attachments of a message as they are stored: the hash is that of the bytes.
fn stored(world: &World, message: &Value) -> Vec<Value> {
    let rows = world.query(&format!(
        "SELECT jsonb_build_object('name', a.name, 'mime_type', a.mime_type, 'size', a.size, 'sha256', encode(sha256(c.content), 'hex'))
         FROM gmail_attachments a LEFT JOIN gmail_contents c ON c.user_id = a.user_id AND c.sha256 = a.sha256
         WHERE a.message_id = '{}' ORDER BY a.position",
        field(message, "id")
    ));
    rows.iter().map(|row| row.get(0)).collect()
}

/// Why attachments are not stored, by name.
fn not_stored(world: &World) -> Vec<String> {
    world.texts("SELECT concat_ws(' ', name, not_stored) FROM gmail_attachments WHERE sha256 IS NULL ORDER BY 1")
}

fn deleted(world: &World, user: &str, id: &str) {
    let request = ureq::delete(format!("{}/admin/mail/messages", world.sim.url)).header("content-type", "application/json");
    request.force_send_body().send(json!({ "user": user, "id": id }).to_string()).expect("deleting a message");
}

const COUNTS: &str = "SELECT concat_ws(' ', (SELECT count(*) FROM gmail_attachments), (SELECT count(*) FROM gmail_contents))";

#[test]
fn contents_are_the_bytes_that_were_sent_and_equal_ones_are_stored_once() {
    let (world, user) = mailbox("all");
    let sent = collection(&world, &user);
    world.sim.reset_ledger();
    world.sync_all().expect(0);
    // The message itself brings them.
    assert_eq!(world.sim.ledger()["by_method"]["messages.get"], 2 * sent.len());
    let mut hashes = BTreeSet::new();
    for (subject, message) in sent.iter().filter(|(subject, _)| *subject != "damaged") {
        let attachments = message["attachments"].as_array().expect("attachments");
        assert_eq!(stored(&world, message), *attachments, "{subject}");
        hashes.extend(attachments.iter().map(|one| field(one, "sha256")));
    }
    assert_eq!(world.rows("gmail_contents"), hashes.len() as i64);
    let offer = field(&sent["equal"]["attachments"][0], "sha256");
    assert_eq!(world.rows(&format!("gmail_attachments WHERE encode(sha256, 'hex') = '{offer}'")), 3);
    assert_eq!(not_stored(&world), ["damaged.pdf unreadable"]);
    assert_eq!(world.rows("gmail_attachments WHERE inline AND content_id = 'logo@sim'"), 1);
    // Another poll, and another full pass, change nothing.
    let rows = "SELECT (a.*, a.xmin)::text FROM gmail_attachments a ORDER BY 1";
    let before = world.texts(rows);
    world.expire();
    world.sync_all().expect(0);
    assert_eq!(world.texts(rows), before);
    world.syncctl(&["verify", "gmail"]).expect(0);
    world.assert_in_step();
}

#[test]
fn a_reader_of_changes_is_given_messages_whose_attachments_are_stored_later() {
    let (mut world, user) = mailbox("");
    let sent = collection(&world, &user);
    world.sync_all().expect(0);
    let copy = Copy::of(&world.database.url());
    copy.read();
    world.set("SYNCCTL_GMAIL_ATTACHMENTS", "all");
    world.expire();
    world.sync_all().expect(0);
    assert_eq!(copy.read(), Read { rows: sent.len(), twice: 0 });
}

#[test]
fn by_default_none_are_stored_and_no_row_is_written() {
    let mut world = empty_mailboxes(1);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    let user = users(&world).remove(0);
    collection(&world, &user);
    world.sync_all().expect(0);
    assert_eq!(world.texts(COUNTS), ["0 0"]);
    assert_eq!(world.rows("gmail_messages WHERE jsonb_array_length(attachments) > 0 AND html IS NULL"), 8);
}

#[test]
fn excluded_and_too_large_ones_are_named_and_not_stored() {
    let (mut world, user) = mailbox("*.pdf,image/*");
    world.set("SYNCCTL_GMAIL_ATTACHMENT_MAX_SIZE", "50000");
    collection(&world, &user);
    world.sync_all().expect(0);
    let kept = world.texts("SELECT name FROM gmail_attachments WHERE sha256 IS NOT NULL ORDER BY name COLLATE \"C\"");
    assert_eq!(kept, ["Offer (1).PDF", "logo.png", "offer.pdf", "図表.jpg"]);
    let not_stored = not_stored(&world);
    for expected in ["large.pdf too_large", "damaged.pdf unreadable", "logs.zip excluded", "excluded"] {
        assert!(not_stored.iter().any(|one| one == expected), "{expected}: {not_stored:?}");
    }
    let refused = world.syncctl(&["gmail", "cron", "--set", "gmail.attachments=all,*.pdf"]).expect(78);
    assert!(
        refused.stderr.contains("gmail.attachments") && refused.stderr.contains("none, all, or up to 100 patterns"),
        "{refused:?}"
    );
}

#[test]
fn messages_to_virtual_addresses_have_theirs_stored_in_the_mailbox_that_received_them() {
    let mut world = empty_mailboxes(2);
    world.set("SYNCCTL_GMAIL_ATTACHMENTS", "all");
    let users = users(&world);
    world.set_username(&users[1], "ben");
    world.sim.admin("mail/attachments", json!({ "user": users[0], "to": "ai+ben@example.com" }));
    arrives(&world, &users[0], "Subject: s\r\nContent-Type: application/pdf; name=other.pdf\r\n\r\nx");
    world.sync_all().expect(0);
    assert_eq!((world.documents(), world.rows("gmail_attachments WHERE name = 'other.pdf'")), (8, 0));
    let of_documents = world.rows(
        "documents d JOIN gmail_detections g ON g.document_id = d.id JOIN gmail_attachments a USING (stream_id, message_id)
         JOIN gmail_contents c ON c.user_id = a.user_id AND c.sha256 = a.sha256 WHERE c.user_id <> d.user_id",
    );
    assert_eq!(of_documents, world.rows("gmail_attachments WHERE sha256 IS NOT NULL"));
    assert!(of_documents > 10, "{of_documents}");
}

#[test]
fn html_is_kept_if_set_and_goes_with_the_text() {
    let (mut world, user) = mailbox("none");
    world.set("SYNCCTL_GMAIL_HTML", "true");
    let sent = collection(&world, &user);
    world.sync_all().expect(0);
    assert_eq!(world.rows("gmail_messages WHERE html = '<p>See <b>' || subject || '</b></p>'"), sent.len() as i64);
    let shown = world.syncctl(&["gmail", "show", &user, &field(&sent["kinds"], "id"), "--json"]).expect(0).json();
    assert_eq!(shown["html"], "<p>See <b>kinds</b></p>", "{shown}");
    world.execute("UPDATE gmail_messages SET deleted_at = now() - interval '31 days', changed_xid = DEFAULT");
    world.syncctl(&["db", "prune"]).expect(0);
    assert_eq!(world.rows("gmail_messages WHERE html IS NOT NULL"), 0);
}

#[test]
fn contents_go_with_the_last_message_that_has_them_and_with_their_user() {
    let (world, user) = mailbox("all");
    let sent = collection(&world, &user);
    world.sync_all().expect(0);
    let unused = || world.rows("gmail_contents WHERE unused_at IS NOT NULL");
    for subject in ["equal", "kinds"] {
        deleted(&world, &user, &field(&sent[subject], "id"));
    }
    world.sync_all().expect(0);
    // All but the offer, which another message has.
    let gone = sent["kinds"]["attachments"].as_array().map_or(0, Vec::len) as i64 - 1;
    assert_eq!((unused(), world.rows("gmail_attachments WHERE deleted_at IS NOT NULL")), (gone, gone + 2));
    let older = |days: u32| {
        world.execute(&format!(
            "UPDATE gmail_messages SET deleted_at = deleted_at - interval '{days} days', changed_xid = DEFAULT WHERE deleted_at IS NOT NULL;
             UPDATE gmail_attachments SET deleted_at = deleted_at - interval '{days} days';
             UPDATE gmail_contents SET unused_at = unused_at - interval '{days} days'"
        ));
    };
    let before = world.texts(COUNTS);
    older(29);
    world.syncctl(&["db", "prune"]).expect(0);
    assert_eq!(world.texts(COUNTS), before, "too early");
    older(2);
    let foretold = world.syncctl(&["db", "prune", "--dry-run", "--json"]).expect(0).json()["rows"].clone();
    let pruned = world.syncctl(&["db", "prune", "--json"]).expect(0).json();
    assert_eq!(pruned["rows"], foretold, "{pruned}");
    assert_eq!((unused(), world.rows("gmail_attachments WHERE deleted_at IS NOT NULL")), (0, 0));
    let offer = field(&sent["equal again"]["attachments"][0], "sha256");
    assert_eq!(world.rows(&format!("gmail_contents WHERE encode(sha256, 'hex') = '{offer}'")), 1);
    world.syncctl(&["verify", "gmail"]).expect(0);

    // A content that is unused and arrives again is in use again.
    deleted(&world, &user, &field(&sent["equal again"], "id"));
    world.sync_all().expect(0);
    assert!(unused() > 0);
    collection(&world, &user);
    world.sync_all().expect(0);
    assert_eq!(unused(), 0);
    world.syncctl(&["accounts", "remove", &user, "--yes"]).expect(0);
    assert_eq!(world.texts(COUNTS), ["0 0"]);
}

#[test]
fn equal_contents_of_two_users_are_stored_for_each() {
    let mut world = empty_mailboxes(2);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.set("SYNCCTL_GMAIL_ATTACHMENTS", "all");
    let users = users(&world);
    users.iter().for_each(|user| drop(collection(&world, user)));
    world.sync_all().expect(0);
    let all = world.rows("gmail_contents");
    world.syncctl(&["accounts", "remove", &users[0], "--yes"]).expect(0);
    assert_eq!(2 * world.rows("gmail_contents"), all);
    world.syncctl(&["verify", "gmail"]).expect(0);
}

#[test]
fn an_attachment_is_written_to_the_named_file_only() {
    let (world, user) = mailbox("all");
    let sent = collection(&world, &user);
    world.sync_all().expect(0);
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let write = |subject: &str, number: &str, more: &[&str]| {
        world.syncctl(&[&["gmail", "attachment", &user, &field(&sent[subject], "id"), number], more].concat())
    };
    for (number, text) in [("1", "a"), ("2", "b"), ("3", "c")] {
        let file = at(number);
        let written = write("paths", number, &["--output", &file, "--json"]).expect(0).json();
        assert_eq!((&written["file"], &written["bytes"]), (&json!(file), &json!(1)), "{written}");
        assert_eq!(fs::read_to_string(&file).expect("the file"), text);
        assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 3);
    let refused = write("same name", "2", &["--output", &at("1")]).expect(2);
    assert!(refused.stderr.contains("exists; use --overwrite"), "{refused:?}");
    std::os::unix::fs::symlink(at("elsewhere"), at("link")).expect("a link");
    write("same name", "2", &["--output", &at("link")]).expect(0);
    assert!(Path::new(&at("link")).is_symlink() && fs::read_to_string(at("elsewhere")).is_ok_and(|text| text == "two"));
    assert_eq!(fs::read_to_string(at("1")).expect("the file"), "a");
    write("same name", "2", &["--output", &at("1"), "--overwrite"]).expect(0);
    assert_eq!(fs::read_to_string(at("1")).expect("the file"), "two");
    assert_eq!(write("same name", "1", &["--output", "/dev/stdout"]).expect(0).stdout, "one");
    write("empty", "1", &["--output", &at("empty")]).expect(0);
    assert_eq!(fs::metadata(at("empty")).expect("the file").len(), 0);
    for (subject, number, reason) in [
        ("damaged", "1", "its transfer encoding is damaged or unknown"),
        ("kinds", "8", "is not stored; see `syncctl gmail show`"),
        ("kinds", "4294967295", "is not stored; see `syncctl gmail show`"),
    ] {
        let refused = write(subject, number, &["--output", &at("none")]).expect(2);
        assert!(refused.stderr.contains(reason) && !Path::new(&at("none")).exists(), "{refused:?}");
    }
}

#[test]
fn a_message_is_shown_with_the_state_of_its_attachments() {
    let (world, user) = mailbox("*.txt");
    let sent = collection(&world, &user);
    world.sync_all().expect(0);
    let id = field(&sent["kinds"], "id");
    let shown = world.syncctl(&["gmail", "show", &user, &id]).expect(0).stdout;
    let size = sent["kinds"]["attachments"][3]["size"].to_string();
    for line in [
        "attached  1. offer.pdf, application/pdf, 20010 bytes (not stored: not included by gmail.attachments)\n".to_owned(),
        format!("attached  4. grüße.txt, text/plain, {size} bytes (stored)\n"),
    ] {
        assert!(shown.contains(&line), "{line}{shown}");
    }
    let shown = world.syncctl(&["gmail", "show", &user, &id, "--json"]).expect(0).json();
    let (first, fourth) = (&shown["attachments"][0], &shown["attachments"][3]);
    assert_eq!(
        (&first["number"], &first["not_stored"], &first["sha256"]),
        (&json!(1), &json!("excluded"), &Value::Null),
        "{shown}"
    );
    assert_eq!((&fourth["not_stored"], &fourth["sha256"]), (&Value::Null, &sent["kinds"]["attachments"][3]["sha256"]), "{shown}");
    // Names move no terminal and no line.
    let shown = world.syncctl(&["gmail", "show", &user, &field(&sent["paths"], "id")]).expect(0).stdout;
    assert_eq!(shown.matches("\nattached  ").count(), 4, "{shown:?}");
}

#[test]
fn a_message_leaves_quarantine_with_its_attachments() {
    let (world, _) = mailbox("all");
    world.sync_all().expect(0);
    let raw = json!({
        "id": "1930000000000fff", "threadId": "t",
        "payload": { "headers": [{ "name": "Subject", "value": "late" }] },
        "syncctl.whole": {
            "text": "x", "attachments": [{ "name": "a.txt", "mime_type": "text/plain", "size": 2 }],
            "files": [{ "inline": false, "content": { "bytes": "aGk=" } }],
        },
    });
    world.execute(&format!(
        "INSERT INTO quarantined_items (stream_id, item_id, raw, error)
         SELECT id, '1930000000000fff', '{raw}', 'a test' FROM streams WHERE service = 'gmail'"
    ));
    world.syncctl(&["items", "retry"]).expect(0);
    let content = "SELECT convert_from(c.content, 'UTF8') FROM gmail_contents c JOIN gmail_attachments a USING (user_id, sha256) WHERE a.name = 'a.txt'";
    assert_eq!(world.texts(content), ["hi"]);
}
