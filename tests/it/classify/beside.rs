//! Events concurrent with a run: decisions and texts that change, and statements that fail or read too much.

use serde_json::json;
use syncctl::db::documents::Document;

use super::{Desk, by};
use crate::support::library::email;
use crate::support::waiting::until;

/// Waits until a session waits for a lock, or a process has ended.
fn until_waits_or_ends(desk: &Desk, run: &mut std::process::Child) {
    until("it waits or ends", || desk.world.lock_waits() > 0 || run.try_wait().expect("a process").is_some());
}

#[test]
fn a_text_that_changes_while_its_document_leaves_the_queue_is_judged() {
    let desk = Desk::new();
    let (first, second) = (desk.mail("m1", "t1", "bob@example.com", "a"), desk.mail("m2", "t1", "bob@example.com", "b"));
    desk.assign(&[(first, "Bridge")]);
    desk.cron();
    // Already classified by this model: the only work is to dequeue it.
    desk.world.execute(&format!("INSERT INTO classify_queue SELECT id, user_id FROM documents WHERE id = '{second}'"));
    let mut hold = desk.world.database.connect();
    // As `documents::put` does it: the document is in the queue already.
    hold.batch_execute(&format!(
        "BEGIN; UPDATE documents SET body = 'new', content_hash = content_hash || '\\x01'::bytea WHERE id = '{second}'"
    ))
    .expect("a new text");
    let mut run = desk.world.spawn(&["classify", "cron"]);
    until_waits_or_ends(&desk, &mut run);
    hold.batch_execute("COMMIT").expect("the text is new");
    assert!(run.wait_with_output().expect("the run ends").status.success());
    desk.cron();
    let judged = "document_judgements j JOIN documents d ON d.id = j.document_id AND d.content_hash = j.content_hash";
    assert_eq!((desk.world.rows(judged), desk.queued()), (1, 0));
}

#[test]
fn an_assignment_that_meets_a_deadlock_is_repeated() {
    let desk = Desk::new();
    let document = desk.mail("m1", "t1", "bob@example.com", "a");
    let mut hold = desk.world.database.connect();
    // This transaction never gives up: the decision is the deadlock's victim.
    hold.batch_execute(&format!(
        "SET deadlock_timeout = '1h'; BEGIN; SELECT 1 FROM documents WHERE id = '{document}' FOR UPDATE"
    ))
    .expect("the document");
    let mut said = desk.world.spawn(&["projects", "assign", &document.to_string(), "Bridge"]);
    until_waits_or_ends(&desk, &mut said);
    hold.batch_execute("SELECT 1 FROM users FOR UPDATE; COMMIT").expect("the user");
    let ended = said.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!((desk.holds(document), desk.events(document).len()), (by("human", "Bridge"), 1));
}

#[test]
fn a_lesson_that_cannot_be_stored_is_named_and_learnt_once_it_can() {
    let desk = Desk::new();
    let (first, second) = (desk.mail("m1", "t1", "bob@example.com", "a"), desk.mail("m2", "t1", "bob@example.com", "b"));
    desk.assign(&[(first, "Bridge")]);
    desk.world.execute(
        "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE data_exception; END $$;
         CREATE TRIGGER full_disk BEFORE INSERT ON project_models FOR EACH ROW EXECUTE FUNCTION full_disk()",
    );
    let output = desk.world.syncctl(&["classify", "cron", "--json"]).expect(1);
    assert!(output.stdout.contains("the lesson could not be stored: see `syncctl items list`"), "{}", output.stdout);
    assert_eq!((desk.holds(second), output.json()["failed_streams"].clone()), (None, json!(1)));
    desk.world.execute("DROP TRIGGER full_disk ON project_models; UPDATE streams SET due_at = now()");
    desk.cron();
    assert_eq!((desk.holds(second), desk.queued()), (by("kin", "Bridge"), 0));
}

#[test]
fn a_transcript_finds_its_kin_without_reading_every_meeting() {
    const MEETINGS: i64 = 20_000;
    let desk = Desk::new();
    let user = desk.user;
    desk.world.execute(&format!(
        "INSERT INTO meetings (id, user_id, stream_id, event_id, detected_by, event_status)
           SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, '{user}', 1, 'e' || n, 'link', 'confirmed'
           FROM generate_series(1, {MEETINGS}) n;
         INSERT INTO calendar_events (stream_id, event_id, user_id, calendar_id, status, ical_uid, raw)
           SELECT 1, 'e' || n, '{user}', 'c', 'confirmed', 'series' || n / 2, '{{}}' FROM generate_series(1, {MEETINGS}) n;
         ANALYZE meetings; ANALYZE calendar_events"
    ));
    let transcript = |n: u32| {
        let id = format!("00000000-0000-4000-8000-{n:012}");
        let details = json!({ "meeting_id": id });
        desk.world.document(&Document { source: "attendee", details, ..email(user, &format!("b{n}"), "", "words") })
    };
    let all: Vec<_> = (2..=41).map(transcript).collect();
    let said: Vec<_> = all.iter().step_by(2).map(|document| (*document, "Bridge")).collect();
    desk.assign(&said);
    let read = || desk.world.count("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'meetings'");
    let before = read();
    desk.cron();
    assert_eq!(desk.holds(all[1]), by("kin", "Bridge"));
    assert!(read() - before < MEETINGS, "{} rows read one by one", read() - before);
}
