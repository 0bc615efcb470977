//! Doctor and operation: jobs that do not run, quotas, channels, deliveries, quarantine.

use super::{doctor, synced};
use crate::support::World;

#[test]
fn jobs_that_never_ran_are_late_died_or_failed_are_reported() {
    let world = World::with_users(1, 3);
    world.sync_all().expect(0);
    doctor(&world, &[]).has("ok", "`calendar cron` ran").has("fail", "`gmail cron` has never run");
    world.syncctl(&["sync", "cron"]).expect(0);
    assert_eq!(doctor(&world, &[]).lines("fail"), Vec::<String>::new());
    world.age_runs("gmail cron", "3 hours");
    doctor(&world, &[]).has("fail", "`gmail cron` last ran 3h");
    world.execute(
        "UPDATE runs SET status = 'running', ended_at = NULL, alive_until = now() - interval '1 minute' WHERE job = 'drive cron'",
    );
    doctor(&world, &[]).has("warn", "a run of `drive cron` on");
    world.execute(
        "UPDATE runs SET status = 'failed' WHERE job = 'calendar cron';
         UPDATE calendar_cron_results SET status = 'failed', error_message = 'the database went away'",
    );
    doctor(&world, &[]).has("fail", "the last run of `calendar cron` failed: the database went away");
    // A disabled service needs no job.
    let report = doctor(&world, &["--set", "gmail.enabled=false"]);
    assert!(!report.lines("fail").join("").contains("gmail"), "{:?}", report.lines("fail"));
}

#[test]
fn a_job_is_late_by_its_own_measure() {
    let world = synced(1);
    world.execute(
        "INSERT INTO runs (id, service, job, host, pid, version, status, started_at, alive_until, ended_at)
         SELECT gen_random_uuid(), 'gmail', 'gmail cron', 'h', 1, '0', 'completed', t, t, t
         FROM generate_series(now() - interval '100 minutes', now() - interval '20 minutes', interval '2 minutes') t;
         DELETE FROM runs WHERE job = 'gmail cron' AND host <> 'h'",
    );
    doctor(&world, &[]).has("fail", "`gmail cron` last ran 20m").has("fail", "usually every 2m");
}

#[test]
fn silent_refused_and_expiring_channels_are_reported() {
    let world = synced(2);
    world.execute(
        "INSERT INTO channels (id, stream_id, user_id, service, state, address, token_hash, expires_at)
           SELECT gen_random_uuid(), id, user_id, service, 'live', 'https://x', '\\x00', now() + interval '30 minutes' FROM streams WHERE kind = 'events';
         INSERT INTO channels (id, stream_id, user_id, service, state, address, token_hash)
           SELECT gen_random_uuid(), id, user_id, service, 'refused', 'https://x', '\\x00' FROM streams WHERE kind = 'calendar_list';
         UPDATE streams SET push_missed = 9 WHERE id = (SELECT min(id) FROM streams WHERE kind = 'events')",
    );
    let report = doctor(&world, &[]);
    report.has("warn", "calendar: 1 of 2 do not announce changes").has("warn", "calendar: Google refuses 2");
    report.has("warn", "calendar: 2 of 2 expire within the hour");
}

#[test]
fn waiting_and_dead_deliveries_of_configured_targets_are_reported() {
    let mut world = synced(1);
    world.execute(
        "INSERT INTO outbox_events (id, type, subject, user_id, payload, created_at, routed)
           SELECT gen_random_uuid(), 't', gen_random_uuid(), id, '{}', now() - interval '5 hours', true FROM users, generate_series(1, 2);
         INSERT INTO outbox_deliveries (event_id, target, seq, subject, state)
           SELECT id, 'n8n', seq, subject, CASE WHEN seq = (SELECT min(seq) FROM outbox_events WHERE type = 't') THEN 'dead' ELSE 'pending' END
           FROM outbox_events WHERE type = 't';
         INSERT INTO outbox_targets (target, failures, last_error) VALUES ('n8n', 7, 'HTTP 502')",
    );
    assert_eq!(doctor(&world, &[]).lines("warn").len(), 1, "of a target that is gone");
    world
        .set("SYNCCTL_OUTBOX_TARGETS", "[{ name = \"n8n\", url = \"https://n8n.invalid/hook\", secret = \"0123456789abcdef\" }]");
    let report = doctor(&world, &[]);
    report
        .has("warn", "n8n failed 7 times in a row: HTTP 502")
        .has("warn", "1 events for n8n were given up")
        .has("warn", "1 events wait for n8n, the oldest for 5h");
}

#[test]
fn a_spent_or_paused_quota_is_reported() {
    let mut world = synced(1);
    world.set("SYNCCTL_QUOTA_GMAIL_PER_DAY", "1000");
    world.execute(
        "INSERT INTO quota_usage SELECT 'gmail', project, 'day',
           date_trunc('day', now() AT TIME ZONE 'America/Los_Angeles') AT TIME ZONE 'America/Los_Angeles', 900 FROM accounts
           ON CONFLICT (service, subject, span, window_start) DO UPDATE SET units = 900;
         INSERT INTO quota_pauses SELECT 'drive', project, now() + interval '2 hours', 'dailyLimitExceeded' FROM accounts",
    );
    let report = doctor(&world, &["--offline"]);
    report.has("warn", "90 % of the day's units are spent").has("fail", "drive, project").has("fail", "dailyLimitExceeded");
}

#[test]
fn failing_streams_and_quarantined_items_are_reported_with_their_remedies() {
    let world = synced(1);
    world.execute(
        "UPDATE streams SET failures = 2, failed_class = 'api_disabled', failed_message = 'accessNotConfigured' WHERE service = 'drive';
         UPDATE streams SET state = 'degraded' WHERE service = 'gmail';
         INSERT INTO quarantined_items (stream_id, item_id, raw, error) SELECT min(id), 'x', '{}', 'odd' FROM streams",
    );
    let report = doctor(&world, &[]);
    report.has("fail", "drive: 2 streams of 1 owners fail: api_disabled: accessNotConfigured (of 2 streams)");
    report.has("warn", "gmail: 1 streams are degraded").has("warn", "1 items could not be applied");
}

#[test]
fn documents_that_wait_for_a_disabled_classification_are_counted() {
    let world = World::empty();
    let user = world.user("ann@example.com");
    world.syncctl(&["projects", "add", "ann@example.com", "Bridge"]).expect(0);
    let off = ["--set", "classify.enabled=false"];
    let about = |report: &super::Found| report.lines("warn").into_iter().filter(|line| line.contains("classify")).count();
    assert_eq!(about(&doctor(&world, &off)), 0, "nothing waits");
    for n in 0..3 {
        world.document(&crate::support::library::email(user, &format!("m{n}"), "", "steel"));
    }
    doctor(&world, &off).has("warn", "3 documents are waiting for classification, but classify.enabled is false");
    assert_eq!(about(&doctor(&world, &[])), 0);
    // Once it is on, they are classified.
    world.syncctl(&["classify", "cron"]).expect(0);
    assert_eq!(world.rows("document_judgements"), 3);
}
