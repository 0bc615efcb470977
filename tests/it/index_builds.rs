//! An upgrade of the schema while jobs write to its tables.

use std::fs;
use std::path::Path;

use crate::support::waiting::until;
use crate::support::{World, postgres};

/// A build that waits for a snapshot that is older than it is.
const WAITING: &str = "pg_stat_activity
  WHERE datname = current_database() AND query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'";

/// Everything that a migration leaves: columns and indexes.
const SCHEMA: &str = "SELECT concat_ws(' ', table_name, ordinal_position, column_name, data_type, column_default, is_nullable)
  FROM information_schema.columns WHERE table_schema = current_schema()
  UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1";

/// An installation as an earlier version left it, with a user and a series that has a cancelled occurrence.
fn installed(version: i32) -> World {
    let database = postgres::shared().database();
    let mut client = database.connect();
    let begin = "CREATE SCHEMA syncctl; SET search_path = syncctl; CREATE TABLE schema_migrations (
      version int PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";
    client.batch_execute(&format!("ALTER DATABASE {} SET search_path = syncctl; {begin}", database.name())).expect("a schema");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/migrations");
    let mut files: Vec<_> = fs::read_dir(folder).expect("migrations").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    for file in files {
        let (number, name) = file.file_stem().and_then(|name| name.to_str()?.split_once('_')).expect("a number and a name");
        let number: i32 = number.parse().expect("a number");
        if number > version {
            break;
        }
        let text = fs::read_to_string(&file).expect("a migration");
        client.batch_execute(&text).unwrap_or_else(|error| panic!("{number}: {error}"));
        let record = "INSERT INTO schema_migrations VALUES ($1, $2, encode(sha256(convert_to($3, 'UTF8')), 'hex'))";
        client.execute(record, &[&number, &name, &text]).expect("a record");
    }
    let rows = "INSERT INTO users (email) VALUES ('ann@example.com');
      INSERT INTO streams (user_id, service, kind, resource) SELECT id, 'calendar', 'events', 'ann@example.com' FROM users;
      INSERT INTO calendar_events (stream_id, event_id, user_id, calendar_id, status, recurring_event_id, raw, deleted_at)
        SELECT id, 'series', user_id, resource, 'confirmed', NULL, '{\"recurrence\": [\"RRULE:FREQ=DAILY\"]}'::jsonb, NULL FROM streams
        UNION ALL SELECT id, 'series_20261201', user_id, resource, 'cancelled', 'series', '{}', now() FROM streams";
    client.batch_execute(rows).expect("rows");
    let url = database.url();
    World::unmigrated(database, url)
}

#[test]
fn jobs_write_while_an_upgrade_builds_indexes_and_an_interrupted_build_is_made_good() {
    let world = installed(36);
    let mut other = world.database.connect();
    other.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1").expect("a snapshot");
    let old = "pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL AND xact_start < now() - interval '1 second'";
    until("the transaction is old enough to be reported", || world.rows(old) == 1);
    let mut upgrade = world.spawn(&["db", "migrate"]);
    until("the build waits", || world.rows(WAITING) == 1);
    // The schema is current, and the tables are free.
    world.execute("SET lock_timeout = '5min'; UPDATE calendar_events SET summary = 'written'; UPDATE streams SET failures = 1");
    assert_eq!(world.rows("calendar_events WHERE cancels_occurrence"), 1);
    let doctor = world.syncctl(&["doctor"]).stdout;
    assert!(doctor.contains("of its indexes (calendar_events_series, calendar_events_exceptions, "), "{doctor}");

    upgrade.kill().expect("a kill");
    let output = upgrade.wait_with_output().expect("an end");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let waits = "the index calendar_events_series is complete only after open transactions have ended; 1 now, the oldest for ";
    assert!(stderr.contains(waits), "{stderr}");
    world.query(&format!("SELECT pg_terminate_backend(pid) FROM {WAITING}"));
    until("the build has ended", || world.rows(WAITING) == 0);
    assert_eq!(world.rows("pg_index WHERE NOT indisvalid"), 1);
    other.batch_execute("COMMIT").expect("the snapshot is released");
    let upgraded = world.syncctl(&["db", "migrate"]).expect(0).stdout;
    assert!(upgraded.contains("is current") && upgraded.contains("\nbuilt the indexes calendar_events_series, "), "{upgraded}");

    assert_eq!(world.texts(SCHEMA), World::empty().texts(SCHEMA), "as in a new installation");
    assert_eq!(world.rows("pg_index WHERE NOT indisvalid"), 0);
    assert!(!world.syncctl(&["db", "migrate"]).expect(0).stdout.contains("built"));
    assert!(!world.syncctl(&["doctor"]).stdout.contains("of its indexes"));
}
