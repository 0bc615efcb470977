//! Databases without statistics: the first minute of an installation, and of every large first sync.

use crate::support::World;
use crate::support::service::{CALENDAR, DRIVE, GMAIL, Service};
use crate::support::waiting::until;

/// Users, and items of each: enough to reveal a table scan per page.
const USERS: u32 = 60;
const THINGS: u32 = 40;
/// Maximum rows read per row stored.
const MAX_ROWS: i64 = 10;

#[test]
fn a_first_sync_of_calendars_reads_no_table_through_for_each_page() {
    reads_no_table_through(&CALENDAR, "calendar_events");
}

#[test]
fn a_first_sync_of_mailboxes_reads_no_table_through_for_each_page() {
    reads_no_table_through(&GMAIL, "gmail_messages");
}

#[test]
fn a_first_sync_of_files_reads_no_table_through_for_each_page() {
    reads_no_table_through(&DRIVE, "drive_files");
}

fn reads_no_table_through(service: &'static Service, table: &str) {
    let mut world = World::of(service, USERS, THINGS);
    world.set("SYNCCTL_GMAIL_STORE", "all");
    world.set("SYNCCTL_GMAIL_ATTACHMENTS", "all");
    if let Some(page_size) = service.page_size {
        world.set(page_size, "10");
    }
    // The state of tables before autovacuum's first analyze.
    world.execute(
        "DO $$ DECLARE name text; BEGIN
           FOR name IN SELECT relid::regclass FROM pg_stat_user_tables LOOP
             EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = false)', name);
           END LOOP;
         END $$",
    );
    world.sync_all().expect(0);
    let rows = world.rows(table);
    assert!(rows >= i64::from(USERS * THINGS) / 2, "{rows} rows in {table}");
    // A session reports its statistics when it ends.
    let sessions = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    until("the sessions of the run have ended", || world.rows(sessions) == 0);
    let read = world.query(
        "SELECT 'index ' || indexrelname, idx_tup_read FROM pg_stat_user_indexes WHERE idx_tup_read > 0
         UNION ALL SELECT 'table ' || relname, seq_tup_read FROM pg_stat_user_tables WHERE seq_tup_read > 0 ORDER BY 2 DESC LIMIT 5",
    );
    let read: Vec<(String, i64)> = read.iter().map(|row| (row.get(0), row.get(1))).collect();
    println!("{rows} rows stored; {read:?}");
    assert!(read[0].1 <= MAX_ROWS * rows, "{rows} rows were stored, and read were {read:?}");
}

#[test]
fn no_index_of_streams_has_the_time_at_which_they_are_due() {
    let world = World::with_users(1, 1);
    // Each poll moves it: with an index each poll would write to all indexes of its row.
    let indexes = "SELECT count(*) FROM pg_indexes WHERE tablename = 'streams'";
    assert_eq!(world.count(&format!("{indexes} AND indexdef LIKE '%due_at%'")), 0);
    assert!(world.count(indexes) > 0, "it has others");
}
