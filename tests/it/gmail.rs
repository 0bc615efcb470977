//! Gmail specifics: windows, expired history, labels, and odd mail; virtual addresses and attachments are in `gmail/`.

mod addresses;
mod attachments;

use serde_json::json;

use crate::support::World;
use crate::support::service::GMAIL;

/// Mailboxes without messages.
fn empty_mailboxes(users: u32) -> World {
    World::of(&GMAIL, users, 0)
}

/// Delivers a message to a user's mailbox; returns its id.
fn arrives(world: &World, user: &str, raw: &str) -> String {
    let made = world.sim.admin("mail/messages", json!({ "user": user, "raw": raw, "labels": ["INBOX", "UNREAD"] }));
    made["id"].as_str().unwrap_or_else(|| panic!("an id in {made}")).to_owned()
}

fn users(world: &World) -> Vec<String> {
    world.sim.users().into_iter().collect()
}

#[test]
fn an_idle_mailbox_costs_one_call_and_two_units() {
    let world = World::of(&GMAIL, 20, 10);
    world.sync_all().expect(0);
    world.sim.reset_ledger();
    let run = world.sync_all().expect(0).json();
    assert_eq!((&run["idle_streams"], &run["quota_units"]), (&json!(20), &json!(40)), "{run}");
    assert_eq!(world.sim.ledger()["by_method"], json!({ "history.list": 20 }));
}

#[test]
fn a_message_costs_what_the_profile_says() {
    for (profile, units) in [("2026-05", 20), ("legacy", 5)] {
        let mut world = empty_mailboxes(1);
        world.set("SYNCCTL_QUOTA_PROFILE", profile);
        let user = users(&world).remove(0);
        (0..3).for_each(|_| drop(arrives(&world, &user, "Subject: s\r\n\r\nx")));
        // The profile, the list, each message, and the labels.
        assert_eq!(world.sync_all().expect(0).json()["quota_units"], 1 + 5 + 3 * units + 1, "{profile}");
    }
}

#[test]
fn the_first_sync_goes_back_as_far_as_the_window_and_later_mail_comes_by_history() {
    let mut world = empty_mailboxes(1);
    world.set("SYNCCTL_GMAIL_WINDOW", "7d");
    let user = users(&world).remove(0);
    let at = |days: i64| (chrono::Utc::now() - chrono::Duration::days(days)).to_rfc3339();
    for days in [3, 6, 8, 400] {
        let raw = format!("Subject: {days} days old\r\n\r\nx");
        world.sim.admin("mail/messages", json!({ "user": user, "raw": raw, "internal_date": at(days) }));
    }
    world.sync_all().expect(0);
    let stored = "SELECT subject FROM gmail_messages WHERE deleted_at IS NULL ORDER BY received_at DESC";
    assert_eq!(world.texts(stored), ["3 days old", "6 days old"]);
    arrives(&world, &user, "Subject: new\r\n\r\nx");
    // Expiry triggers a resync of the window: stored messages outside it stay.
    world.execute("UPDATE gmail_messages SET received_at = now() - interval '9 days' WHERE subject = '6 days old'");
    world.expire();
    world.sync_all().expect(0);
    assert_eq!(world.texts(stored), ["new", "3 days old", "6 days old"]);
}

#[test]
fn expired_history_is_resynced_and_messages_deleted_in_the_meantime_become_tombstones() {
    let world = World::of(&GMAIL, 3, 40);
    world.sync_all().expect(0);
    for seed in [1, 2] {
        world.churn(40, seed);
        world.expire();
        let report = world.sync_all().expect(0).json();
        assert_eq!(report["resyncs"], 3, "{report}");
        world.assert_in_step();
    }
    assert!(world.rows("gmail_messages WHERE deleted_at IS NOT NULL") > 0);
}

#[test]
fn an_interrupted_listing_deletes_nothing_and_is_continued() {
    let mut world = World::of(&GMAIL, 1, 60);
    world.set("SYNCCTL_GMAIL_PAGE_SIZE", "5");
    world.set("SYNCCTL_ENGINE_LEASE", "300ms");
    world.sync_all().expect(0);
    world.expire();
    world.sim.fault(json!({ "fault": "stall", "at_call": 5, "method": "messages.list", "times": 1 }));
    let mut child = world.spawn(&["gmail", "cron", "--force"]);
    world.wait_for_stall();
    child.kill().expect("killing the run");
    child.wait().expect("the run ends");
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    assert_eq!(world.messages(), 60);
    world.wait_until_leases_lapse();
    world.sim.reset_ledger();
    world.sync_all().expect(0);
    let lists = world.sim.ledger()["by_method"]["messages.list"].as_u64();
    assert!(lists < Some(12), "the pass started again: {lists:?} of 12 pages");
    world.assert_in_step();
}

#[test]
fn a_message_that_vanishes_between_history_and_get_is_no_failure() {
    let world = World::of(&GMAIL, 1, 5);
    world.sync_all().expect(0);
    let user = users(&world).remove(0);
    arrives(&world, &user, "Subject: one\r\n\r\nx");
    arrives(&world, &user, "Subject: two\r\n\r\nx");
    world.sim.fault(json!({ "fault": "not_found", "at_call": 1, "method": "messages.get" }));
    let run = world.sync_all().expect(0).json();
    assert_eq!((&run["failed_streams"], &run["changes"]["mailbox"]["created"]), (&json!(0), &json!(1)), "{run}");
    assert_eq!(world.sync_all().expect(0).json()["idle_streams"], 1);
}

#[test]
fn a_429_in_a_batch_asks_again_for_that_part_alone() {
    let world = World::of(&GMAIL, 1, 40);
    world.sim.fault(json!({ "fault": "rate_limit_429", "at_call": 7, "method": "messages.get" }));
    let run = world.sync_all().expect(0).json();
    assert_eq!(run["retries"], 1, "{run}");
    let ledger = world.sim.ledger();
    let read_whole = world.rows("gmail_messages WHERE body IS NOT NULL OR attachments IS NOT NULL");
    assert_eq!(ledger["by_method"]["messages.get"].as_i64(), Some(40 + 1 + read_whole), "{ledger}");
    world.assert_in_step();
}

#[test]
fn labels_and_deletions_are_followed() {
    let world = empty_mailboxes(1);
    let user = users(&world).remove(0);
    let id = arrives(&world, &user, "Subject: s\r\n\r\nx");
    world.sync_all().expect(0);
    assert_eq!(world.rows("gmail_messages WHERE unread AND labels = '{INBOX,UNREAD}'"), 1);
    world.sim.admin("mail/labels", json!({ "user": user, "id": id, "add": ["STARRED"], "remove": ["UNREAD"] }));
    world.sim.reset_ledger();
    world.sync_all().expect(0);
    assert_eq!(world.rows("gmail_messages WHERE NOT unread AND labels = '{INBOX,STARRED}'"), 1);
    assert_eq!(world.sim.ledger()["total"], 1, "labels come with the history");
    let request = ureq::delete(format!("{}/admin/mail/messages", world.sim.url)).header("content-type", "application/json");
    request.force_send_body().send(json!({ "user": user, "id": id }).to_string()).expect("deleting a message");
    world.sync_all().expect(0);
    assert_eq!(world.rows("gmail_messages WHERE deleted_at IS NOT NULL"), 1);
}

/// Users with odd usernames, and with local parts that equal each other's names.
fn odd_users(world: &World) -> Vec<String> {
    let names = ["al", "alice", "a%", "a_", "o'brien", "x\"y"];
    let users = users(world);
    for (user, name) in users.iter().zip(names) {
        world.execute(&format!("UPDATE users SET username = '{}' WHERE email = '{user}'", name.replace('\'', "''")));
    }
    users
}

#[test]
fn mail_that_cannot_be_read_whole_is_stored_with_a_note() {
    let mut world = empty_mailboxes(1);
    let users = odd_users(&world);
    world.set("SYNCCTL_GMAIL_WHOLE_MAX_SIZE", "2000");
    arrives(&world, &users[0], &format!("To: ai+al@example.com\r\nSubject: large\r\n\r\n{}", "x".repeat(4000)));
    arrives(
        &world,
        &users[0],
        "To: ai+al@example.com\r\nSubject: broken\r\nContent-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: base64\r\n\r\n--c\r\n!!\u{0}",
    );
    arrives(&world, &users[0], "not a header at all");
    world.sync_all().expect(0);
    assert_eq!(world.messages(), 3);
    assert_eq!(world.texts("SELECT title FROM documents ORDER BY 1"), ["broken", "large"]);
    assert!(world.texts("SELECT note FROM documents WHERE title = 'large'")[0].contains("whole_max_size"));
    assert_eq!(world.quarantined(), 0);
}

#[test]
fn poll_and_smart_poll_take_an_address() {
    let world = World::of(&GMAIL, 2, 3);
    let user = users(&world).remove(0);
    let run = world.syncctl(&["gmail", "poll", &user, "--json"]).expect(0).json();
    assert_eq!((&run["streams"], &run["changes"]["mailbox"]["created"]), (&json!(1), &json!(3)), "{run}");
    let skipped = world.syncctl(&["gmail", "smart-poll", &user]).expect(0);
    assert!(skipped.stdout.contains("due in"), "{}", skipped.stdout);
    let metrics = world.syncctl(&["gmail", "metrics", "--json"]).expect(0).json();
    assert_eq!(metrics["window"]["runs"], 2, "{metrics}");
}

#[test]
fn an_older_version_that_leaves_quarantine_does_not_undo_a_newer_one() {
    let world = empty_mailboxes(1);
    let user = users(&world).remove(0);
    let id = arrives(&world, &user, "Subject: new\r\n\r\nx");
    world.sync_all().expect(0);
    let old = json!({ "id": id, "threadId": "t", "labelIds": ["OLD"], "historyId": "1", "payload": { "headers": [{ "name": "Subject", "value": "old" }] } });
    world.execute(&format!(
        "INSERT INTO quarantined_items (stream_id, item_id, raw, error) SELECT stream_id, message_id, '{old}', 'a test' FROM gmail_messages"
    ));
    world.syncctl(&["items", "retry"]).expect(0);
    assert_eq!(world.quarantined(), 0);
    assert_eq!(world.texts("SELECT subject || array_to_string(labels, ',') FROM gmail_messages"), ["newINBOX,UNREAD"]);
}
