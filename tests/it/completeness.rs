//! The view `sync_completeness`: a row for each feed of each user, and why it may be incomplete.

use chrono::{Duration, SecondsFormat, Utc};
use serde_json::json;

use crate::drive_permissions::documented;
use crate::support::World;

/// Two users with events, one of which is tomorrow, and a file, synced.
fn synced() -> World {
    let world = World::with_users(2, 20);
    let time = |hours| json!({ "dateTime": (Utc::now() + Duration::hours(hours)).to_rfc3339_opts(SecondsFormat::Secs, true) });
    let event = json!({ "id": "tomorrow", "status": "confirmed", "start": time(24), "end": time(25) });
    for user in world.sim.users() {
        world.add_file(&user, "notes.txt", "One");
        world.sim.admin("events", json!({ "user": user, "calendar": "primary", "event": event }));
    }
    for _ in 0..2 {
        world.syncctl(&["sync", "cron", "--force"]).expect(0);
    }
    world
}

/// What is missing in the feeds of a kind, in all of them.
fn missing(world: &World, kind: &str) -> String {
    world.text(&format!(
        "SELECT string_agg(DISTINCT coalesce(missing, 'nothing'), ' ') FROM sync_completeness WHERE kind = '{kind}'"
    ))
}

/// The kind of feeds, what happens to them, what is missing then, and how it ends.
const CASES: [(&str, &str, &str, &str); 10] = [
    ("mailbox", "UPDATE streams SET state = 'revoked'", "not_synced", "UPDATE streams SET state = 'active'"),
    ("changes", "UPDATE streams SET state = 'stopped'", "not_synced", "UPDATE streams SET state = 'active'"),
    (
        "events",
        "UPDATE streams SET failures = 2, failed_class = 'transient'",
        "failing",
        "UPDATE streams SET failures = 0, failed_class = NULL",
    ),
    ("events", "UPDATE calendar_windows SET listed = NULL", "first_pass", "UPDATE calendar_windows SET listed = covered"),
    (
        "mailbox",
        "UPDATE streams SET pinned = cursor, cursor = NULL",
        "full_pass",
        "UPDATE streams SET cursor = pinned, pinned = NULL",
    ),
    ("events", "UPDATE calendar_windows SET rebuilt_to = 'x'", "instances", "UPDATE calendar_windows SET rebuilt_to = NULL"),
    (
        "changes",
        "INSERT INTO quarantined_items (stream_id, item_id, raw, error) SELECT id, 'x', '{}', 'x' FROM streams",
        "unread",
        "DELETE FROM quarantined_items",
    ),
    (
        "events",
        "UPDATE calendar_events SET unread = '{recurrence}' WHERE deleted_at IS NULL",
        "unread",
        "UPDATE calendar_events SET unread = NULL",
    ),
    (
        "changes",
        "UPDATE drive_file_access SET permissions_known = NULL",
        "permissions",
        "UPDATE drive_file_access SET permissions_known = 'all'",
    ),
    (
        "mailbox",
        "UPDATE gmail_mailboxes SET labels_failing_since = now() + interval '1 minute'",
        "labels",
        "UPDATE gmail_mailboxes SET labels_failing_since = NULL",
    ),
];

#[test]
fn each_feed_of_each_user_has_a_row_with_what_is_missing() {
    let world = World::with_users(1, 0);
    assert_eq!(missing(&world, "mailbox"), "first_pass");
    let world = synced();
    let feeds = world.rows("streams WHERE service IN ('calendar', 'drive', 'gmail') AND state <> 'removed'");
    assert_eq!((world.rows("sync_completeness"), feeds >= 2 * 5), (feeds, true), "{feeds}");
    let kinds = ["calendar_list", "events", "drive_list", "changes", "mailbox"];
    let complete = || kinds.iter().all(|kind| missing(&world, kind) == "nothing");
    assert!(complete() && world.rows("sync_completeness WHERE NOT first_pass_complete OR succeeded_at IS NULL") == 0);
    assert_eq!(world.texts("SELECT DISTINCT name FROM sync_completeness WHERE kind = 'changes'"), ["My Drive"]);
    let known =
        "sync_completeness WHERE kind = 'events' AND name IS NOT NULL AND now() BETWEEN instances_from AND instances_until";
    assert_eq!(world.rows(known), world.rows("sync_completeness WHERE kind = 'events'"));
    for (kind, trouble, reason, over) in CASES {
        world.execute(trouble);
        assert_eq!(missing(&world, kind), reason, "{trouble}");
        world.execute(over);
        assert!(complete(), "{over}");
    }
    // Feeds that are gone, and that of documents, have no row.
    world.execute("UPDATE streams SET state = 'removed' WHERE kind = 'events'");
    assert_eq!(missing(&world, "events"), "");
}

#[test]
fn the_first_of_several_reasons_is_given() {
    let world = synced();
    for (_, trouble, ..) in CASES.iter().rev() {
        world.execute(trouble);
    }
    let reasons = world.texts("SELECT DISTINCT missing FROM sync_completeness ORDER BY 1");
    assert_eq!(reasons, ["not_synced"]);
    world.execute("UPDATE streams SET state = 'active'");
    let rows = "SELECT DISTINCT missing FROM sync_completeness WHERE quarantined_items > 0 AND failed_class = 'transient'";
    assert_eq!(world.texts(rows), ["failing"], "with all that is known of it");
}

#[test]
fn the_documented_statements_leave_out_what_is_not_known() {
    let world = synced();
    let (missing, busy) =
        (documented("FROM sync_completeness WHERE missing"), documented("NOT EXISTS (SELECT FROM sync_completeness"));
    assert_eq!((world.query(&missing).len(), world.query(&busy).len()), (0, 2));
    let user = world.first_user();
    world.execute(&format!(
        "UPDATE streams SET failures = 1, failed_message = 'no answer' FROM users u WHERE u.id = user_id AND u.email = '{user}' AND kind = 'events'"
    ));
    let rows = world.query(&missing);
    assert_eq!((rows.len(), rows[0].get::<_, String>("email")), (1, user.clone()));
    assert_eq!(rows[0].get::<_, String>("failed_message"), "no answer");
    let rest = world.query(&busy);
    assert!(rest.len() == 1 && rest[0].get::<_, String>("email") != user, "{rest:?}");
}
