//! Users of different tenants: what is meant for one of them, or was taken from one of them, is nobody else's.

use serde_json::{Value, json};

use crate::support::World;

#[test]
fn who_loses_a_file_is_told_what_they_saw_last_and_not_what_became_of_it_since() {
    let world = World::with_files(2, 0);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let file = world.add_file(&users[0], "plan.txt", "One");
    world.sim.admin("drive/share", json!({ "id": file, "user": users[1] }));
    users.iter().for_each(|user| world.watch(user, &file));
    world.sync_drive().expect(0);
    let seen: Value = world.query("SELECT to_jsonb(max(version)) FROM drive_file_access")[0].get(0);
    world.sim.admin("drive/unshare", json!({ "id": file, "user": users[1] }));
    world.drive_admin("PUT", "files", &json!({ "id": file, "name": "takeover of acme.txt", "content": "Secret" }));
    // The owner's feed tells first.
    world.syncctl(&["sync", "user", &users[0]]).expect(0);
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&users[1]), ["created", "removed"]);
    let told: Value = world.query("SELECT payload FROM outbox_events WHERE type = 'drive.file.removed'")[0].get(0);
    assert_eq!(told["file"]["name"], "plan.txt", "{told}");
    assert_eq!(told["file"]["version"], seen, "{told}");
    assert!(!told.to_string().contains("acme"), "{told}");
    let listed = world.syncctl(&["drive", "watch-file", "list", "--user", &users[1], "--json"]);
    assert!(!listed.stdout.contains("acme"), "{listed:?}");
}
