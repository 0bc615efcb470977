//! Followed files: documents with their content, and each change sent once.

use serde_json::json;

use crate::support::World;

/// One user who follows one text file, synced.
fn followed(content: &str) -> (World, String, String) {
    let world = World::with_files(1, 5);
    let user = world.first_user();
    let file = world.add_file(&user, "notes.txt", content);
    world.watch(&user, &file);
    world.sync_drive().expect(0);
    (world, user, file)
}

fn document(world: &World, columns: &str) -> String {
    let rows = world.query(&format!("SELECT ({columns})::text FROM documents WHERE source = 'drive'"));
    assert_eq!(rows.len(), 1, "one document");
    rows[0].get::<_, Option<String>>(0).unwrap_or_default()
}

#[test]
fn each_action_is_announced_once_whatever_is_synced_again() {
    let (world, user, file) = followed("One");
    let folder = world
        .sim
        .admin("drive/files", json!({ "user": user, "name": "Folder", "mimeType": "application/vnd.google-apps.folder" }));
    let steps = [
        (json!({ "content": "Two" }), "modified"),
        (json!({ "name": "renamed.txt" }), "renamed"),
        (json!({ "parents": [folder["id"]] }), "moved"),
        (json!({ "trashed": true }), "trashed"),
        (json!({ "trashed": false }), "untrashed"),
        (json!({}), "metadata"),
        // Several changes together: the most specific action.
        (json!({ "content": "Three", "name": "again.txt" }), "modified"),
    ];
    let mut expected = vec!["created".to_owned()];
    for (mut change, action) in steps {
        change["id"] = json!(file);
        world.drive_admin("PUT", "files", &change);
        expected.push(action.into());
        world.sync_drive().expect(0);
        world.execute("UPDATE streams SET cursor = 'gone', resyncs = 0 WHERE kind = 'changes'");
        let again = world.sync_drive().expect(0).json();
        assert_eq!((&again["resyncs"], &again["changes"]["changes"]["updated"]), (&json!(1), &json!(0)), "{again}");
        assert_eq!(world.actions(&user), expected);
    }
    assert_eq!(document(&world, "title || ': ' || body"), "again.txt: Three");
    world.drive_admin("DELETE", "files", &json!({ "id": file }));
    world.sync_drive().expect(0);
    world.sync_drive().expect(0);
    expected.push("removed".into());
    assert_eq!(world.actions(&user), expected);
    assert_eq!(document(&world, "status"), "deleted");
    // Unfollowed files have no event and no document.
    assert!(world.rows("drive_files") > 5);
    let payload = world.payloads_of("drive.file.renamed").remove(0);
    assert_eq!(
        (&payload["file"]["name"], &payload["file"]["mime_type"], &payload["source"]),
        (&json!("renamed.txt"), &json!("text/plain"), &json!("syncctl"))
    );
    assert!(payload["file"]["version"].is_i64() && payload["file"]["web_view_link"].is_string(), "{payload}");
}

#[test]
fn a_run_that_dies_before_its_commit_announces_everything_once() {
    let (mut world, user, file) = followed("One");
    world.set("SYNCCTL_ENGINE_LEASE", "300ms");
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "Two" }));
    for method in ["changes.list", "files.download"] {
        world.sim.fault(json!({ "fault": "stall", "method": method, "probability": 1.0, "times": 1 }));
        let mut child = world.spawn(&["drive", "cron", "--force"]);
        world.wait_for_stall();
        child.kill().expect("killing the run");
        child.wait().expect("the run ends");
        world.sim.clear_faults();
        world.sim.admin("release", json!({}));
        world.wait_until_leases_lapse();
    }
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&user), ["created", "modified"]);
    assert_eq!(document(&world, "body"), "Two");
}

#[test]
fn googles_own_formats_are_exported_and_files_without_text_have_a_note() {
    let world = World::with_files(1, 0);
    let user = world.first_user();
    let own = |kind: &str| format!("application/vnd.google-apps.{kind}");
    let files = [
        ("doc", json!({ "mimeType": own("document"), "content": "# Title" })),
        ("sheet", json!({ "mimeType": own("spreadsheet"), "content": "a,b" })),
        ("slides", json!({ "mimeType": own("presentation"), "content": "Slide" })),
        ("json", json!({ "mimeType": "application/json", "content": "{}" })),
        ("image", json!({ "mimeType": "image/png", "size": 100 })),
        ("too large to export", json!({ "mimeType": own("document"), "size": 11 << 20 })),
        ("larger than wanted", json!({ "mimeType": "text/plain", "size": 2 << 20 })),
        ("locked", json!({ "mimeType": "text/plain", "content": "x", "can_download": false })),
    ];
    for (name, mut file) in files {
        (file["user"], file["name"], file["id"]) = (json!(user), json!(name), json!(name.replace(' ', "_")));
        world.sim.admin("drive/files", file);
        world.watch(&user, &name.replace(' ', "_"));
    }
    world.sync_drive().expect(0);
    let rows = world.query("SELECT title, body, note FROM documents ORDER BY title");
    let stored: Vec<(String, Option<String>, Option<String>)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let text = |name: &str, body: &str| (name.to_owned(), Some(body.to_owned()), None);
    assert_eq!(stored[0], text("doc", "# Title"));
    assert_eq!(stored[1], ("image".into(), None, None));
    assert_eq!(stored[2], text("json", "{}"));
    let note = |at: usize| stored[at].2.clone().expect("a note");
    assert!(note(3).contains("drive.content_max_size") && stored[3].1.is_none(), "{stored:?}");
    assert!(note(4).contains("cannotDownloadFile"), "{}", note(4));
    assert_eq!(stored[5], text("sheet", "## Sheet1\na,b\n"));
    assert_eq!(stored[6], text("slides", "Slide"));
    assert!(note(7).contains("exportSizeLimitExceeded"), "{}", note(7));
    // None of it is requested again while nothing changes.
    world.sim.reset_ledger();
    world.sync_drive().expect(0);
    assert_eq!(world.sim.ledger()["by_method"], json!({ "changes.list": 1, "drives.list": 1 }));
}

#[test]
fn content_that_google_fails_to_send_comes_with_a_later_poll_and_holds_up_nothing() {
    let (mut world, user, file) = followed("One");
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "Two" }));
    let other = world.add_file(&user, "other.txt", "Other");
    world.sim.fault(json!({ "fault": "server_500", "method": "files.download", "probability": 1.0 }));
    world.sync_drive().expect(0);
    assert_eq!(document(&world, "body || ', ' || note"), "One, content not read yet: Google failed to send it");
    assert_eq!(world.rows(&format!("drive_files WHERE file_id = '{other}'")), 1);
    world.sim.clear_faults();
    world.sync_drive().expect(0);
    world.sync_drive().expect(0);
    assert_eq!(document(&world, "body || coalesce(note, '')"), "Two");
    assert_eq!(world.actions(&user), ["created", "modified", "modified"]);
    let flags = "SELECT string_agg(coalesce(payload ->> 'text_follows', '-'), ' ' ORDER BY seq) FROM outbox_events";
    let flags: String = world.query(flags)[0].get(0);
    assert_eq!(flags, "- true -", "the first of the two says that another one follows");
}

#[test]
fn a_file_that_is_followed_later_becomes_a_document_without_a_change() {
    let world = World::with_files(2, 4);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let file = world.add_file(&users[0], "notes.txt", "Text");
    world.sync_drive().expect(0);
    let (document_id, project) = ("7f1c1d1e-0000-4000-8000-000000000001", "7f1c1d1e-0000-4000-8000-000000000002");
    let add = ["drive", "watch-file", "add", &users[0], &file, "--document-id", document_id, "--project-id", project];
    world.syncctl(&add).expect(0);
    let list = |world: &World| world.syncctl(&["drive", "watch-file", "list", "--json"]).expect(0).json();
    assert_eq!(list(&world)[0]["state"], "pending");
    // Due immediately: not forced.
    world.syncctl(&["drive", "cron"]).expect(0);
    assert_eq!(document(&world, "id || body || project_id"), format!("{document_id}Text{project}"));
    assert_eq!(list(&world)[0]["state"], "followed");
    assert_eq!(world.actions(&users[0]), ["created"]);
    // No longer followed: the document stays, and no more events are sent.
    world.syncctl(&["drive", "watch-file", "remove", &users[0], &file]).expect(0);
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "New" }));
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&users[0]), ["created"]);
    world.syncctl(&["drive", "watch-file", "remove", &users[0], &file]).expect(2);
    // Followed again: it catches up.
    world.watch(&users[0], &file);
    world.sync_drive().expect(0);
    assert_eq!(document(&world, "id || body"), format!("{document_id}New"));
}

#[test]
fn many_files_are_followed_from_standard_input_and_bad_lines_are_named() {
    let world = World::with_files(1, 0);
    let user = world.first_user();
    let taken = "7f1c1d1e-0000-4000-8000-000000000001";
    world.syncctl(&["drive", "watch-file", "add", &user, "f0", "--document-id", taken]).expect(0);
    let lines = format!(
        "{user} f1\n{{\"user\":\"{user}\",\"file_id\":\"f2\"}}\nnobody@example.com f3\n{user}\n{user} f1\n{{\"user\":\"{user}\",\"file_id\":\"f4\",\"document_id\":\"{taken}\"}}\n"
    );
    let output = world.syncctl_with_input(&["drive", "watch-file", "add", "--stdin", "--json"], &lines).expect(1);
    let bad: Vec<u64> = output.json()["bad"].as_array().expect("a list").iter().filter_map(|bad| bad[0].as_u64()).collect();
    assert_eq!((&output.json()["added"], bad), (&json!(2), vec![3, 4, 5, 6]), "{output:?}");
    assert_eq!(world.rows("drive_file_watches"), 3);
}

#[test]
fn with_all_documents_every_file_is_followed() {
    let mut world = World::with_files(1, 20);
    world.set("SYNCCTL_DRIVE_DOCUMENTS", "all");
    world.sync_drive().expect(0);
    let files = "drive_files WHERE mime_type NOT LIKE '%folder' AND mime_type NOT LIKE '%shortcut'";
    assert_eq!(world.documents(), world.rows(files));
    assert!(world.rows("documents WHERE body IS NOT NULL") > 0);
}

#[test]
fn a_followed_file_that_google_does_not_return_is_in_quarantine_until_it_does() {
    let mut world = World::with_files(1, 2);
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    let user = world.first_user();
    let file = world.add_file(&user, "notes.txt", "Text");
    world.sync_drive().expect(0);
    world.watch(&user, &file);
    for fault in ["bad_request_400", "server_500"] {
        world.sim.fault(json!({ "fault": fault, "method": "files.get" }));
        world.sync_drive().expect(0);
        let listed = world.syncctl(&["items", "list", "--json"]).expect(0).json();
        assert_eq!((&listed[0]["item_id"], world.quarantined()), (&json!(file), 1), "{listed}");
        assert!(listed[0]["error"].as_str().is_some_and(|error| error.starts_with("files.get: HTTP ")), "{listed}");
        let told = world.syncctl(&["drive", "list", &user]).expect(1);
        assert!(told.stderr.contains("My Drive: items of it could not be read"), "{told:?}");
        world.sim.reset_ledger();
        world.sync_drive().expect(0);
        assert!(world.sim.ledger()["by_method"]["files.get"].is_null(), "it is not requested with each poll");
        world.sim.clear_faults();
        world.retry_quarantined();
    }
    world.sync_drive().expect(0);
    assert_eq!((document(&world, "body").as_str(), world.quarantined()), ("Text", 0));
    assert_eq!(world.actions(&user), ["created"]);
}
