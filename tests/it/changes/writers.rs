//! Every statement that changes a row says so: each service through first syncs, changes, full passes, repairs and pruning, with a copy beside it.
//! All other tests help: PostgreSQL refuses silent changes in each (see `World::empty`).

use crate::support::World;
use crate::support::reader::Copy;
use crate::support::service::{CALENDAR, DRIVE, GMAIL, Service};

/// Has a reader follow a service through everything that writes.
fn follow(service: &'static Service, damage: &str) {
    let mut world = World::of(service, 4, 20);
    if let Some(page_size) = service.page_size {
        world.set(page_size, "7");
    }
    let copy = Copy::of(&world.database.url());
    copy.read();
    let step = |what: &str| {
        let read = copy.read();
        println!("{}, {what}: {read:?}", service.name);
        assert_eq!((read.twice, copy.read().rows), (0, 0), "{what}");
        read.rows
    };
    world.sync_all().expect(0);
    assert!(step("first sync") > 60);
    for seed in 1..=3 {
        world.churn(60, seed);
        world.sync_all().expect(0);
        assert!(step("changes") > 0);
    }
    // A pass over unchanged items is no change.
    world.expire();
    world.sync_all().expect(0);
    step("full pass");
    world.expire();
    world.sync_all().expect(0);
    assert_eq!(step("full pass without changes"), 0);
    world.churn(40, 9);
    world.expire();
    world.sync_all().expect(0);
    assert!(step("changes in a full pass") > 0);
    world.execute(damage);
    world.syncctl(&["verify", service.name, "--repair"]);
    assert!(step("repair") > 0);
    world.sync_all();
    step("after the repair");
    world.execute(
        "UPDATE gmail_messages SET deleted_at = deleted_at - interval '8 months', changed_xid = DEFAULT WHERE deleted_at IS NOT NULL;
         UPDATE documents SET updated_at = updated_at - interval '8 months', changed_xid = DEFAULT WHERE status = 'deleted'",
    );
    world.set("SYNCCTL_RETENTION_TOMBSTONES", "10000days");
    world.syncctl(&["db", "prune"]).expect(0);
    step("pruned texts");
    assert_eq!(world.rows("quarantined_items"), 0);
}

#[test]
fn every_writer_of_calendars_marks_what_it_changes() {
    follow(
        &CALENDAR,
        "UPDATE calendar_events SET summary = 'damaged', etag = 'damaged', changed_xid = DEFAULT WHERE event_id < 'm'",
    );
}

#[test]
fn every_writer_of_mailboxes_marks_what_it_changes() {
    follow(&GMAIL, "UPDATE gmail_messages SET labels = '{DAMAGED}', changed_xid = DEFAULT WHERE right(message_id, 1) < '8'");
}

#[test]
fn every_writer_of_files_marks_what_it_changes() {
    follow(
        &DRIVE,
        "UPDATE drive_files SET name = 'damaged', changed_xid = DEFAULT WHERE right(file_id, 1) < 'm';
         UPDATE drive_file_access SET name = 'damaged', changed_xid = DEFAULT WHERE right(file_id, 1) < 'm'",
    );
}

#[test]
fn every_writer_of_bots_marks_what_it_changes() {
    let world = World::with_attendee(2);
    let copy = Copy::of(&world.database.url());
    let users = world.emails();
    world.meet(&users[0], "aaa-bbbb-ccc", 30);
    world.schedule();
    copy.read();
    for minutes in [20, 30, 60] {
        world.pass(minutes);
        world.schedule();
        world.poll_bots();
        assert_eq!(copy.read().twice, 0);
    }
    assert!(world.rows("meetings WHERE bot_id IS NOT NULL") > 0, "no meeting has a bot");
}

#[test]
fn a_statement_that_changes_a_row_silently_is_refused_in_every_test() {
    let world = World::empty();
    let user = world.user("ann@example.com");
    world.document(&crate::support::library::email(user, "1", "Title", "Text"));
    let silent = world.write(async |tx| Ok(tx.execute("UPDATE documents SET title = 'silent'", &[]).await.is_err()));
    assert!(silent, "it was not refused");
}
