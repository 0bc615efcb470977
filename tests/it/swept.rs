//! Quarantined items that are deleted at the provider unnoticed: the complete pass that does not name them removes them.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::{DRIVE, GMAIL};

fn delete(world: &World, path: &str, body: &Value) {
    let request = ureq::delete(format!("{}/admin/{path}", world.sim.url)).header("content-type", "application/json");
    request.force_send_body().send(body.to_string()).unwrap_or_else(|error| panic!("DELETE admin/{path}: {error}"));
}

/// Makes the next poll of the list a complete pass.
fn list_from_scratch(world: &World, kind: &str) {
    world.execute(&format!("UPDATE streams SET cursor = NULL WHERE kind = '{kind}'"));
}

#[track_caller]
fn assert_left_quarantine(world: &World, what: &str) {
    // The second run requests what the first one could not confirm.
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 0, "{what} stays in quarantine");
    world.syncctl(&["items", "retry"]).expect(0);
    world.assert_in_step();
    world.syncctl(&["verify", world.service.name, "--all"]).expect(0);
}

#[test]
fn a_deleted_event_is_removed_from_quarantine() {
    let world = World::with_users(1, 5);
    let user = world.first_user();
    let team = json!({ "user": user, "id": "team", "summary": "Team", "selected": true });
    world.sim.admin("calendars", team.clone());
    let day = |days| (Utc::now() + TimeDelta::days(days)).date_naive().to_string();
    let event = json!({ "id": "odd", "status": "confirmed", "start": { "date": day(0) }, "end": { "date": day(1) } });
    world.sim.admin("events", json!({ "user": user, "calendar": "team", "event": event }));
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    assert_eq!(world.rows("calendar_events WHERE event_id = 'odd' AND deleted_at IS NULL"), 1);
    let raw = r#"{"id":"odd","status":"confirmed","etag":"\"9\"","start":5,"end":{"date":"2026-11-26"}}"#;
    world.sim.admin("events", json!({ "user": user, "calendar": "team", "raw": raw }));
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 1);
    // Deleted too long ago for any list to name it.
    delete(&world, "calendars", &json!({ "user": user, "id": "team" }));
    world.sim.admin("calendars", team);
    world.expire();
    assert_left_quarantine(&world, "an event");
}

#[test]
fn an_event_that_was_never_stored_and_lies_outside_of_the_window_is_asked_for_and_kept() {
    let world = World::with_users(1, 2);
    let user = world.first_user();
    let raw = r#"{"id":"old","status":"confirmed","etag":"\"1\"","start":{"date":"1990-01-01"},"end":{"date":"1990-01-02"}}"#;
    world.sync_all().expect(0);
    world.refuse_rows("calendar_events", "NEW.event_id = 'old'");
    world.sim.admin("events", json!({ "user": user, "calendar": "primary", "raw": raw }));
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 1);
    world.expire();
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 1, "it is there, and cannot be stored");
    world.execute("DROP TRIGGER refuse ON calendar_events");
    world.syncctl(&["items", "retry"]).expect(0);
    assert_eq!(world.rows("calendar_events WHERE event_id = 'old' AND deleted_at IS NULL"), 1);
}

#[test]
fn a_deleted_message_is_removed_from_quarantine() {
    let world = World::of(&GMAIL, 1, 4);
    let user = world.first_user();
    let made = world.sim.admin("mail/messages", json!({ "user": user, "raw": "Subject: odd\r\n\r\nx" }));
    let id = made["id"].as_str().expect("an id").to_owned();
    world.sync_all().expect(0);
    world.refuse_rows("gmail_messages", "NEW.subject = 'odd'");
    world.expire();
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 1);
    delete(&world, "mail/messages", &json!({ "user": user, "id": id }));
    world.expire();
    assert_left_quarantine(&world, "a message");
}

#[test]
fn deleted_files_of_shared_drives_and_my_drive_are_removed_from_quarantine() {
    let mut world = World::of(&DRIVE, 1, 3);
    world.set("SYNCCTL_DRIVE_DOCUMENTS", "watched");
    let user = world.first_user();
    world.sim.admin("drive/drives", json!({ "id": "TEAM", "name": "Team", "members": [user] }));
    let of_team = world.sim.admin("drive/files", json!({ "drive": "TEAM", "name": "odd", "content": "x" }));
    let own = world.add_file(&user, "odd", "x");
    world.sync_all().expect(0);
    let files = [own, of_team["id"].as_str().expect("an id").to_owned()];
    world.refuse_rows("drive_files", "NEW.name = 'odder'");
    files.iter().for_each(|id| world.drive_admin("PUT", "files", &json!({ "id": id, "name": "odder" })));
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 2);
    files.iter().for_each(|id| world.drive_admin("DELETE", "files", &json!({ "id": id })));
    world.expire();
    assert_left_quarantine(&world, "a file");
}

#[test]
fn a_calendar_and_a_shared_drive_that_the_list_does_not_name_are_left() {
    let world = World::with_users(1, 2);
    let user = world.first_user();
    world.sim.admin("calendars", json!({ "user": user, "id": "team", "summary": "Team", "selected": true }));
    world.sync_all().expect(0);
    world.refuse_rows("calendars", "NEW.summary = 'Odd'");
    world.sim.admin("calendars", json!({ "user": user, "id": "team", "summary": "Odd", "selected": true }));
    world.sync_all().expect(0);
    assert_eq!(world.quarantined(), 1);
    delete(&world, "calendars", &json!({ "user": user, "id": "team" }));
    list_from_scratch(&world, "calendar_list");
    world.sync_all();
    assert_eq!((world.quarantined(), world.rows("calendars WHERE deleted_at IS NULL")), (0, 1));

    let world = World::of(&DRIVE, 1, 1);
    let user = world.first_user();
    let drive =
        |name: &str, members: Value| world.sim.admin("drive/drives", json!({ "id": "TEAM", "name": name, "members": members }));
    let live = "drives WHERE deleted_at IS NULL AND drive_id = 'TEAM'";
    drive("Team", json!([user]));
    world.sync_all().expect(0);
    world.refuse_rows("drives", "NEW.name = 'Odd'");
    drive("Odd", json!([user]));
    world.sync_all().expect(0);
    assert_eq!((world.quarantined(), world.rows(live)), (1, 1));
    drive("Odd", json!([]));
    world.sync_all();
    assert_eq!((world.quarantined(), world.rows(live)), (0, 0));
}
