//! Files polled individually.

use serde_json::{Value, json};

use crate::support::World;
use crate::support::waiting::until;

fn poll(world: &World, file: &str) -> Value {
    world.syncctl(&["drive", "poll", file, "--json"]).expect(0).json()
}

#[test]
fn a_file_is_polled_for_each_user_who_follows_it_and_no_position_moves() {
    let world = World::with_files(3, 4);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let file = world.add_file(&users[0], "a.txt", "One");
    world.sim.admin("drive/share", json!({ "id": file, "user": users[1] }));
    world.sync_drive().expect(0);
    world.watch(&users[0], &file);
    world.watch(&users[1], &file);
    world.sync_drive().expect(0);
    let positions = "SELECT md5(string_agg(s::text, '' ORDER BY id)) FROM streams s";
    let before: String = world.query(positions)[0].get(0);
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "Two" }));
    world.sim.reset_ledger();
    let report = poll(&world, &file);
    assert_eq!(world.sim.ledger()["by_method"], json!({ "files.get": 2, "files.download": 2 }));
    assert_eq!(report["covered"], json!({ "total": 2, "failed": 0 }));
    assert_eq!(world.documents_with("Two"), 2);
    assert_eq!(world.query(positions)[0].get::<_, String>(0), before);
    // Afterwards the feed delivers the same version: nothing new.
    world.sync_drive().expect(0);
    for user in &users[..2] {
        assert_eq!(world.actions(user), ["created", "modified"]);
    }
    let rows = "drive_cron_results WHERE status = 'completed' AND total_files = 2 AND successful_polls = 2";
    assert!(world.rows(rows) >= 1);
}

#[test]
fn an_unwatched_file_is_polled_for_a_user_who_sees_it_and_an_unknown_one_is_refused() {
    let world = World::with_files(2, 4);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let file = world.add_file(&users[0], "a.txt", "One");
    world.sync_drive().expect(0);
    world.drive_admin("PUT", "files", &json!({ "id": file, "name": "b.txt" }));
    poll(&world, &file);
    world.assert_files_in_step();
    let unknown = world.syncctl(&["drive", "poll", "nosuchfile"]).expect(2);
    assert!(unknown.stderr.contains("watch-file add"), "{}", unknown.stderr);
    // Deleted at Google: access is lost, which is not a failure.
    world.drive_admin("DELETE", "files", &json!({ "id": file }));
    assert_eq!(poll(&world, &file)["changes"]["changes"]["deleted"], 1);
    world.assert_files_in_step();
}

#[test]
fn a_followed_file_is_polled_before_its_user_was_ever_synced() {
    let world = World::with_files(1, 2);
    let user = world.first_user();
    let file = world.add_file(&user, "a.txt", "One");
    world.watch(&user, &file);
    poll(&world, &file);
    assert_eq!(world.documents_with("One"), 1);
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&user), ["created"]);
}

#[test]
fn a_poll_that_is_overtaken_by_the_feed_announces_nothing_twice() {
    let world = World::with_files(1, 2);
    let user = world.first_user();
    let file = world.add_file(&user, "a.txt", "One");
    world.watch(&user, &file);
    world.sync_drive().expect(0);
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "Two" }));
    world.sim.fault(json!({ "fault": "stall", "method": "files.download", "probability": 1.0, "times": 1 }));
    let mut poll = world.spawn(&["drive", "poll", &file]);
    world.wait_for_stall();
    world.sim.clear_faults();
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&user), ["created", "modified"]);
    world.sim.admin("release", json!({}));
    assert!(poll.wait().expect("it ends").success());
    assert_eq!(world.actions(&user), ["created", "modified"]);
    assert_eq!(world.documents_with("Two"), 1);
}

#[test]
fn batch_poll_skips_a_bad_id_and_polls_the_others() {
    let world = World::with_files(1, 2);
    let user = world.first_user();
    let files = [world.add_file(&user, "a.txt", "A"), world.add_file(&user, "b.txt", "B")];
    files.iter().for_each(|file| world.watch(&user, file));
    world.sync_drive().expect(0);
    for file in &files {
        world.drive_admin("PUT", "files", &json!({ "id": file, "content": "New" }));
    }
    let output = world.syncctl(&["drive", "batch-poll", &files[0], "nosuchfile", &files[1], "--json"]).expect(1);
    assert!(output.stderr.contains("nosuchfile"), "{}", output.stderr);
    let report = output.json();
    assert_eq!((&report["status"], &report["covered"]), (&json!("partial"), &json!({ "total": 3, "failed": 1 })), "{report}");
    assert_eq!(world.documents_with("New"), 2);
    // Without IDs: every feed.
    let all = world.syncctl(&["drive", "batch-poll", "--json"]).expect(0).json();
    assert_eq!((&all["streams"], &all["covered"]["total"]), (&json!(2), &json!(2)));
}

#[test]
fn smart_poll_says_why_it_skips_and_force_polls_anyway() {
    let world = World::with_files(1, 2);
    let user = world.first_user();
    let file = world.add_file(&user, "a.txt", "A");
    world.watch(&user, &file);
    world.sync_drive().expect(0);
    world.sim.reset_ledger();
    let skipped = world.syncctl(&["drive", "smart-poll", &file]).expect(0);
    assert!(skipped.stdout.contains("due in"), "{}", skipped.stdout);
    assert_eq!(world.sim.ledger()["total"], 0);
    world.syncctl(&["drive", "smart-poll", &file, "--force"]).expect(0);
    assert_eq!(world.sim.ledger()["by_method"], json!({ "files.get": 1 }));
    world.execute("UPDATE streams SET due_at = now() - interval '1 minute' WHERE kind = 'changes'");
    world.syncctl(&["drive", "smart-poll", &file]).expect(0);
    assert_eq!(world.sim.ledger()["by_method"], json!({ "files.get": 2 }));
}

#[test]
fn a_failed_poll_of_one_user_is_reported_and_leaves_the_feed_alone() {
    let mut world = World::with_files(1, 2);
    let user = world.first_user();
    let file = world.add_file(&user, "a.txt", "A");
    world.watch(&user, &file);
    world.sync_drive().expect(0);
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    world.sim.fault(json!({ "fault": "server_500", "method": "files.get", "probability": 1.0 }));
    let failed = world.syncctl(&["drive", "poll", &file, "--json"]).expect(69).json();
    assert_eq!(failed["covered"], json!({ "total": 1, "failed": 1 }));
    assert_eq!(world.failing_streams(), 0);
    world.sim.clear_faults();
    // A dry run writes nothing.
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "B" }));
    world.syncctl(&["drive", "poll", &file, "--dry-run"]).expect(0);
    assert_eq!(world.documents_with("B"), 0);
    world.syncctl(&["drive", "poll", &file]).expect(0);
    assert_eq!(world.documents_with("B"), 1);
}

#[test]
fn a_poll_that_is_the_victim_of_a_deadlock_is_written_again() {
    let world = World::with_files(1, 2);
    let user = world.sim.users().into_iter().next().expect("a user");
    let file = world.add_file(&user, "a.txt", "One");
    world.watch(&user, &file);
    world.sync_drive().expect(0);
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "Two" }));
    let mut hold = world.database.connect();
    // This transaction never gives up: the poll is the deadlock's victim.
    hold.batch_execute(&format!(
        "SET deadlock_timeout = '1h'; BEGIN; SELECT FROM drive_files WHERE file_id = '{file}' FOR UPDATE"
    ))
    .expect("the file");
    let mut run = world.spawn(&["drive", "poll", &file, "-v"]);
    // The poll holds its stream and waits for the file.
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    until("it waits or ends", || world.count(waits) > 0 || run.try_wait().expect("a process").is_some());
    assert!(run.try_wait().expect("a process").is_none(), "it does not wait");
    hold.batch_execute("SELECT FROM streams FOR UPDATE; COMMIT").expect("the streams");
    let ended = run.wait_with_output().expect("it ends");
    let log = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success() && log.contains("writing the item again"), "{log}");
    assert_eq!(world.count("SELECT count(*) FROM documents WHERE body = 'Two'"), 1);
}

#[test]
fn a_poll_that_postgresql_always_gives_up_for_another_fails() {
    let world = World::with_files(1, 2);
    let user = world.sim.users().into_iter().next().expect("a user");
    let file = world.add_file(&user, "a.txt", "One");
    world.sync_drive().expect(0);
    world.drive_admin("PUT", "files", &json!({ "id": file, "name": "b.txt" }));
    // A sequence does not roll back with its transaction.
    world.execute(
        "CREATE SEQUENCE writes;
         CREATE FUNCTION die_often() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF nextval('writes') < 100 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF; RETURN NULL; END $$;
         CREATE TRIGGER die_often AFTER INSERT ON drive_files FOR EACH STATEMENT EXECUTE FUNCTION die_often();",
    );
    world.syncctl(&["drive", "poll", &file]).expect(1);
    assert_eq!(world.count("SELECT last_value FROM writes"), 6, "the first attempt and five more");
}
