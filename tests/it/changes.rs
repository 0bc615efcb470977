//! `changes_cursor` and `changes_since`: readers that copy what has changed lose no late commit and read nothing twice.

mod beside;
mod places;
mod replica;
mod rights;
mod writers;

use postgres::Client;
use uuid::Uuid;

use crate::support::World;
use crate::support::reader::{Copy, Death, Read};
use crate::support::waiting::until;

/// A world with a user, and a reader that has read everything.
fn with_reader() -> (World, Uuid, Copy) {
    let world = World::empty();
    let user = world.user("ann@example.com");
    let copy = Copy::of(&world.database.url());
    copy.read();
    (world, user, copy)
}

/// A transaction that has written a message and is not committed.
fn begun(world: &World, id: u32) -> Client {
    let mut client = world.database.connect();
    client.batch_execute(&format!("BEGIN; {}", message(id))).expect("a message");
    client
}

fn message(id: u32) -> String {
    format!(
        "INSERT INTO gmail_messages (stream_id, message_id, user_id, thread_id) VALUES (1, '{id}', gen_random_uuid(), 'thread')"
    )
}

const ONE: Read = Read { rows: 1, twice: 0 };
const NONE: Read = Read { rows: 0, twice: 0 };

#[test]
fn a_page_that_began_earlier_and_commits_later_is_read_then() {
    let (world, _, copy) = with_reader();
    let (mut earlier, mut later) = (begun(&world, 1), begun(&world, 2));
    assert_eq!(copy.read(), NONE);
    later.batch_execute("COMMIT").expect("committed");
    assert_eq!(copy.read(), ONE);
    assert_eq!(copy.read(), NONE);
    // By times, by numbers or by the highest id of a transaction this one would be in the past.
    earlier.batch_execute("COMMIT").expect("committed");
    assert_eq!(copy.read(), ONE);
    assert_eq!(copy.read(), NONE);
}

#[test]
fn a_row_that_two_transactions_change_is_read_in_its_last_state() {
    let (world, _, copy) = with_reader();
    let mut earlier = begun(&world, 1);
    world.execute(&message(2));
    assert_eq!(copy.read(), ONE);
    // The transaction with the lower id changes it last.
    earlier
        .batch_execute(
            "SAVEPOINT inner_one; UPDATE gmail_messages SET subject = 'last', changed_xid = DEFAULT WHERE message_id = '2'; COMMIT",
        )
        .expect("committed");
    assert_eq!(copy.read().rows, 2);
    let mut undone = begun(&world, 3);
    undone.batch_execute("ROLLBACK").expect("rolled back");
    assert_eq!(copy.read(), NONE);
}

#[test]
fn a_reader_that_is_killed_anywhere_reads_nothing_twice_and_misses_nothing() {
    let (world, user, copy) = with_reader();
    for (id, death) in [Death::BeforeStoring, Death::BeforeCommit, Death::AfterCommit].into_iter().enumerate() {
        world.document(&crate::support::library::email(user, &id.to_string(), "Title", "Text"));
        assert_eq!(copy.read_until(death), ONE, "{death:?}");
        let left = if death == Death::AfterCommit { NONE } else { ONE };
        assert_eq!(copy.read(), left, "{death:?}");
    }
}

#[test]
fn a_deleted_meeting_leaves_a_row_for_readers() {
    let world = World::with_users(2, 60);
    world.sync_all().expect(0);
    let copy = Copy::of(&world.database.url());
    assert!(copy.read().rows > 120);
    // A series takes its exceptions along: these first.
    let meetings = world.query(
        "SELECT u.email, m.event_id FROM meetings m JOIN users u ON u.id = m.user_id JOIN calendar_events e USING (stream_id, event_id)
         ORDER BY e.recurring_event_id NULLS LAST",
    );
    assert!(!meetings.is_empty(), "no meeting");
    for row in &meetings {
        world.sim.delete_event(row.get(0), row.get(1));
    }
    world.sync_all().expect(0);
    assert_eq!(world.rows("meetings"), 0);
    assert_eq!(copy.read().twice, 0);
    assert_eq!(world.rows("deleted_meetings"), i64::try_from(meetings.len()).expect("a count"));
    world.execute("UPDATE deleted_meetings SET deleted_at = deleted_at - interval '10 years'");
    world.syncctl(&["db", "prune"]).expect(0);
    assert_eq!(world.rows("deleted_meetings"), 0);
}

#[test]
fn readers_look_up_changes_in_an_index_even_without_statistics() {
    let world = World::with_users(20, 60);
    world.sync_all().expect(0);
    let cursor = world.text("SELECT changes_cursor(NULL)");
    // As in the first minute of an installation; with statistics, a few hundred rows would be read through.
    world.execute("DELETE FROM pg_statistic WHERE starelid = 'calendar_events'::regclass");
    let plan =
        world.texts(&format!("EXPLAIN SELECT * FROM calendar_events WHERE changes_since(changed_xid, '{cursor}')")).join("\n");
    assert!(plan.contains("calendar_events_changed") && !plan.contains("Seq Scan"), "{plan}");
    assert!(!plan.contains("changes_since"), "the call is not replaced by its expression: {plan}");
    // The first read needs no index.
    let all = world.texts("EXPLAIN SELECT * FROM calendar_events WHERE changes_since(changed_xid, NULL)").join("\n");
    assert!(!all.contains("Filter"), "{all}");
}

/// The blocks of statements on docs/readers.md, but for the template of a tool.
#[test]
fn the_statements_of_the_page_run() {
    let (world, user, _) = with_reader();
    world.document(&crate::support::library::email(user, "1", "Title", "Text"));
    world.execute(&message(1));
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/readers.md")).expect("the page");
    let blocks: Vec<&str> = page.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let (templates, plain): (Vec<&str>, Vec<&str>) = blocks.into_iter().partition(|block| block.contains("{{"));
    assert_eq!((templates.len(), plain.len()), (1, 2), "the page has changed");
    for block in plain {
        world.execute(&block.replace("$1", "NULL"));
    }
    // Transactions of other tests, in other databases of the server, hold it up too.
    until("the first message is settled", || world.rows("settled_messages") == 1);
    // As the template reads on, with the largest value so far.
    let condition = templates[0].split("WHERE ").nth(1).and_then(|rest| rest.split('\n').next()).expect("a condition");
    until("the template reads it", || world.rows(&format!("gmail_messages WHERE {condition}")) == 1);
    let largest = world.count("SELECT max(changed_xid) FROM settled_messages");
    let mut earlier = begun(&world, 2);
    world.execute(&message(3));
    let settled = format!("settled_messages WHERE changed_xid > {largest}");
    assert_eq!(world.rows(&settled), 0, "another transaction is open");
    earlier.batch_execute("COMMIT").expect("committed");
    until("both are settled", || world.rows(&settled) == 2);
}
