//! `syncctl db prune`: old rows are deleted, rows in use stay.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::World;

/// Makes the rows of runs this many days old.
fn age_runs(world: &World, days: i32) {
    for service in ["calendar", "drive", "gmail", "attendee"] {
        world.execute(&format!(
            "UPDATE {service}_cron_results SET start_time = start_time - interval '{days} days';
             UPDATE {service}_cron_metrics SET timestamp = timestamp - interval '{days} days';
             UPDATE {service}_cron_summaries SET timestamp = timestamp - interval '{days} days'"
        ));
    }
    world.execute(&format!("UPDATE runs SET started_at = started_at - interval '{days} days'"));
}

fn rows(world: &World) -> [i64; 4] {
    // Each prune has its own row, which is too young to be pruned.
    ["runs WHERE job <> 'db prune'", "calendar_cron_results", "calendar_cron_metrics", "calendar_cron_summaries"]
        .map(|table| world.rows(table))
}

#[test]
fn old_runs_go_with_all_their_rows_and_young_ones_stay() {
    let world = World::with_users(2, 3);
    world.syncctl(&["calendar", "cron"]).expect(0);
    age_runs(&world, 100);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    // A run in progress, however old.
    world.execute(
        "INSERT INTO runs (id, service, job, host, pid, version, status, started_at, alive_until)
         VALUES (gen_random_uuid(), 'calendar', 'calendar cron', 'h', 1, '0', 'running', now() - interval '200 days', now() + interval '1 hour')",
    );
    assert_eq!(rows(&world), [3, 2, 2, 2]);

    let dry = world.syncctl(&["db", "prune", "--dry-run", "--json"]).expect(0).json();
    assert_eq!((dry["rows"].as_u64(), rows(&world)), (Some(4), [3, 2, 2, 2]), "{dry}");
    let tables = dry["tables"].as_array().expect("tables");
    assert_eq!(tables[0]["keep_seconds"].as_u64(), Some(90 * 86_400), "{dry}");
    // Everything was counted.
    assert!(tables.iter().all(|table| table["more"] == false), "{dry}");
    let pruned = world.syncctl(&["db", "prune", "--json"]).expect(0).json();
    assert_eq!((pruned["rows"].as_u64(), rows(&world)), (Some(4), [2, 1, 1, 1]), "{pruned}");
    let again = world.syncctl(&["db", "prune"]).expect(0);
    assert!(again.stdout.starts_with("0 rows deleted"), "{again:?}");

    // As configured, including never.
    age_runs(&world, 100);
    world.syncctl(&["db", "prune", "--set", "retention.runs=0s"]).expect(0);
    assert_eq!(rows(&world), [2, 1, 1, 1]);
    let refused = world.syncctl(&["db", "prune", "--set", "retention.runs=1h"]).expect(78);
    assert!(refused.stderr.contains("retention.runs") && refused.stderr.contains("2days or more"), "{refused:?}");
}

#[test]
fn tombstones_go_but_those_that_a_series_needs_and_the_sync_goes_on() {
    let world = World::with_users(2, 30);
    world.syncctl(&["calendar", "cron"]).expect(0);
    world.churn(60, 7);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    world.execute("UPDATE calendar_events SET deleted_at = deleted_at - interval '400 days'");
    // A cancelled occurrence of a continuing series.
    world.execute(
        "INSERT INTO calendar_events (stream_id, event_id, user_id, calendar_id, status, recurring_event_id, raw, deleted_at)
         SELECT stream_id, event_id || '_20200101', user_id, calendar_id, 'cancelled', event_id, '{}', now() - interval '400 days'
         FROM calendar_events WHERE deleted_at IS NULL LIMIT 1",
    );
    let (alive, dead) = (
        "SELECT count(*) FROM calendar_events WHERE deleted_at IS NULL",
        "SELECT count(*) FROM calendar_events WHERE deleted_at IS NOT NULL",
    );
    let (before, gone) = (world.count(alive), world.count(dead));
    assert!(gone > 2, "{gone} tombstones");
    world.syncctl(&["db", "prune"]).expect(0);
    assert_eq!(world.count(alive), before);
    let remaining = world.rows("calendar_events e WHERE deleted_at IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM calendar_events s WHERE s.stream_id = e.stream_id AND s.event_id = e.recurring_event_id AND s.deleted_at IS NULL)");
    assert!(remaining == 0 && world.rows("calendar_events WHERE event_id LIKE '%\\_20200101'") == 1, "{remaining}");
    world.execute("DELETE FROM calendar_events WHERE event_id LIKE '%\\_20200101'");
    world.churn(20, 8);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
    world.assert_in_step();
}

#[test]
fn more_rows_than_one_statement_takes_go_and_a_limit_is_kept() {
    let world = World::empty();
    world.execute(
        "INSERT INTO gmail_cron_metrics (execution_id, timestamp) SELECT n::text, now() - interval '1 year' FROM generate_series(1, 12000) n;
         INSERT INTO notifications (source, key, received_at) SELECT 'attendee', n::text, now() - interval '1 year' FROM generate_series(1, 6000) n",
    );
    let none = world.syncctl(&["db", "prune", "--max-duration", "0s"]).expect(0);
    assert!(none.stdout.contains("time was up") && world.rows("gmail_cron_metrics") == 12000, "{none:?}");
    let all = world.syncctl(&["db", "prune", "--json"]).expect(0).json();
    assert_eq!(all["rows"].as_u64(), Some(18000), "{all}");
    assert_eq!(world.count("SELECT (SELECT count(*) FROM gmail_cron_metrics) + (SELECT count(*) FROM notifications)"), 0);
}

/// Old rows in every table that is pruned, and in each that keeps some one more that must stay.
fn age_everything(world: &mut World) {
    let settings = world.folder.path().join("settings.toml");
    std::fs::write(
        &settings,
        "[retention]\nquarantine = \"30days\"\n[[outbox.targets]]\nname = \"n8n\"\nurl = \"https://n8n.example.com\"\n",
    )
    .expect("settings");
    world.set("SYNCCTL_CONFIG", settings.display().to_string());
    let old = "now() - interval '2 years'";
    for service in ["calendar", "drive", "gmail", "attendee", "classify"] {
        world.execute(&format!(
            "INSERT INTO {service}_cron_results (execution_id, start_time, status)
               SELECT n, {old}, s FROM unnest(ARRAY['a', 'b', 'c'], ARRAY['completed', 'failed', 'running']) AS t (n, s);
             INSERT INTO {service}_cron_metrics (execution_id, timestamp) VALUES ('a', {old}), ('b', {old}), ('c', {old}), ('d', now());
             INSERT INTO {service}_cron_summaries (timestamp) VALUES ({old}), (now())"
        ));
    }
    for table in ["calendar_watch_renewal_summaries", "calendar_webhook_renewal_summaries", "sync_cron_summaries"] {
        world.execute(&format!("INSERT INTO {table} (timestamp) VALUES ({old}), ({old}), (now())"));
    }
    world.execute(&format!(
        "INSERT INTO runs (id, service, job, host, pid, version, status, started_at, alive_until)
           SELECT gen_random_uuid(), 'calendar', 'calendar cron', 'h', 1, '0', s, {old}, {old} FROM unnest(ARRAY['completed', 'failed', 'running']) s;
         INSERT INTO calendar_events (stream_id, event_id, user_id, calendar_id, status, recurring_event_id, raw, deleted_at)
           SELECT 1, e, gen_random_uuid(), 'c', 'cancelled', s, '{{}}', d FROM (VALUES ('gone', NULL, {old}), ('gone_1', 'gone', {old}),
             ('series', NULL, NULL), ('series_1', 'series', {old}), ('young', NULL, now())) AS t (e, s, d);
         INSERT INTO calendars (user_id, calendar_id, raw, deleted_at) SELECT id, 'gone', '{{}}', {old} FROM users;
         INSERT INTO deleted_meetings (id, user_id, stream_id, event_id, deleted_at)
           SELECT gen_random_uuid(), gen_random_uuid(), 1, 'gone', d FROM unnest(ARRAY[{old}, now()]) d;
         INSERT INTO gmail_messages (stream_id, message_id, user_id, thread_id, body, deleted_at)
           VALUES (1, 'gone', gen_random_uuid(), 't', 'x', {old}), (1, 'young', gen_random_uuid(), 't', 'x', now());
         INSERT INTO gmail_attachments (stream_id, message_id, position, user_id, mime_type, size, inline, not_stored, deleted_at)
           SELECT 1, 'gone', 1 + row_number() OVER (), gen_random_uuid(), 'x/y', 1, false, 'excluded', d FROM unnest(ARRAY[{old}, now(), NULL]) d;
         INSERT INTO gmail_contents (user_id, sha256, size, content, unused_at)
           SELECT gen_random_uuid(), '', 0, '', d FROM unnest(ARRAY[{old}, now(), NULL]) d;
         INSERT INTO gmail_labels (stream_id, label_id, user_id, kind, deleted_at)
           VALUES (1, 'Label_1', gen_random_uuid(), 'user', {old}), (1, 'Label_2', gen_random_uuid(), 'user', now());
         INSERT INTO documents (user_id, source, source_id, kind, body, status, content_hash, updated_at)
           SELECT id, 'drive', s, 'file', 'x', s, '', {old} FROM users, unnest(ARRAY['active', 'deleted']) s;
         INSERT INTO drive_file_watches (user_id, file_id) SELECT id, 'followed' FROM users;
         INSERT INTO drive_file_access (stream_id, file_id, user_id, content_key, deleted_at)
           SELECT row_number() OVER (), f, id, '', {old} FROM users, unnest(ARRAY['gone', 'followed']) f;
         INSERT INTO drive_files (file_id, raw, deleted_at) VALUES ('gone', '{{}}', {old}), ('followed', '{{}}', {old});
         INSERT INTO drives (user_id, drive_id, raw, deleted_at) SELECT id, 'gone', '{{}}', {old} FROM users;
         INSERT INTO quarantined_items (stream_id, item_id, raw, error, last_tried_at)
           SELECT id, kind, '', '', {old} FROM streams UNION ALL SELECT id, 'young', '', '', now() FROM streams;
         INSERT INTO model_usage SELECT d, 'api.example.com', 'm', 1, 1, 1, 1, 0 FROM unnest(ARRAY[({old})::date, now()::date]) d;
         INSERT INTO notifications (source, key, received_at) VALUES ('attendee', 'a', {old}), ('attendee', 'b', {old}), ('attendee', 'c', now());
         INSERT INTO outbox_events (id, type, subject, user_id, payload, created_at, routed)
           SELECT gen_random_uuid(), 't', gen_random_uuid(), gen_random_uuid(), '{{}}', {old}, routed FROM unnest(ARRAY[true, true, true, false]) routed;
         INSERT INTO outbox_deliveries (event_id, target, seq, subject) SELECT id, 'n8n', seq, subject FROM outbox_events WHERE seq = 1"
    ));
}

/// Suffix for a table of which only the texts are pruned.
const TEXTS: &str = " texts";

#[test]
fn a_dry_run_counts_in_every_table_what_a_run_then_deletes() {
    let mut world = World::with_users(2, 3);
    world.syncctl(&["calendar", "cron"]).expect(0);
    age_everything(&mut world);
    let rows = |arguments: &[&str]| -> BTreeMap<String, u64> {
        let report = world.syncctl(&[&["db", "prune", "--json"], arguments].concat()).expect(0).json();
        let of = |table: &Value| {
            let name = table["table"].as_str().expect("a name");
            let texts = if table["texts"] == true { TEXTS } else { "" };
            (format!("{name}{texts}"), table["rows"].as_u64().expect("a count"))
        };
        let tables: BTreeMap<_, _> = report["tables"].as_array().expect("tables").iter().map(of).collect();
        assert_eq!(report["rows"].as_u64(), Some(tables.values().sum()), "{report}");
        tables
    };
    let foretold = rows(&["--dry-run"]);
    let untouched: Vec<_> = foretold.iter().filter(|(_, rows)| **rows == 0).collect();
    assert!(foretold.len() > 20 && untouched.is_empty(), "nothing old in {untouched:?}");
    // The run that deletes has its own row.
    let other = "to_jsonb(t) ->> 'job' IS DISTINCT FROM 'db prune'";
    let kept = |table: &str| world.rows(&format!("{table} t WHERE {other}"));
    let of_rows = || foretold.iter().filter(|(table, _)| !table.ends_with(TEXTS));
    let before: BTreeMap<_, _> = of_rows().map(|(table, _)| (table, kept(table))).collect();
    assert_eq!(rows(&[]), foretold);
    for (table, rows) in of_rows() {
        assert_eq!(kept(table), before[table] - i64::try_from(*rows).expect("few"), "{table}");
    }
    assert!(rows(&["--dry-run"]).values().all(|rows| *rows == 0));
}

/// Adding a growing table requires a rule for pruning it.
#[test]
fn every_table_with_runs_is_pruned_by_an_index() {
    let world = World::empty();
    let unindexed = world.query(
        "SELECT c.relname::text FROM pg_class c
         WHERE c.relkind = 'r' AND c.relname ~ '_cron_(results|metrics|summaries)$|_renewal_summaries$|^runs$' AND NOT EXISTS (
           SELECT 1 FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
           WHERE i.indrelid = c.oid AND a.attname IN ('timestamp', 'start_time', 'started_at'))",
    );
    let names: Vec<String> = unindexed.iter().map(|row| row.get(0)).collect();
    assert!(names.is_empty(), "no index by time: {names:?}");
    let tables = world.query("SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relname ~ '_cron_(results|metrics|summaries)$|_renewal_summaries$|^runs$'");
    let shown = world.syncctl(&["db", "prune", "--dry-run", "--json"]).expect(0).stdout;
    for table in tables.iter().map(|row| row.get::<_, String>(0)) {
        assert!(shown.contains(&format!("\"{table}\"")), "{table} is never pruned: {shown}");
    }
}
