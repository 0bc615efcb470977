//! Files of shared drives in a user's own feed: shared one by one with a non-member, or seen twice by a member.

use serde_json::json;

use crate::support::World;

const TEAM: &str = "0Ateam";

/// Two users, and a shared drive of the first with a folder, a file in it, and a file outside it.
fn team() -> (World, String, String) {
    let world = World::with_files(2, 3);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    members(&world, &[&users[0]]);
    let add = |file| world.sim.admin("drive/files", file);
    add(json!({ "drive": TEAM, "id": "folder", "name": "Folder", "mimeType": "application/vnd.google-apps.folder" }));
    add(json!({ "drive": TEAM, "id": "inside", "name": "inside.txt", "content": "In", "parents": ["folder"] }));
    add(json!({ "drive": TEAM, "id": "single", "name": "single.txt", "content": "One" }));
    (world, users[0].clone(), users[1].clone())
}

fn members(world: &World, members: &[&String]) {
    world.sim.admin("drive/drives", json!({ "id": TEAM, "name": "Team", "members": members }));
}

fn share(world: &World, file: &str, user: &str) {
    world.sim.admin("drive/share", json!({ "id": file, "user": user }));
}

#[track_caller]
fn assert_verified(world: &World) {
    let report = world.syncctl(&["verify", "drive", "--all", "--json"]).expect(0).json();
    assert_eq!(report["consistent"], true, "{report}");
}

#[test]
fn a_file_of_a_shared_drive_reaches_users_who_are_not_members() {
    let (world, _, guest) = team();
    share(&world, "single", &guest);
    world.watch(&guest, "single");
    // Through the first pass.
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_eq!(world.actions(&guest), ["created"]);
    let drive = world.query("SELECT DISTINCT drive_id FROM drive_files WHERE file_id = 'single'");
    assert_eq!((drive.len(), drive[0].get::<_, String>(0)), (1, TEAM.into()));
    // Through the feed: a folder with its contents, and files added to it.
    share(&world, "folder", &guest);
    world
        .sim
        .admin("drive/files", json!({ "drive": TEAM, "id": "new", "name": "new.txt", "content": "New", "parents": ["folder"] }));
    world.drive_admin("PUT", "files", &json!({ "id": "single", "content": "Two" }));
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_verified(&world);
    assert_eq!(world.actions(&guest), ["created", "modified"]);
    let seen = format!(
        "drive_file_access a JOIN users u ON u.id = a.user_id JOIN drive_files f USING (file_id)
         WHERE u.email = '{guest}' AND f.drive_id = '{TEAM}' AND a.deleted_at IS NULL"
    );
    assert_eq!(world.rows(&seen), 4, "folder, inside, new and single");
    // Unshared.
    world.sim.admin("drive/unshare", json!({ "id": "single", "user": guest }));
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_eq!((world.rows(&seen), world.actions(&guest)), (3, vec!["created".into(), "modified".into(), "removed".into()]));
}

#[test]
fn a_file_in_two_feeds_of_a_user_is_stored_and_announced_once() {
    let (world, member, _) = team();
    world.sim.admin("drive/open", json!({ "id": "single", "user": member }));
    world.watch(&member, "single");
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    let mut expected = vec!["created"];
    for (change, action) in [
        (json!({ "content": "Two" }), "modified"),
        (json!({ "name": "other.txt" }), "renamed"),
        (json!({ "trashed": true }), "trashed"),
    ] {
        let mut change = change;
        change["id"] = json!("single");
        world.sim.reset_ledger();
        world.drive_admin("PUT", "files", &change);
        world.sync_drive().expect(0);
        world.assert_files_in_step();
        expected.push(action);
        assert_eq!(world.actions(&member), expected);
        let read = u64::from(action == "modified");
        assert_eq!(world.sim.ledger()["by_method"]["files.download"].as_u64().unwrap_or(0), read, "its content is read once");
    }
    assert_verified(&world);
    // Repeated by full passes of both feeds: nothing new.
    world.execute("UPDATE streams SET cursor = 'gone', resyncs = 0 WHERE kind = 'changes'");
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_eq!(world.actions(&member), expected);
    world.drive_admin("DELETE", "files", &json!({ "id": "single" }));
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    expected.push("removed");
    assert_eq!(world.actions(&member), expected);
}

#[test]
fn files_shared_by_a_folder_stay_through_full_passes_although_google_does_not_list_them() {
    let (world, _, guest) = team();
    world.sim.admin("drive/listing", json!({ "insides": false }));
    world.watch(&guest, "inside");
    world.sync_drive().expect(0);
    share(&world, "folder", &guest);
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_eq!(world.actions(&guest), ["created"]);
    assert_verified(&world);
    // A full pass, however triggered, does not name it.
    let full_passes = [
        "UPDATE streams SET cursor = 'gone', resyncs = 0 WHERE resource = 'my-drive'",
        "UPDATE streams SET full_pass_at = 'epoch' WHERE resource = 'my-drive'",
    ];
    for full_pass in full_passes {
        world.execute(full_pass);
        world.sync_drive().expect(0);
        world.assert_files_in_step();
        world.sync_drive().expect(0);
        world.assert_files_in_step();
        assert_eq!(world.quarantined(), 0);
        assert_eq!(world.actions(&guest), ["created"], "still seen");
    }
    // Deleted in the meantime, without a change in the feed: found by its ID.
    world.execute("UPDATE streams SET full_pass_at = 'epoch' WHERE resource = 'my-drive'");
    world.sim.admin("drive/unshare", json!({ "id": "folder", "user": guest }));
    world.sync_drive().expect(0);
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_eq!(world.actions(&guest), ["created", "removed"]);
    assert_verified(&world);
}

#[test]
fn files_shared_one_by_one_stay_with_a_user_who_leaves_a_drive_before_its_feed_moves() {
    let (mut world, owner, guest) = team();
    world.set("SYNCCTL_ENGINE_TRIES", "1");
    world.watch(&guest, "single");
    world.sync_drive().expect(0);
    share(&world, "single", &guest);
    members(&world, &[&owner, &guest]);
    // The list names the drive, whose feed fails in its first pass; then the own feed shows the file.
    world.sim.fault(json!({ "fault": "server_500", "method": "files.list", "user": guest }));
    for (due, code) in [("kind = 'drive_list'", 1), ("resource = 'my-drive'", 0)] {
        world.execute(&format!("UPDATE streams SET due_at = CASE WHEN {due} THEN now() ELSE now() + interval '1 day' END"));
        world.syncctl(&["drive", "cron"]).expect(code);
    }
    assert_eq!(world.actions(&guest), [""; 0], "left to the drive");
    world.sim.clear_faults();
    members(&world, &[&owner]);
    for _ in 0..2 {
        world.sync_drive().expect(0);
    }
    world.assert_files_in_step();
    assert_verified(&world);
    assert_eq!(world.actions(&guest), ["created"]);
    // After that, each My Drive is idle again.
    world.sync_drive().expect(0);
    world.sim.reset_ledger();
    world.sync_drive().expect(0);
    assert!(world.sim.ledger()["by_method"]["files.list"].is_null(), "{}", world.sim.ledger());
}

#[test]
fn users_who_join_or_leave_a_drive_keep_files_shared_one_by_one() {
    let (world, owner, guest) = team();
    ["single", "inside"].iter().for_each(|file| world.watch(&guest, file));
    share(&world, "single", &guest);
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&guest), ["created"]);
    // Now a member: the drive's feed takes over files that the own feed has already reported.
    members(&world, &[&owner, &guest]);
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_verified(&world);
    assert_eq!(world.actions(&guest), ["created", "created"], "inside is new, single is not");
    world.drive_admin("PUT", "files", &json!({ "id": "single", "content": "Two" }));
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&guest), ["created", "created", "modified"]);
    // The drive's feed detects the loss, or the list of drives does; the own feed determines what stays.
    for by_list in [false, true] {
        members(&world, &[&owner]);
        let due = if by_list { "kind = 'drive_list'" } else { "kind = 'changes' AND resource <> 'my-drive'" };
        world.execute(&format!("UPDATE streams SET due_at = CASE WHEN {due} THEN now() ELSE now() + interval '1 day' END"));
        world.syncctl(&["drive", "cron"]).expect(0);
        // The list of the user's files, and then those it does not name, one by one.
        for _ in 0..2 {
            world.sync_drive().expect(0);
        }
        world.assert_files_in_step();
        assert_verified(&world);
        let events = world.file_events();
        let of_guest: Vec<_> = events.iter().filter(|(user, _, _)| *user == guest).skip(if by_list { 5 } else { 3 }).collect();
        assert_eq!(of_guest, [&(guest.clone(), "inside".into(), "removed".into())], "single is still seen");
        members(&world, &[&owner, &guest]);
        world.sync_drive().expect(0);
        world.assert_files_in_step();
    }
    // No longer shared either, which the own feed of a member reports, while the drive still shows it.
    world.sim.admin("drive/unshare", json!({ "id": "single", "user": guest }));
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    let before = world.actions(&guest).len();
    members(&world, &[&owner]);
    for _ in 0..3 {
        world.sync_drive().expect(0);
    }
    world.assert_files_in_step();
    assert_eq!(world.actions(&guest)[before..], ["removed", "removed"]);
}

#[test]
fn a_drive_that_the_list_still_names_is_not_left_for_a_few_answers_of_404() {
    let (world, owner, _) = team();
    world.watch(&owner, "single");
    world.sync_drive().expect(0);
    let before = world.actions(&owner);
    for method in ["changes.list", "changes.getStartPageToken"] {
        world.sim.fault(json!({ "fault": "not_found", "method": method, "user": owner }));
    }
    world.execute(&format!("UPDATE streams SET due_at = now() + CASE resource WHEN '{TEAM}' THEN '0' ELSE interval '1 day' END"));
    let run = world.syncctl(&["drive", "cron"]).expect(69);
    assert!(run.stderr.contains("although drives.list names the drive"), "{}", run.stderr);
    world.sim.clear_faults();
    world.sync_drive().expect(0);
    world.assert_files_in_step();
    assert_verified(&world);
    assert_eq!(world.actions(&owner), before, "nothing was taken from the user and given back");
}
