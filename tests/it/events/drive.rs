//! Events of drives: changed permissions.

use serde_json::json;

use super::{ask_for, assert_has, take};
use crate::support::World;

#[test]
fn each_change_of_permissions_is_one_event_and_what_becomes_visible_is_none() {
    let mut world = World::with_files(2, 2);
    ask_for(&mut world, &["drive.permission.*"]);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    world.sim.admin("drive/files", json!({ "user": users[0], "id": "plan", "name": "plan.txt", "content": "One" }));
    world.sync_drive().expect(0);
    assert_eq!(take(&world).len(), 0, "the first listing");
    // The other user sees the file from now on, with all its permissions: this is no change for them.
    world.sim.admin("drive/share", json!({ "id": "plan", "user": users[1], "role": "writer" }));
    world.sync_drive().expect(0);
    let [added] = &take(&world)[..] else { panic!("one event") };
    assert_has(
        added,
        &[
            ("/type", json!("drive.permission.changed")),
            ("/file_id", json!("plan")),
            ("/file/name", json!("plan.txt")),
            ("/added/0/email", json!(users[1])),
            ("/added/0/role", json!("writer")),
            ("/removed", json!([])),
        ],
    );
    world.sim.admin("drive/share", json!({ "id": "plan", "user": users[1], "role": "reader" }));
    world.sync_drive().expect(0);
    let events = take(&world);
    let owners = |payload: &&serde_json::Value| payload["changed"][0]["before"]["role"] == "writer";
    assert_eq!(events.iter().filter(owners).count(), 1, "{events:?}");
    assert!(events.iter().all(|payload| payload["type"] == "drive.permission.changed"));
    // Another change of the file, and a run without one.
    world.drive_admin("PUT", "files", &json!({ "id": "plan", "name": "renamed.txt" }));
    world.sync_drive().expect(0);
    world.sync_drive().expect(0);
    assert_eq!(take(&world).len(), 0);
}

#[test]
fn no_event_is_written_that_no_target_asks_for() {
    let mut world = World::with_files(2, 2);
    ask_for(&mut world, &["drive.*", "*"]);
    world.sim.admin("drive/files", json!({ "user": world.first_user(), "id": "plan", "name": "plan.txt", "content": "One" }));
    world.sync_drive().expect(0);
    world.sim.admin("drive/share", json!({ "id": "plan", "anyone": true }));
    world.sync_drive().expect(0);
    assert_eq!(take(&world).len(), 0);
}
