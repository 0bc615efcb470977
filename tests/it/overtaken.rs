//! Answers that are outdated by changes in the meantime: of single polls, of `items retry`, and of the feed itself.

use serde_json::json;

use crate::support::World;
use crate::support::service::{CALENDAR, GMAIL};

/// A user's file that is followed and in sync.
fn followed() -> (World, String, String) {
    let world = World::with_files(1, 2);
    let user = world.first_user();
    let file = world.add_file(&user, "a.txt", "One");
    world.watch(&user, &file);
    world.sync_drive().expect(0);
    (world, user, file)
}

fn edit(world: &World, file: &str, content: &str) {
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": content }));
}

/// Runs a command; once Google's answer to `method` is ready, and before it is sent, `meanwhile` runs.
fn late(world: &World, method: &str, command: &[&str], meanwhile: impl FnOnce()) {
    world.sim.fault(json!({ "fault": "stall_answer", "method": method, "times": 1 }));
    let run = world.spawn(command);
    world.wait_for_stall();
    world.sim.clear_faults();
    meanwhile();
    world.sim.admin("release", json!({}));
    let ended = run.wait_with_output().expect("it ends");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_file_that_is_deleted_while_a_poll_waits_does_not_live_again() {
    let (world, user, file) = followed();
    late(&world, "files.get", &["drive", "poll", &file], || {
        world.drive_admin("DELETE", "files", &json!({ "id": file }));
        world.sync_drive().expect(0);
    });
    assert_eq!(world.actions(&user), ["created", "removed"]);
    world.assert_files_in_step();
}

#[test]
fn a_file_that_comes_and_goes_while_its_first_poll_waits_is_not_left_behind() {
    let world = World::with_files(1, 2);
    let user = world.first_user();
    world.sync_drive().expect(0);
    let file = world.add_file(&user, "a.txt", "One");
    world.watch(&user, &file);
    late(&world, "files.get", &["drive", "poll", &file], || {
        // The feed reports that it is gone, although nothing of it is stored.
        world.drive_admin("DELETE", "files", &json!({ "id": file }));
        world.sync_drive().expect(0);
    });
    world.assert_files_in_step();
    assert_eq!(world.rows("documents WHERE status <> 'deleted'"), 0);
}

#[test]
fn a_file_that_is_shared_again_while_a_poll_waits_is_not_deleted_by_its_old_404() {
    let world = World::with_files(2, 2);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let file = world.add_file(&users[0], "a.txt", "One");
    let both = json!({ "id": file, "user": users[1] });
    world.sim.admin("drive/share", both.clone());
    world.watch(&users[1], &file);
    world.sync_drive().expect(0);
    world.sim.admin("drive/unshare", both.clone());
    world.sync_drive().expect(0);
    late(&world, "files.get", &["drive", "poll", &file], || {
        world.sim.admin("drive/share", both.clone());
        world.sync_drive().expect(0);
    });
    assert_eq!(world.actions(&users[1]), ["created", "removed", "created"]);
    world.assert_files_in_step();
}

#[test]
fn a_document_does_not_go_back_to_the_text_that_a_poll_was_given_before() {
    let (world, user, file) = followed();
    edit(&world, &file, "Two");
    late(&world, "files.download", &["drive", "poll", &file], || {
        edit(&world, &file, "Three");
        world.sync_drive().expect(0);
    });
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&user), ["created", "modified"]);
    assert_eq!(world.documents_with("Three"), 1);
}

#[test]
fn a_document_does_not_go_back_to_the_text_that_its_feed_was_given_before() {
    let (world, user, file) = followed();
    edit(&world, &file, "Two");
    late(&world, "files.download", &["drive", "cron", "--force"], || {
        edit(&world, &file, "Three");
        world.syncctl(&["drive", "poll", &file]).expect(0);
    });
    assert_eq!(world.documents_with("Three"), 1, "the answer of the feed came last");
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&user), ["created", "modified"]);
    world.assert_files_in_step();
}

#[test]
fn a_message_that_is_deleted_while_it_is_asked_for_again_does_not_live_again() {
    let mut world = World::of(&GMAIL, 1, 5);
    world.set("SYNCCTL_ENGINE_TRIES", "3");
    world.sync_all().expect(0);
    let user = world.first_user();
    let made = world.sim.admin("mail/messages", json!({ "user": user, "raw": "Subject: bad\r\n\r\nx" }));
    let id = made["id"].as_str().expect("an id");
    world.sim.fault(json!({ "fault": "server_500", "method": "messages.get", "id": id }));
    world.sync_all().expect(0);
    world.sim.clear_faults();
    assert_eq!(world.quarantined(), 1);
    late(&world, "messages.get", &["items", "retry"], || {
        let url = format!("{}/admin/mail/messages", world.sim.url);
        let request = ureq::delete(url).header("content-type", "application/json").force_send_body();
        request.send(json!({ "user": user, "id": id }).to_string()).expect("deleting a message");
        world.sync_all().expect(0);
    });
    world.assert_in_step();
    assert_eq!(world.quarantined(), 0);
}

#[test]
fn an_event_that_is_deleted_while_it_is_asked_for_again_does_not_live_again() {
    let world = World::of(&CALENDAR, 1, 5);
    world.sync_all().expect(0);
    let ((user, _, id), _) = world.sim.truth().into_iter().next().expect("an event");
    world.execute(&format!(
        "INSERT INTO quarantined_items (stream_id, item_id, raw, error, retry_at)
         SELECT id, '{id}', '', 'not given', now() + interval '1 hour' FROM streams WHERE kind = 'events'"
    ));
    late(&world, "events.get", &["items", "retry"], || {
        world.sim.delete_event(&user, &id);
        world.sync_all().expect(0);
    });
    world.assert_in_step();
}
