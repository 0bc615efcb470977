//! Cursors of other places and times: they are refused, and rows that come from there are not taken for changes.

use rustix::process::{Pid, Signal, kill_process};

use super::{NONE, ONE, message, with_reader};
use crate::support::postgres::Postgres;
use crate::support::reader::{Copy, Death};
use crate::support::{World, pgbouncer};

/// What the database says to a cursor.
fn refusal(copy: &Copy) -> String {
    let error = copy.try_read(Death::Never).expect_err("the cursor is refused");
    error.as_db_error().expect("an answer of the server").message().to_owned()
}

#[test]
fn a_cursor_of_another_database_is_refused_and_says_what_to_do() {
    let (world, _, copy) = with_reader();
    let own = copy.cursor().expect("a cursor");
    let try_cursor = |cursor: &str| {
        let error = world.database.connect().query_one("SELECT changes_cursor($1)", &[&cursor]).expect_err("refused");
        let error = error.as_db_error().expect("an answer of the server").clone();
        (error.message().to_owned(), error.hint().unwrap_or_default().to_owned())
    };
    let other = World::empty().text("SELECT changes_cursor(NULL)");
    // Another database of the server, another server, another timeline.
    let (place, snapshot) = own.split_once('/').expect("place and snapshot");
    let parts: Vec<&str> = place.split('.').collect();
    let other_server = format!("1.{}/{snapshot}", parts[1..].join("."));
    let other_timeline = format!("{}.7.{}/{snapshot}", parts[0], parts[2..].join("."));
    for foreign in [other, other_server, other_timeline] {
        let (message, hint) = try_cursor(&foreign);
        assert!(message.contains("not of this database") && hint.contains("read everything"), "{foreign}: {message} {hint}");
    }
    for broken in ["", "2026-12-01", "1:1:", &own[1..own.len() - 4], &format!("{place}/9:8")] {
        let (message, _) = try_cursor(broken);
        assert!(message.contains("not a cursor") || message.contains("not of this database"), "{broken}: {message}");
    }
    let (message, hint) = try_cursor(&format!("{place}/1:99999999999:"));
    assert!(message.contains("ahead of this server") && hint.contains("replica"), "{message} {hint}");
}

#[test]
fn rows_of_a_restored_dump_are_no_changes() {
    let (world, user, copy) = with_reader();
    for id in 0..3 {
        world.document(&crate::support::library::email(user, &id.to_string(), "Title", "Text"));
    }
    copy.read();
    // The ids of a server that has seen many more transactions.
    world.execute("UPDATE documents SET changed_xid = changed_xid + 1000000000000 WHERE source_id <> '0'");
    assert_eq!(copy.read(), NONE);
    world.syncctl(&["db", "migrate"]).expect(0);
    assert_eq!(world.rows("documents WHERE changed_xid IS NULL"), 2);
    assert_eq!(copy.read(), NONE);
    // The first read of a reader has them, whatever their ids.
    copy.forget();
    copy.read();
    world.document(&crate::support::library::email(user, "1", "New title", "Text"));
    assert_eq!(copy.read(), ONE);
}

#[test]
fn a_restore_of_the_same_database_ends_its_cursors() {
    let server = crate::ground::private();
    crate::ground::start(&server.cluster);
    let backup = server.folder.join("backup");
    let backup = backup.to_str().expect("a path");
    let run = |arguments: &[&str]| {
        let ran = crate::ground::syncctl(&server, arguments).output().expect("syncctl");
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    };
    run(&["db", "migrate"]);
    let copy = Copy::of(&server.url("syncctl"));
    copy.read();
    run(&["db", "dump", backup]);
    assert_eq!(copy.read(), NONE);
    run(&["db", "restore", "--replace", backup]);
    assert!(refusal(&copy).contains("older than a restore"));
    copy.forget();
    copy.read();
    server.connect("syncctl").batch_execute(&message(1)).expect("a row");
    assert_eq!(copy.read(), ONE);
}

/// A server that ends like a machine without power forgets transactions that changed nothing, and gives their ids to others.
#[test]
fn ids_that_a_crashed_server_gives_out_again_are_not_taken_for_known_ones() {
    // As by default, a commit is on disk before others see it; nothing else is written soon.
    let server = Postgres::new(None, &["synchronous_commit = on", "wal_writer_delay = '10s'"]);
    crate::ground::start(&server.cluster);
    let ran = crate::ground::syncctl(&server, &["db", "migrate"]).output().expect("syncctl");
    assert!(ran.status.success(), "{ran:?}");
    let copy = Copy::of(&server.url("syncctl"));
    let mut client = server.connect("syncctl");
    client.batch_execute(&message(1)).expect("a row");
    for _ in 0..20 {
        client.batch_execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK").expect("nothing");
    }
    let known: i64 = client
        .query_one("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint", &[])
        .expect("the end of what is known")
        .get(0);
    copy.read();
    let pid = server.cluster.status().expect("a status").pid.expect("a server");
    kill_process(Pid::from_raw(pid).expect("a pid"), Signal::QUIT).expect("an immediate shutdown");
    server.cluster.stop().expect("down");
    crate::ground::start(&server.cluster);
    let mut client = server.connect("syncctl");
    client.batch_execute(&message(2)).expect("a row");
    let again: i64 = client.query_one("SELECT max(changed_xid) FROM gmail_messages", &[]).expect("an id").get(0);
    assert!(again < known, "the server gives out no id again: {again}, {known} known");
    assert_eq!(copy.read(), ONE);
}

#[test]
fn a_reader_behind_a_pooler_reads_the_same() {
    let (world, _, _) = with_reader();
    let copy = Copy::of(&pgbouncer::shared().url(world.database.name()));
    copy.read();
    world.execute(&message(1));
    assert_eq!(copy.read(), ONE);
}

#[test]
fn the_private_cluster_serves_logical_replication_if_that_is_set() {
    let server = crate::ground::private();
    let run = |arguments: &[&str], logical: &str| {
        let mut command = crate::ground::syncctl(&server, arguments);
        let ran = command.env("SYNCCTL_DB_LOGICAL_REPLICATION", logical).output().expect("syncctl");
        assert!(ran.status.success(), "{arguments:?}: {ran:?}");
    };
    run(&["db", "migrate"], "false");
    let level = || server.connect("syncctl").query_one("SHOW wal_level", &[]).expect("a setting").get::<_, String>(0);
    assert_eq!(level(), "minimal");
    run(&["db", "stop"], "true");
    run(&["db", "start"], "true");
    assert_eq!(level(), "logical");
    let mut client = server.connect("syncctl");
    client.batch_execute("CREATE PUBLICATION readers FOR TABLE gmail_messages").expect("a publication");
    client.batch_execute("SELECT pg_create_logical_replication_slot('reader', 'pgoutput')").expect("a slot");
    client.batch_execute(&message(1)).expect("a row");
    let sent = "SELECT count(*) FROM pg_logical_slot_get_binary_changes('reader', NULL, NULL, 'proto_version', '1', 'publication_names', 'readers')
      WHERE get_byte(data, 0) = ascii('I')";
    assert_eq!(client.query_one(sent, &[]).expect("changes").get::<_, i64>(0), 1);
    // A reader that stays away does not fill the disk.
    let bound = client.query_one("SHOW max_slot_wal_keep_size", &[]).expect("a setting").get::<_, String>(0);
    assert_eq!(bound, "4GB");
}
