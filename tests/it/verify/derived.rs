//! Derived rows: lost and changed ones are named, and rebuilt with their old IDs, and no event is sent twice.

use serde_json::Value;

use super::{kind, number, verify};
use crate::support::World;
use crate::support::service::{DRIVE, GMAIL};

/// Damages derived rows; the differences are named and repaired, and the rows are as before.
#[track_caller]
fn assert_repaired(world: &World, (of, difference): (&str, &str), damage: &str, same: &str) {
    let (before, events) = (world.texts(same), world.outbox_events());
    assert!(!before.is_empty(), "nothing to damage");
    world.execute(damage);
    let report = verify(world, &[]).expect(1).json();
    assert!(number(kind(&report, of), difference) > 0, "{damage}: {report}");
    let repaired = verify(world, &["--repair"]).expect(0).json();
    assert_eq!(repaired["consistent"], true, "{damage}: {repaired}");
    assert_eq!(world.texts(same), before, "{damage}");
    assert_eq!(world.outbox_events(), events, "{damage}: sent twice");
    verify(world, &[]).expect(0);
}

#[test]
fn meetings_are_held_against_their_events() {
    let world = World::with_users(2, 20);
    world.sync_all().expect(0);
    world.sim.churn(20, 1);
    world.sync_all().expect(0);
    let report = verify(&world, &[]).expect(0).json();
    assert!(number(kind(&report, "meetings"), "compared") > 0, "{report}");
    let meetings =
        "SELECT (stream_id, event_id, title, start_at, end_at, link, detected_by, event_status)::text FROM meetings ORDER BY 1";
    let passes = world.count("SELECT sum(pass_count)::bigint FROM streams");
    for (damage, difference) in [
        ("DELETE FROM meetings", "missing"),
        ("UPDATE meetings SET title = 'another'", "stale"),
        ("UPDATE meetings SET start_at = start_at + interval '1 hour'", "stale"),
        (
            "INSERT INTO meetings (user_id, stream_id, event_id, detected_by, event_status, bot_capable)
             SELECT user_id, stream_id, event_id, 'title', 'confirmed', false FROM calendar_events e
             WHERE NOT EXISTS (SELECT 1 FROM meetings m WHERE (m.stream_id, m.event_id) = (e.stream_id, e.event_id))",
            "excess",
        ),
    ] {
        assert_repaired(&world, ("meetings", difference), damage, meetings);
    }
    assert_eq!(world.count("SELECT sum(pass_count)::bigint FROM streams"), passes, "what is stored is enough for it");
    let names = "SELECT summary FROM calendar_events WHERE deleted_at IS NULL ORDER BY stream_id, event_id";
    let soon = "start_at BETWEEN now() AND now() + interval '30 days'";
    assert_repaired(&world, ("events", "stale"), &format!("UPDATE calendar_events SET summary = 'another' WHERE {soon}"), names);
}

#[test]
fn instances_are_held_against_their_events() {
    let world = World::with_users(2, 40);
    world.sync_all().expect(0);
    world.churn(20, 1);
    world.sync_all().expect(0);
    let report = verify(&world, &[]).expect(0).json();
    assert!(number(kind(&report, "instances"), "compared") > 0, "{report}");
    let instances =
        "SELECT (stream_id, instance_id, event_id, series_id, during, all_day, start_date, end_date, busy, response, title)::text
        FROM calendar_instances ORDER BY 1";
    let passes = world.count("SELECT sum(pass_count)::bigint FROM streams");
    for (damage, difference) in [
        ("DELETE FROM calendar_instances", "missing"),
        ("DELETE FROM calendar_instances WHERE series_id IS NOT NULL AND lower(during) > now()", "missing"),
        ("UPDATE calendar_instances SET title = 'another'", "stale"),
        ("UPDATE calendar_instances SET busy = NOT busy", "stale"),
        (
            "UPDATE calendar_instances SET during = tstzrange(lower(during) + interval '1 hour', upper(during) + interval '1 hour')",
            "stale",
        ),
        (
            "INSERT INTO calendar_instances (user_id, stream_id, instance_id, event_id, during, all_day, busy)
             SELECT user_id, stream_id, instance_id || '_20270101T000000Z', event_id, during, all_day, busy FROM calendar_instances
             WHERE series_id IS NULL",
            "excess",
        ),
        (
            "INSERT INTO calendar_instances (user_id, stream_id, instance_id, event_id, during, all_day, busy)
             SELECT DISTINCT ON (stream_id) user_id, stream_id, 'unknown', 'unknown', during, all_day, busy FROM calendar_instances",
            "excess",
        ),
    ] {
        assert_repaired(&world, ("instances", difference), damage, instances);
    }
    assert_eq!(world.count("SELECT sum(pass_count)::bigint FROM streams"), passes, "what is stored is enough for it");
}

#[test]
fn documents_of_mail_are_held_against_its_messages() {
    let world = World::of(&GMAIL, 2, 60);
    world.sync_all().expect(0);
    let report = verify(&world, &[]).expect(0).json();
    assert!(number(kind(&report, "documents"), "compared") > 0, "{report}");
    let documents =
        "SELECT (id, user_id, source_id, kind, title, author, body, details, status = 'deleted')::text FROM documents ORDER BY 1";
    for (damage, difference) in [
        ("DELETE FROM documents", "missing"),
        ("UPDATE documents SET status = 'deleted'", "missing"),
        ("UPDATE documents SET title = 'another'", "stale"),
        ("UPDATE documents SET body = 'another'", "stale"),
    ] {
        assert_repaired(&world, ("documents", difference), damage, documents);
    }
    let detections =
        "SELECT (stream_id, message_id, address, status, user_id, document_id)::text FROM gmail_detections ORDER BY 1";
    assert_repaired(&world, ("documents", "missing"), "DELETE FROM gmail_detections", detections);
}

#[test]
fn attachments_of_mail_are_held_against_its_messages_and_read_again() {
    let mut world = World::of(&GMAIL, 1, 0);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.set("SYNCCTL_GMAIL_ATTACHMENTS", "all");
    let user = world.first_user();
    world.sim.admin("mail/attachments", serde_json::json!({ "user": user, "large": 1_000 }));
    world.sync_all().expect(0);
    let report = verify(&world, &[]).expect(0).json();
    assert!(number(kind(&report, "attachments"), "compared") > 0, "{report}");
    let attachments = "SELECT (a.message_id, a.position, a.name, a.size, encode(c.content, 'hex'), a.deleted_at)::text
        FROM gmail_attachments a LEFT JOIN gmail_contents c USING (user_id, sha256) ORDER BY 1";
    for damage in [
        "DELETE FROM gmail_contents",
        "DELETE FROM gmail_attachments WHERE position = 2",
        "UPDATE gmail_attachments SET deleted_at = now()",
    ] {
        assert_repaired(&world, ("attachments", "missing"), damage, attachments);
    }
}

#[test]
fn documents_of_files_are_held_against_the_followed_files() {
    let mut world = World::with_files(1, 5);
    world.service = &DRIVE;
    let user = world.first_user();
    let file = world.add_file(&user, "notes.txt", "One");
    world.watch(&user, &file);
    world.sync_drive().expect(0);
    verify(&world, &[]).expect(0);
    let documents = "SELECT (id, title, body, status = 'deleted')::text FROM documents ORDER BY 1";
    assert_repaired(&world, ("documents", "stale"), "UPDATE documents SET title = 'another'", documents);
    assert_repaired(
        &world,
        ("changes", "stale"),
        "UPDATE drive_files SET name = 'another'",
        "SELECT name FROM drive_files ORDER BY file_id",
    );
    // The text is restored, with an event: readers of documents must learn that it is back.
    let before = world.texts(documents);
    world.execute("DELETE FROM documents");
    assert_eq!(number(kind(&verify(&world, &[]).expect(1).json(), "documents"), "missing"), 1);
    verify(&world, &["--repair"]).expect(0);
    assert_eq!(world.texts(documents), before);
    assert_eq!(world.actions(&user), ["created", "modified"]);
}

#[test]
fn transcripts_their_documents_and_the_bots_of_meetings_are_held_against_the_bots() {
    let world = World::with_attendee(1);
    let link = world.meet("user00000@example.com", "standup", 60);
    world.schedule().expect(0);
    world.pass(120);
    world.poll_bots().expect(0);
    assert_eq!(world.settled_bots(), 1);
    let verified = |more: &[&str]| world.syncctl(&[&["verify", "calendar", "attendee", "--all", "--json"], more].concat());
    verified(&[]).expect(0);
    let same = "SELECT (o.title, o.body, t.text, m.title, m.bot_id, m.transcript_id = t.id)::text
                FROM documents o, attendee_transcripts t, meetings m WHERE m.link IS NOT NULL";
    let before = world.texts(same);
    assert_eq!(before.len(), 1);
    for damage in [
        "DELETE FROM documents",
        "UPDATE documents SET title = 'another'",
        "DELETE FROM attendee_transcripts",
        "DELETE FROM meetings",
    ] {
        world.execute(damage);
        let report: Value = verified(&[]).expect(1).json();
        assert_eq!(report["consistent"], false, "{damage}: {report}");
        verified(&["--repair"]).expect(0);
        assert_eq!(world.texts(same), before, "{damage}");
        verified(&[]).expect(0);
    }
    world.schedule().expect(0);
    assert_eq!(world.bots().iter().filter(|bot| bot["meeting_url"] == link.as_str()).count(), 1, "a second bot");
}
