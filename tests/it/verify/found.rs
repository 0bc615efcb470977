//! Rows deleted, invented, changed and tombstoned by hand: exactly these are named, and repair restores all of them.

use super::{kind, main_kind, named, number, verify};
use crate::support::World;
use crate::support::service::{ATTENDEE, CALENDAR, DRIVE, GMAIL, Service};

/// Damage to the stored rows of a service.
struct Damage {
    service: &'static Service,
    items: u32,
    /// Items on a page of a comparison: there must be more.
    page: u64,
    /// IDs of ten live rows, one to change, and one to tombstone: twelve in all.
    victims: &'static str,
    delete: &'static str,
    make_up: &'static str,
    change: &'static str,
    tombstone: &'static str,
}

const CALENDAR_DAMAGE: Damage = Damage {
    service: &CALENDAR,
    items: 2_700,
    page: 2_500,
    victims: "SELECT event_id FROM calendar_events WHERE deleted_at IS NULL AND recurring_event_id IS NULL AND start_at > now()
              ORDER BY event_id LIMIT 12",
    delete: "DELETE FROM calendar_events WHERE event_id = ANY ('{IDS}')",
    make_up: "INSERT INTO calendar_events (stream_id, event_id, user_id, calendar_id, status, start_at, end_at, etag, raw)
              SELECT stream_id, 'madeup', user_id, calendar_id, status, now() + interval '1 day', now() + interval '25 hours', etag, '{}'
              FROM calendar_events WHERE deleted_at IS NULL LIMIT 1",
    change: "UPDATE calendar_events SET etag = 'other' WHERE event_id = '{ID}'",
    tombstone: "UPDATE calendar_events SET deleted_at = now(), status = 'cancelled' WHERE event_id = '{ID}'",
};

const GMAIL_DAMAGE: Damage = Damage {
    service: &GMAIL,
    items: 600,
    page: 500,
    victims: "SELECT message_id FROM gmail_messages m WHERE deleted_at IS NULL
                AND NOT EXISTS (SELECT 1 FROM gmail_detections d WHERE d.message_id = m.message_id) ORDER BY message_id LIMIT 12",
    delete: "DELETE FROM gmail_messages WHERE message_id = ANY ('{IDS}')",
    make_up: "INSERT INTO gmail_messages (stream_id, message_id, user_id, thread_id, history_id, labels, received_at)
              SELECT stream_id, 'madeup', user_id, thread_id, history_id, labels, now() FROM gmail_messages WHERE deleted_at IS NULL LIMIT 1",
    change: "UPDATE gmail_messages SET labels = '{NOWHERE}' WHERE message_id = '{ID}'",
    tombstone: "UPDATE gmail_messages SET deleted_at = now() WHERE message_id = '{ID}'",
};

const DRIVE_DAMAGE: Damage = Damage {
    service: &DRIVE,
    items: 40,
    page: 7,
    victims: "SELECT file_id FROM drive_file_access a JOIN drive_files USING (file_id) WHERE a.deleted_at IS NULL AND md5_checksum IS NOT NULL
                AND 1 = (SELECT count(*) FROM drive_file_access o WHERE o.file_id = a.file_id) ORDER BY file_id LIMIT 12",
    delete: "DELETE FROM drive_file_access WHERE file_id = ANY ('{IDS}')",
    make_up: "INSERT INTO drive_files (file_id, name, version, raw) VALUES ('madeup', 'x', 1, '{}');
              INSERT INTO drive_file_access (stream_id, file_id, user_id, name, version, content_key)
              SELECT stream_id, 'madeup', user_id, 'x', 1, 'x' FROM drive_file_access WHERE deleted_at IS NULL LIMIT 1",
    change: "UPDATE drive_files SET md5_checksum = 'other' WHERE file_id = '{ID}'",
    tombstone: "UPDATE drive_file_access SET deleted_at = now() WHERE file_id = '{ID}'",
};

/// Does the damage, and checks that it is found exactly, then repaired.
fn is_found_and_repaired(damage: &Damage) {
    // One user: message IDs of two mailboxes can be equal.
    let mut world = World::of(damage.service, 1, damage.items);
    if damage.service.name == "drive" {
        world.set("SYNCCTL_DRIVE_PAGE_SIZE", "7");
        world.set("SYNCCTL_DRIVE_DOCUMENTS", "watched");
    }
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    let report = verify(&world, &[]).expect(0).json();
    assert_eq!(report["consistent"], true, "{report}");
    let compared = number(kind(&report, main_kind(damage.service)), "compared");
    assert!(compared > damage.page, "{compared} are no two pages");

    let mut ids = world.texts(damage.victims);
    assert_eq!(ids.len(), 12);
    let (changed, buried) = (ids.pop().expect("an id"), ids.pop().expect("an id"));
    world.execute(&damage.delete.replace("{IDS}", &format!("{{{}}}", ids.join(","))));
    world.execute(damage.make_up);
    world.execute(&damage.change.replace("{ID}", &changed));
    world.execute(&damage.tombstone.replace("{ID}", &buried));

    let report = verify(&world, &[]).expect(1).json();
    let figures = kind(&report, main_kind(damage.service));
    let counts = ["missing", "excess", "stale", "not_polled", "quarantined"].map(|name| number(figures, name));
    assert_eq!(counts, [11, 1, 1, 0, 0], "{figures}");
    assert_eq!(number(figures, "compared"), compared + 1);
    ids.push(buried);
    ids.sort();
    assert_eq!(named(figures, "missing"), ids);
    assert_eq!(named(figures, "excess"), ["madeup"]);
    assert_eq!(named(figures, "stale"), [changed]);

    let report = verify(&world, &["--repair"]).expect(0).json();
    let repair = &report["runs"][0]["verify"]["repair"];
    assert!(number(repair, "streams") >= 1, "{repair}");
    let left = &repair["left"][main_kind(damage.service)];
    assert_eq!(["missing", "excess", "stale"].map(|name| number(left, name)), [0, 0, 0], "{repair}");
    verify(&world, &[]).expect(0);
    world.sync_all().expect(0);
    let stored = world.stored();
    assert_eq!((damage.service.truth)(&world), stored);
    assert_eq!(world.rows("streams WHERE resyncs > 0 OR state = 'degraded'"), 0, "no cursor has expired");
    world.assert_no_leftovers();
}

#[test]
fn damaged_events_are_found_and_repaired() {
    is_found_and_repaired(&CALENDAR_DAMAGE);
}

#[test]
fn damaged_messages_are_found_and_repaired() {
    is_found_and_repaired(&GMAIL_DAMAGE);
}

#[test]
fn damaged_files_are_found_and_repaired() {
    is_found_and_repaired(&DRIVE_DAMAGE);
}

#[test]
fn a_calendar_whose_stream_is_gone_is_missing_and_comes_back() {
    let world = World::with_users(2, 10);
    world.sync_all().expect(0);
    world.execute("DELETE FROM streams WHERE id = (SELECT min(id) FROM streams WHERE kind = 'events')");
    let run = verify(&world, &[]).expect(1);
    let user = world.first_user();
    assert!(!run.stdout.contains(&user) && !run.stdout.contains("@example.com"), "an address: {}", run.stdout);
    let report = run.json();
    assert_eq!(number(kind(&report, "calendar_list"), "missing"), 1, "{report}");
    verify(&world, &["--repair"]).expect(0);
    world.sync_all().expect(0);
    world.assert_in_step();
}

#[test]
fn a_label_that_no_list_shows_is_no_difference_unless_it_is_a_users_own() {
    let world = World::of(&GMAIL, 1, 30);
    world.sync_all().expect(0);
    let add = |label: &str, at: u32| {
        world.execute(&format!(
            "UPDATE gmail_messages SET labels = labels || '{label}'::text
             WHERE message_id = (SELECT message_id FROM gmail_messages WHERE deleted_at IS NULL ORDER BY message_id OFFSET {at} LIMIT 1)"
        ));
    };
    add("YELLOW_STAR", 0);
    verify(&world, &[]).expect(0);
    add("Label_99", 1);
    let report = verify(&world, &[]).expect(1).json();
    assert_eq!(number(kind(&report, "mailbox"), "stale"), 1, "{report}");
}

#[test]
fn a_version_that_rose_without_anything_to_see_is_no_difference() {
    let world = World::of(&DRIVE, 1, 20);
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    world.execute("UPDATE drive_files SET version = version - 1; UPDATE drive_file_access SET version = version - 1");
    verify(&world, &[]).expect(0);
    world.execute("UPDATE drive_file_access SET name = 'other' WHERE file_id = (SELECT min(file_id) FROM drive_file_access)");
    let report = verify(&world, &[]).expect(1).json();
    assert_eq!(number(kind(&report, "changes"), "stale"), 1, "{report}");
}

#[test]
fn a_quarantined_item_is_reported_as_such() {
    let world = World::with_users(1, 10);
    let user = world.first_user();
    let odd = r#"{"id":"odd","status":"confirmed","etag":"\"1\"","start":5,"end":{"date":"2026-11-26"}}"#;
    world.sim.admin("events", serde_json::json!({ "user": user, "calendar": "primary", "raw": odd }));
    world.sync_all().expect(0);
    let report = verify(&world, &[]).expect(0).json();
    let figures = kind(&report, "events");
    assert_eq!((number(figures, "quarantined"), number(figures, "missing")), (1, 0), "{figures}");
    assert_eq!(named(figures, "quarantined"), ["odd"]);
}

#[test]
fn bots_that_were_asked_for_are_compared_with_what_attendee_has() {
    let world = World::of(&ATTENDEE, 2, 20);
    world.sync_all().expect(0);
    verify(&world, &[]).expect(0);
    // An active bot changes between two polls: that is what polls are for.
    world.pass(9);
    verify(&world, &[]).expect(0);
    (ATTENDEE.finish)(&world);
    let report = verify(&world, &[]).expect(0).json();
    assert!(number(kind(&report, "bots"), "compared") >= 2, "{report}");
    let settled: Vec<uuid::Uuid> = world
        .query("SELECT id FROM attendee_bots WHERE state = 'settled' ORDER BY id LIMIT 2")
        .iter()
        .map(|row| row.get(0))
        .collect();
    world.execute(&format!("UPDATE attendee_bots SET raw_state = 'joining' WHERE id = '{}'", settled[0]));
    world.execute(&format!("DELETE FROM attendee_bots WHERE id = '{}'", settled[1]));
    let report = verify(&world, &[]).expect(1).json();
    let figures = kind(&report, "bots");
    assert_eq!(
        (named(figures, "stale"), named(figures, "missing")),
        (vec![settled[0].to_string()], vec![settled[1].to_string()])
    );
}
