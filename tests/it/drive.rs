//! Drive's feeds: each user's files in sync with what Google shows that user, regardless of other viewers.

use serde_json::json;

use crate::support::World;

#[test]
fn files_are_in_step_after_churn_and_an_idle_feed_costs_one_call() {
    let world = World::empty();
    world.sim.generate(12, 0);
    world.sim.admin(
        "drive/generate",
        json!({ "files": 60, "shared_drives": 2, "files_per_drive": 30, "members_per_drive": 5, "seed": 3 }),
    );
    world.import();
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    for seed in 0..5 {
        world.churn_files(80, seed);
        world.sync_drive().expect(0);
        world.assert_files_in_step();
    }
    world.churn_files(80, 9);
    let rehearsal = world.syncctl(&["drive", "cron", "--force", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(rehearsal["changes"], world.sync_drive().expect(0).json()["changes"]);
    world.sim.reset_ledger();
    let idle = world.sync_drive().expect(0).json();
    let ledger = world.sim.ledger();
    // A feed for each user and each membership, a list for each user.
    assert_eq!(ledger["by_method"], json!({ "changes.list": 12 + 2 * 5, "drives.list": 12 }), "{ledger}");
    assert_eq!(idle["idle_streams"], 12 + 2 * 5);
    assert!(ledger["batches"].as_u64() > Some(0));
    assert_eq!(idle["quota_units"], 100 * (12 + 2 * 5 + 12));
    assert_eq!(world.rows("streams WHERE service = 'drive' AND claimed_by IS NOT NULL"), 0);
}

#[test]
fn a_run_over_ten_thousand_followed_files_of_a_hundred_users_asks_each_feed_once() {
    let mut world = World::with_files(100, 100);
    // Ten thousand downloads take two minutes of Google's quota.
    world.set("SYNCCTL_QUOTA_DRIVE_PROJECT_PER_MINUTE", "1000000000");
    let lines: String = world
        .sim
        .text("drive/state")
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a JSON line"))
        .filter(|row| row["mimeType"] != "application/vnd.google-apps.folder")
        .map(|row| format!("{} {}\n", row["user"].as_str().expect("a user"), row["id"].as_str().expect("an id")))
        .collect();
    let watched = lines.lines().count() as i64;
    assert!(watched >= 9_000, "{watched}");
    world.syncctl_with_input(&["drive", "watch-file", "add", "--stdin"], &lines).expect(0);
    let first = world.sync_drive().expect(0).json();
    println!("{watched} documents in {} ms, {} calls", first["elapsed_ms"], first["api_calls"]);
    assert_eq!(world.documents_of("drive"), watched);
    assert_eq!(world.outbox_events_of("drive.file.created"), watched);
    world.sim.reset_ledger();
    let idle = world.sync_drive().expect(0).json();
    println!("idle: {} ms", idle["elapsed_ms"]);
    let by_method = &world.sim.ledger()["by_method"];
    assert_eq!(*by_method, json!({ "changes.list": 100, "drives.list": 100 }));
    let row = &world
        .query("SELECT total_files, successful_polls, failed_polls FROM drive_cron_results ORDER BY start_time DESC LIMIT 1")[0];
    assert_eq!((row.get::<_, i32>(0), row.get::<_, i32>(1), row.get::<_, i32>(2)), (watched as i32, watched as i32, 0));
}

#[test]
fn a_shared_drive_comes_and_goes_with_its_membership() {
    let world = World::with_files(2, 3);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let put = |members: &[&String]| {
        world.sim.admin("drive/drives", json!({ "id": "0Ateam", "name": "Team", "members": members }));
    };
    put(&[&users[0], &users[1]]);
    let file = world.sim.admin("drive/files", json!({ "drive": "0Ateam", "name": "plan.txt", "content": "Plan" }));
    let file = file["id"].as_str().expect("an id");
    world.sync_drive().expect(0);
    world.watch(&users[0], file);
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    let feeds = "streams WHERE resource = '0Ateam' AND state <> 'removed'";
    assert_eq!(world.rows(feeds), 2);
    world.drive_admin("DELETE", "members", &json!({ "drive": "0Ateam", "user": users[0] }));
    // The feed detects it, long before the list of drives is due again.
    world.execute("UPDATE streams SET due_at = now() WHERE kind = 'changes'");
    world.syncctl(&["drive", "cron"]).expect(0);
    world.assert_files_in_step();
    assert_eq!(world.actions(&users[0]), ["created", "removed"]);
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_eq!(world.rows(feeds), 1);
    assert_eq!(world.rows("drive_files WHERE deleted_at IS NOT NULL"), 0, "the other member sees it still");
    // Restored: changes in the meantime are included.
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "New plan" }));
    put(&[&users[0], &users[1]]);
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_eq!(world.actions(&users[0]), ["created", "removed", "created"]);
    let bodies = world.query("SELECT body, status FROM documents");
    assert_eq!((bodies[0].get::<_, String>(0), bodies[0].get::<_, String>(1)), ("New plan".into(), "updated".into()));
}

#[test]
fn access_that_one_user_loses_leaves_the_file_to_the_other() {
    let world = World::with_files(2, 3);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let file = world.add_file(&users[0], "a.txt", "Text");
    let both = json!({ "id": file, "user": users[1] });
    world.sim.admin("drive/share", both.clone());
    world.sync_drive().expect(0);
    users.iter().for_each(|user| world.watch(user, &file));
    world.sync_drive().expect(0);
    world.sim.admin("drive/unshare", both);
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    let states = |world: &World| -> Vec<(String, String)> {
        let rows = world.query("SELECT u.email, d.status FROM documents d JOIN users u ON u.id = d.user_id ORDER BY 1");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    assert_eq!(states(&world)[1], (users[1].clone(), "deleted".into()));
    assert_ne!(states(&world)[0].1, "deleted");
    assert_eq!(world.actions(&users[1]), ["created", "removed"]);
    assert!(!world.actions(&users[0]).contains(&"removed".into()));
    world.drive_admin("DELETE", "files", &json!({ "id": file }));
    world.sync_drive().expect(0);
    assert_eq!(states(&world)[0].1, "deleted");
    assert_eq!(world.rows("drive_files WHERE deleted_at IS NOT NULL"), 1);
    assert_eq!(world.actions(&users[1]), ["created", "removed"], "sent once");
}

#[test]
fn a_cursor_that_is_refused_is_resynced_and_removals_in_the_gap_are_found() {
    let mut world = World::with_files(3, 40);
    world.set("SYNCCTL_DRIVE_PAGE_SIZE", "7");
    world.sync_drive().expect(0);
    for (seed, fault) in [(1, "cursor_expired"), (2, "not_found"), (3, "bad_request_400")] {
        world.sim.admin("drive/churn", json!({ "changes": 20, "seed": seed, "kinds": { "delete": 1, "edit": 1, "unshare": 1 } }));
        let before = world.lost_files();
        // Each user's next call is refused, and changes are found only by listing everything.
        world.execute("UPDATE streams SET cursor = 'gone' WHERE kind = 'changes'");
        world.sim.fault(json!({ "fault": fault, "method": "changes.list", "probability": 1.0, "times": 3 }));
        let report = world.sync_drive().expect(0).json();
        world.sim.clear_faults();
        assert_eq!(report["resyncs"], 3, "{fault}: {report}");
        // Files missing from the list are requested by ID.
        world.sync_drive().expect(0);
        world.assert_files_in_step();
        assert!(world.lost_files() > before, "{fault}");
    }
}

#[test]
fn an_interrupted_pass_removes_no_access_and_is_continued() {
    let mut world = World::with_files(1, 60);
    world.set("SYNCCTL_DRIVE_PAGE_SIZE", "10");
    world.set("SYNCCTL_ENGINE_LEASE", "300ms");
    world.sync_drive().expect(0);
    world.sim.admin("drive/churn", json!({ "changes": 8, "seed": 4, "kinds": { "delete": 1 } }));
    world.execute("UPDATE streams SET cursor = 'gone' WHERE kind = 'changes'");
    world.sim.fault(json!({ "fault": "stall", "at_call": 3, "method": "files.list", "times": 1 }));
    let mut child = world.spawn(&["drive", "cron", "--force"]);
    world.wait_for_stall();
    child.kill().expect("killing the run");
    child.wait().expect("the run ends");
    world.sim.admin("release", json!({}));
    world.sim.clear_faults();
    assert_eq!(world.lost_files(), 0);
    let pinned = world.query("SELECT pinned FROM streams WHERE kind = 'changes' AND page_token IS NOT NULL");
    assert!(pinned[0].get::<_, Option<String>>(0).is_some(), "the place of the feed is kept from before the first page");
    // Changes during the interruption arrive with the feed from there.
    world.churn_files(10, 5);
    world.wait_until_leases_lapse();
    world.sync_drive().expect(0);
    assert_eq!(world.sync_drive().expect(0).json()["resyncs"], 0);
    world.assert_files_in_step();
    assert!(world.lost_files() > 0);
}

#[test]
fn a_file_that_cannot_be_stored_is_quarantined_and_retried() {
    let world = World::with_files(1, 3);
    let user = world.first_user();
    let file = world.add_file(&user, "nul\0name.txt", "Text");
    world.sync_drive().expect(0);
    // NUL is replaced, not refused.
    assert_eq!(world.rows("drive_files WHERE name = E'nul\u{fffd}name.txt'"), 1);
    world.execute("ALTER TABLE drive_file_access ADD CONSTRAINT odd CHECK (name <> 'odd')");
    world.drive_admin("PUT", "files", &json!({ "id": file, "name": "odd" }));
    world.sync_drive().expect(0);
    assert_eq!(world.quarantined(), 1);
    world.execute("ALTER TABLE drive_file_access DROP CONSTRAINT odd");
    world.syncctl(&["items", "retry"]).expect(0);
    world.assert_files_in_step();
}

#[test]
fn a_page_that_postgresql_gives_up_for_another_is_written_again() {
    let world = World::with_files(1, 5);
    // The first write of files fails like a deadlock victim. A sequence does not roll back with its transaction.
    world.execute(
        "CREATE SEQUENCE writes;
         CREATE FUNCTION die_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF nextval('writes') = 1 THEN RAISE EXCEPTION 'deadlock detected' USING ERRCODE = '40P01'; END IF; RETURN NULL; END $$;
         CREATE TRIGGER die_once AFTER INSERT ON drive_files FOR EACH STATEMENT EXECUTE FUNCTION die_once();",
    );
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert!(world.count("SELECT nextval('writes')") > 2, "it was written twice");
}

#[test]
fn a_dry_run_over_feeds_that_share_files_ends_and_reports_what_a_run_does() {
    let mut world = World::empty();
    world.sim.generate(6, 0);
    let drives = json!({ "files": 5, "shared_drives": 2, "files_per_drive": 60, "members_per_drive": 6, "seed": 3 });
    world.sim.admin("drive/generate", drives);
    world.import();
    world.sync_drive().expect(0);
    world.churn_files(150, 4);
    // Many pages, and each user's feed lists the same files in its own order.
    world.set("SYNCCTL_DRIVE_PAGE_SIZE", "7");
    let rehearsal = world.syncctl(&["drive", "cron", "--force", "--dry-run", "--json"]).expect(0).json();
    assert_eq!(rehearsal["failed_streams"], 0, "{rehearsal}");
    assert_eq!(rehearsal["changes"], world.sync_drive().expect(0).json()["changes"]);
    world.assert_files_in_step();
}
