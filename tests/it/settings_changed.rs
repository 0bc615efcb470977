//! Settings that complete passes depend on, changed afterwards: the warnings about it, and `resync`, which applies them.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::service::GMAIL;

/// Runs a cron of the service.
fn cron(world: &World) {
    world.syncctl(&[world.service.name, "cron"]).expect(0);
}

/// Lines of doctor about a setting.
fn told(world: &World, key: &str) -> Vec<Value> {
    let checks = world.syncctl(&["doctor", "--offline", "--json"]).json()["checks"].as_array().cloned().unwrap_or_default();
    let is_about = |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with(key));
    checks.into_iter().filter(is_about).collect()
}

/// Asserts that doctor and `config show` report the change, and that nothing was applied automatically.
#[track_caller]
fn assert_told(world: &World, key: &str, was: &str, service: &str) {
    let lines = told(world, key);
    assert_eq!(lines.len(), 1, "{key}: {lines:?}");
    let (message, remedy) = (lines[0]["message"].as_str().unwrap_or_default(), lines[0]["remedy"].as_str().unwrap_or_default());
    assert!(message.contains(was) && lines[0]["level"] == "warn", "{lines:?}");
    assert!(remedy.contains(&format!("syncctl resync --all --service {service}")), "{lines:?}");
    let rows = world.syncctl(&["config", "show", "--json"]).expect(0).json();
    let row = rows.as_array().and_then(|rows| rows.iter().find(|row| row["key"] == key)).cloned().expect("the key");
    assert!(row["last_pass"].as_str().is_some_and(|text| text.contains(was)), "{row}");
    let text = world.syncctl(&["config", "show"]).expect(0).stdout;
    assert!(text.contains(&format!("syncctl resync --all --service {service}")), "{text}");
}

#[track_caller]
fn assert_silent(world: &World, key: &str) {
    assert_eq!(told(world, key), Vec::<Value>::new());
}

fn mail(world: &World, user: &str, days: i64) {
    let at = (chrono::Utc::now() - chrono::Duration::days(days)).to_rfc3339();
    let raw = format!("Subject: {days} days old\r\nTo: {user}\r\n\r\nthe text of {days}");
    world.sim.admin("mail/messages", json!({ "user": user, "raw": raw, "internal_date": at }));
}

#[test]
fn a_longer_window_and_whole_messages_come_with_a_resync() {
    let mut world = World::of(&GMAIL, 2, 0);
    world.set("SYNCCTL_GMAIL_WINDOW", "7days");
    let users: Vec<String> = world.sim.users().into_iter().collect();
    users.iter().for_each(|user| [3, 20].into_iter().for_each(|days| mail(&world, user, days)));
    cron(&world);
    assert_silent(&world, "gmail.");
    world.set("SYNCCTL_GMAIL_WINDOW", "30days");
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.syncctl(&["gmail", "cron", "--force"]).expect(0);
    let fetched = "gmail_messages WHERE body LIKE 'the text of%'";
    assert_eq!((world.messages(), world.rows(fetched)), (2, 0), "nothing happens by itself");
    assert_told(&world, "gmail.window", "7days", "gmail");
    assert_told(&world, "gmail.store", "detected", "gmail");
    let dry = world.syncctl(&["resync", "--all", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(
        (&dry["dry_run"], &dry["services"][0]["service"], &dry["services"][0]["streams"]),
        (&json!(true), &json!("gmail"), &json!(2)),
        "{dry}"
    );
    cron(&world);
    assert_eq!((world.messages(), world.rows(fetched)), (2, 0), "a dry run changes nothing");
    world.syncctl(&["resync", &users[0], "--service", "gmail"]).expect(0);
    cron(&world);
    assert_eq!((world.messages(), world.rows(fetched)), (3, 2));
    let lines = told(&world, "gmail.window");
    assert!(lines[0]["message"].as_str().is_some_and(|text| text.contains("1 of 2")), "{lines:?}");
    world.syncctl(&["resync", "--all"]).expect(0);
    cron(&world);
    assert_eq!((world.messages(), world.rows(fetched)), (4, 4));
    assert_silent(&world, "gmail.");
    world.assert_no_leftovers();
    assert_eq!(world.rows("streams WHERE resyncs > 0 OR state = 'degraded'"), 0, "no cursor expired");
}

#[test]
fn a_resync_asked_for_while_a_run_holds_the_stream_is_not_lost() {
    let mut world = World::of(&GMAIL, 1, 0);
    world.set("SYNCCTL_GMAIL_WINDOW", "7days");
    let user = world.first_user();
    [3, 20].into_iter().for_each(|days| mail(&world, &user, days));
    cron(&world);
    mail(&world, &user, 1);
    world.sim.fault(json!({ "fault": "stall", "method": "history.list", "times": 1 }));
    let run = world.spawn(&["gmail", "cron", "--force"]);
    world.wait_for_stall();
    world.set("SYNCCTL_GMAIL_WINDOW", "30days");
    world.syncctl(&["resync", "--all", "--service", "gmail"]).expect(0);
    world.sim.clear_faults();
    world.sim.admin("release", json!({}));
    assert!(run.wait_with_output().expect("the run ends").status.success());
    cron(&world);
    assert_eq!(world.messages(), 3);
    assert_silent(&world, "gmail.");
}

#[test]
fn a_scheduled_full_pass_applies_the_change_too() {
    let mut world = World::of(&GMAIL, 1, 0);
    let user = world.first_user();
    mail(&world, &user, 3);
    cron(&world);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.expire();
    world.syncctl(&["gmail", "cron", "--force"]).expect(0);
    assert_eq!(world.rows("gmail_messages WHERE body LIKE 'the text of%'"), 1);
    assert_silent(&world, "gmail.");
}

#[test]
fn attachments_and_html_of_stored_messages_come_with_a_resync_and_stay() {
    let mut world = World::of(&GMAIL, 1, 0);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    let user = world.first_user();
    world.sim.admin("mail/attachments", json!({ "user": user, "large": 1_000 }));
    cron(&world);
    world.set("SYNCCTL_GMAIL_ATTACHMENTS", "*.pdf");
    world.set("SYNCCTL_GMAIL_ATTACHMENT_MAX_SIZE", "500");
    world.set("SYNCCTL_GMAIL_HTML", "true");
    world.syncctl(&["gmail", "cron", "--force"]).expect(0);
    assert_eq!((world.rows("gmail_attachments"), world.rows("gmail_messages WHERE html IS NOT NULL")), (0, 0));
    assert_told(&world, "gmail.attachments", "none", "gmail");
    assert_told(&world, "gmail.attachment_max_size", "10485760", "gmail");
    assert_told(&world, "gmail.html", "false", "gmail");
    let with = |world: &mut World, attachments: &'static str, max_size: &'static str| {
        world.set("SYNCCTL_GMAIL_ATTACHMENTS", attachments);
        world.set("SYNCCTL_GMAIL_ATTACHMENT_MAX_SIZE", max_size);
        world.syncctl(&["resync", "--all"]).expect(0);
        cron(world);
        world.count("SELECT count(DISTINCT name) FROM gmail_attachments WHERE sha256 IS NOT NULL")
    };
    assert_eq!(with(&mut world, "*.pdf", "500"), 0, "all are too large");
    assert_eq!(world.rows("gmail_messages WHERE html IS NULL"), 0);
    assert_silent(&world, "gmail.");
    let pdf = with(&mut world, "*.pdf", "100000");
    let all = with(&mut world, "all", "100000");
    assert!(pdf == 3 && all > 10, "{pdf}, {all}");
    for (attachments, max_size) in [("all", "1"), ("*.pdf", "100000"), ("none", "100000")] {
        assert_eq!(with(&mut world, attachments, max_size), all, "{attachments}");
    }
    assert_eq!(world.rows("gmail_contents WHERE unused_at IS NOT NULL"), 0);
    world.syncctl(&["verify", "gmail"]).expect(0);
}

#[test]
fn all_files_become_documents_and_a_larger_limit_reads_what_was_too_large() {
    let mut world = World::with_files(1, 2);
    world.set("SYNCCTL_DRIVE_CONTENT_MAX_SIZE", "10");
    let user = world.first_user();
    let file = world.add_file(&user, "notes.txt", "more than ten bytes of text");
    world.watch(&user, &file);
    world.sync_drive().expect(0);
    let documents = "documents WHERE source = 'drive' AND status <> 'deleted'";
    assert_eq!((world.rows(documents), world.documents_with("more than ten bytes of text")), (1, 0));
    world.set("SYNCCTL_DRIVE_CONTENT_MAX_SIZE", "1000000");
    world.set("SYNCCTL_DRIVE_DOCUMENTS", "all");
    world.sync_drive().expect(0);
    assert_eq!((world.rows(documents), world.documents_with("more than ten bytes of text")), (1, 0), "nothing happens by itself");
    assert_told(&world, "drive.documents", "watched", "drive");
    assert_told(&world, "drive.content_max_size", "10", "drive");
    world.syncctl(&["resync", "--all", "--service", "drive"]).expect(0);
    world.sync_drive().expect(0);
    world.sync_drive().expect(0);
    assert_eq!(world.documents_with("more than ten bytes of text"), 1);
    assert!(world.rows(documents) > 1, "every readable file is a document");
    assert_silent(&world, "drive.");
    let twice = "SELECT count(*) FROM (SELECT 1 FROM outbox_events WHERE type = 'drive.file.created' GROUP BY subject HAVING count(*) > 1) t";
    assert_eq!(world.count(twice), 0);
}

#[test]
fn a_resync_applies_new_windows_and_meeting_rules_to_calendars() {
    let mut world = World::with_users(1, 0);
    world.set("SYNCCTL_CALENDAR_WINDOW_FUTURE", "30days");
    let user = world.first_user();
    for (id, days) in [("near", 10), ("far", 60)] {
        let at =
            |minutes: i64| (chrono::Utc::now() + chrono::Duration::days(days) + chrono::Duration::minutes(minutes)).to_rfc3339();
        let event =
            json!({ "id": id, "summary": "Quarterly roundtable", "start": { "dateTime": at(0) }, "end": { "dateTime": at(30) } });
        world.sim.admin("events", json!({ "user": user, "calendar": "primary", "event": event }));
    }
    world.sync_all().expect(0);
    let meetings = "meetings WHERE event_status <> 'cancelled'";
    assert_eq!((world.events(), world.rows(meetings)), (1, 0));
    world.set("SYNCCTL_CALENDAR_WINDOW_FUTURE", "90days");
    world.set("SYNCCTL_CALENDAR_MEETING_WORDS", "roundtable");
    world.sync_all().expect(0);
    assert_eq!((world.events(), world.rows(meetings)), (1, 0), "nothing happens by itself");
    assert_told(&world, "calendar.window_future", "30days", "calendar");
    assert_told(&world, "calendar.meeting_words", "standup", "calendar");
    world.syncctl(&["resync", &user]).expect(0);
    world.sync_all().expect(0);
    assert_eq!((world.events(), world.rows(meetings)), (2, 2));
    assert_silent(&world, "calendar.");
}

#[test]
fn resync_names_unknown_users_and_services() {
    let world = World::with_users(1, 1);
    assert!(world.syncctl(&["resync"]).expect(2).stderr.contains("--all"));
    world.syncctl(&["resync", "nobody@example.com"]).expect(2);
    world.syncctl(&["resync", "--all", "--service", "mail"]).expect(2);
    let none = world.syncctl(&["resync", "--all"]).expect(0).stdout;
    assert!(none.contains("no stream"), "{none}");
}
