//! The text of followed files: the readable part, and notes about the rest.

use serde_json::json;

use crate::support::World;

pub const DOCUMENT: &str = "application/vnd.google-apps.document";

/// One user without files.
pub fn one_user() -> (World, String) {
    let world = World::with_files(1, 0);
    let user = world.first_user();
    (world, user)
}

/// Body and note of the document with this title.
pub fn read(world: &World, title: &str) -> (Option<String>, Option<String>) {
    let rows = world.query(&format!("SELECT body, note FROM documents WHERE title = '{title}'"));
    assert_eq!(rows.len(), 1, "one document {title}");
    (rows[0].get(0), rows[0].get(1))
}

#[test]
fn a_document_with_pictures_gives_its_text_however_large_they_are() {
    let (world, user) = one_user();
    // The first is under drive.content_max_size with its picture, the second far above, the last has more text than that.
    let documents = [("small", 1, 297_000, "Quarterly review of the new office."), ("large", 3, 3 << 20, "Grüße")];
    for (name, pictures, size, content) in documents {
        world.sim.admin(
            "drive/files",
            json!({ "user": user, "id": name, "name": name, "mimeType": DOCUMENT, "content": content, "pictures": pictures, "picture_size": size }),
        );
        world.watch(&user, name);
    }
    let long = json!({ "user": user, "id": "long", "name": "long", "mimeType": DOCUMENT, "size": 2 << 20, "pictures": 1, "picture_size": 1 << 20 });
    world.sim.admin("drive/files", long);
    world.watch(&user, "long");
    let page = format!("<p>One</p><img src=\"data:image/png;base64,{}\"><p>Two</p>", "A".repeat(1_500_000));
    world
        .sim
        .admin("drive/files", json!({ "user": user, "id": "page", "name": "page", "mimeType": "text/html", "content": page }));
    world.watch(&user, "page");
    world.sync_drive().expect(0);
    assert_eq!(read(&world, "small"), (Some("Quarterly review of the new office.\n\n![][image1]".into()), None));
    assert_eq!(read(&world, "large"), (Some("Grüße\n\n![][image1]\n\n![][image2]\n\n![][image3]".into()), None));
    assert_eq!(read(&world, "page"), (Some("<p>One</p><img src=\"\"><p>Two</p>".into()), None));
    let (body, note) = read(&world, "long");
    let (body, note) = (body.expect("text"), note.expect("a note"));
    assert!(body.len() > (1 << 20) - 4 && body.len() <= 1 << 20, "{}", body.len());
    assert!(note.contains("drive.content_max_size"), "{note}");
    // None of it is requested again while nothing changes.
    world.sim.reset_ledger();
    world.sync_drive().expect(0);
    assert_eq!(world.sim.ledger()["by_method"], json!({ "changes.list": 1, "drives.list": 1 }));
}

#[test]
fn a_download_that_is_cut_and_looks_well_is_no_text() {
    let (world, user) = one_user();
    let file = world.add_file(&user, "a.txt", "One and two and three");
    world.watch(&user, &file);
    let cut = |body: &str, times: Option<u64>| {
        let fault = json!({ "fault": "answer", "status": 200, "method": "files.download", "body": body, "times": times });
        world.sim.fault(fault);
    };
    cut("One and", Some(1));
    world.sync_drive().expect(0);
    assert_eq!(read(&world, "a.txt"), (Some("One and two and three".into()), None));
    // While the fault lasts, the previous text stays, with a note.
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "Four and five and six" }));
    cut("Four", None);
    world.sync_drive().expect(0);
    let (body, note) = read(&world, "a.txt");
    assert!(body.as_deref() == Some("One and two and three") && note.is_some(), "{body:?} {note:?}");
    world.sim.clear_faults();
    world.sync_drive().expect(0);
    assert_eq!(read(&world, "a.txt"), (Some("Four and five and six".into()), None));
    // The right size, but other content than the named version: the next poll requests it again.
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "Seven" }));
    cut("Eight", Some(1));
    world.sync_drive().expect(0);
    assert_eq!(read(&world, "a.txt").0.as_deref(), Some("Four and five and six"));
    world.sync_drive().expect(0);
    assert_eq!(read(&world, "a.txt"), (Some("Seven".into()), None));
    // An edit is sent once more if its text arrives later.
    assert_eq!(world.actions(&user), ["created", "modified", "modified", "modified", "modified"]);
}

#[test]
fn a_document_of_googles_is_exported_when_its_text_changes_and_for_nothing_else() {
    let (world, user) = one_user();
    let folder = json!({ "user": user, "id": "folder", "name": "Folder", "mimeType": "application/vnd.google-apps.folder" });
    world.sim.admin("drive/files", folder);
    world.sim.admin("drive/files", json!({ "user": user, "id": "doc", "name": "doc", "mimeType": DOCUMENT, "content": "One" }));
    world.watch(&user, "doc");
    world.sync_drive().expect(0);
    let mut expected = vec!["created"];
    for (mut change, action, exports) in [
        // Any change raises the version.
        (json!({}), "metadata", 0),
        (json!({ "name": "renamed" }), "renamed", 0),
        (json!({ "parents": ["folder"] }), "moved", 0),
        (json!({ "trashed": true }), "trashed", 0),
        (json!({ "trashed": false }), "untrashed", 0),
        // The modification time changes with the name as well: only the text shows that it is not an edit.
        (json!({ "name": "renamed again", "by_api": true }), "renamed", 1),
        (json!({ "content": "Two" }), "modified", 1),
        (json!({ "content": "Three", "name": "edited" }), "modified", 1),
    ] {
        change["id"] = json!("doc");
        world.sim.reset_ledger();
        world.sim.admin("clock", json!({ "advance": 60 }));
        world.drive_admin("PUT", "files", &change);
        world.sync_drive().expect(0);
        expected.push(action);
        assert_eq!(world.actions(&user), expected);
        assert_eq!(world.sim.ledger()["by_method"]["files.export"].as_u64().unwrap_or(0), exports, "{change}");
    }
    assert_eq!(read(&world, "edited"), (Some("Three".into()), None));
    let report = world.syncctl(&["verify", "drive", "--all", "--json"]).expect(0).json();
    assert_eq!(report["consistent"], true, "{report}");
}

#[test]
fn a_spreadsheet_gives_all_its_sheets_and_says_when_it_cannot() {
    let (world, user) = one_user();
    let spreadsheet = "application/vnd.google-apps.spreadsheet";
    let sheets = json!([["Plan", "Item,Price\nPaper,12.5\n\n,7"], ["Q1 & Q2", "Grüße,4711"], ["Empty", ""]]);
    world
        .sim
        .admin("drive/files", json!({ "user": user, "id": "all", "name": "all", "mimeType": spreadsheet, "sheets": sheets }));
    // A hundred thousand cells, and more text than is stored.
    let long: String = (0..20_000).map(|row| format!("{row},some words in a cell,and more of them,{row}\n")).collect();
    world.sim.admin(
        "drive/files",
        json!({ "user": user, "id": "long", "name": "long", "mimeType": spreadsheet, "sheets": [["First", long], ["Second", "a"]] }),
    );
    world.sim.admin(
        "drive/files",
        json!({ "user": user, "id": "odd", "name": "odd", "mimeType": spreadsheet, "content": "a,b", "refused": "noWorkbook" }),
    );
    ["all", "long", "odd"].iter().for_each(|file| world.watch(&user, file));
    world.sync_drive().expect(0);
    let text = "## Plan\nItem,Price\nPaper,12.5\n,7\n\n## Q1 & Q2\nGrüße,4711\n\n## Empty\n\n";
    assert_eq!(read(&world, "all"), (Some(text.into()), None));
    let (body, note) = read(&world, "long");
    assert!(body.expect("text").starts_with("## First\n0,some words in a cell,and more of them,0\n1,"));
    assert!(note.is_none_or(|note| note.contains("drive.content_max_size")));
    let (body, note) = read(&world, "odd");
    assert_eq!(body.as_deref(), Some("a,b"));
    assert!(note.as_ref().is_some_and(|note| note.starts_with("first sheet only: the workbook cannot be unpacked")), "{note:?}");
}

#[test]
fn content_that_is_refused_holds_up_nothing_and_a_quota_is_waited_for() {
    let (mut world, user) = one_user();
    world.set("SYNCCTL_ENGINE_TRIES", "2");
    let reasons = ["downloadQuotaExceeded", "exportSizeLimitExceeded", "cannotDownloadFile", "cannotExportFile", "backendError"];
    for reason in reasons {
        world.sim.admin(
            "drive/files",
            json!({ "user": user, "id": reason, "name": reason, "mimeType": "text/plain", "content": "Text", "refused": reason }),
        );
        world.watch(&user, reason);
    }
    let other = world.add_file(&user, "other.txt", "Other");
    world.watch(&user, &other);
    world.sync_drive().expect(0);
    assert_eq!(world.actions(&user), ["created"; 6]);
    assert_eq!(read(&world, "other.txt"), (Some("Other".into()), None));
    for reason in reasons {
        let (body, note) = read(&world, reason);
        let expected = if reason == "backendError" { "Google failed to send it" } else { reason };
        assert!(body.is_none() && note.as_ref().is_some_and(|note| note.contains(expected)), "{reason}: {note:?}");
    }
    // Until the day is over only the backend failure is retried.
    world.sim.reset_ledger();
    world.sync_drive().expect(0);
    assert_eq!(world.sim.ledger()["by_method"]["files.get"], 1);
    for reason in reasons {
        world.drive_admin("PUT", "files", &json!({ "id": reason, "refused": "" }));
    }
    world.execute("UPDATE drive_file_watches SET retry_at = retry_at - interval '1 day'");
    world.sync_drive().expect(0);
    for reason in ["downloadQuotaExceeded", "backendError"] {
        assert_eq!(read(&world, reason), (Some("Text".into()), None));
    }
    assert_eq!(world.actions(&user)[6..], ["modified"; 2]);
}
