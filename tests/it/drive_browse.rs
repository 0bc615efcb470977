//! `drive list` and `drive show`: files from the database alone, and what may be missing in them.

use serde_json::{Value, json};

use crate::support::World;

const FOLDER: &str = "application/vnd.google-apps.folder";

/// A user with two folders of files; the second user sees one of them.
fn filed() -> (World, String, String) {
    let world = World::with_files(2, 0);
    let users: Vec<String> = world.sim.users().into_iter().collect();
    let add = |file| world.sim.admin("drive/files", file);
    add(json!({ "user": users[0], "id": "dir", "name": "Plans", "mimeType": FOLDER }));
    add(json!({ "user": users[0], "id": "sub", "name": "2026", "mimeType": FOLDER, "parents": ["dir"] }));
    for (id, name) in [("b", "b.txt"), ("a", "a.txt"), ("gone", "gone.txt")] {
        add(json!({ "user": users[0], "id": id, "name": name, "content": "One", "parents": ["sub"] }));
    }
    add(
        json!({ "user": users[0], "id": "odd", "name": "odd\u{1b}[2J\nname\u{202e}.txt", "content": "One", "description": "About\nit" }),
    );
    world.drive_admin("PUT", "files", &json!({ "id": "gone", "trashed": true }));
    world.sim.admin("drive/share", json!({ "id": "dir", "user": users[1] }));
    world.sim.admin("drive/share", json!({ "id": "a", "outsider": "guest@partner.example", "role": "writer" }));
    world.sync_drive().expect(0);
    (world, users[0].clone(), users[1].clone())
}

fn list(world: &World, user: &str, arguments: &[&str]) -> Value {
    world.syncctl(&[&["drive", "list", user, "--json"], arguments].concat()).expect(0).json()
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

fn ids(listed: &Value) -> Vec<String> {
    let files = listed["files"].as_array().expect("files").iter();
    files.map(|file| file["file_id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn files_are_listed_by_folder_owner_and_whether_they_are_shared() {
    let (world, ann, bob) = filed();
    world.sim.reset_ledger();
    for folder in ["/Plans/2026", "Plans/2026/", "sub"] {
        assert_eq!(ids(&list(&world, &ann, &["--folder", folder])), ["a", "b"], "by name, without the trash: {folder}");
    }
    assert_eq!(sorted(ids(&list(&world, &ann, &["--folder", "/"]))), ["dir", "odd"]);
    assert_eq!(ids(&list(&world, &bob, &["--folder", "/"])), ["dir"], "shared with this user");
    assert_eq!(sorted(ids(&list(&world, &ann, &["--shared"]))), ["a", "b", "dir", "sub"]);
    assert_eq!(list(&world, &bob, &["--owner", &bob])["of"], 0);
    let of_ann = list(&world, &bob, &["--owner", &ann.to_uppercase(), "--limit", "2"]);
    assert_eq!((ids(&of_ann).len(), &of_ann["of"]), (2, &json!(4)));
    assert_eq!(of_ann["files"][0]["owners"], json!([ann]));
    let text = world.syncctl(&["drive", "list", &bob, "--limit", "2"]).expect(0).stdout;
    assert!(text.contains("times in ") && text.contains("2 files of 4"), "{text}");
    assert_eq!(text.lines().count(), 1 + 2 + 2, "{text}");
    assert_eq!(world.sim.ledger()["total"], 0, "from the database alone");
    // Two folders of the same path.
    world.sim.admin("drive/files", json!({ "user": ann, "id": "twin", "name": "Plans", "mimeType": FOLDER }));
    world.sync_drive().expect(0);
    let refused = |folder: &str| world.syncctl(&["drive", "list", &ann, "--folder", folder]).expect(2).stderr;
    assert!(refused("/Plans").contains("2 folders have the path /Plans: give one of the ids dir, twin"), "{}", refused("/Plans"));
    for none in ["/Plans/2027", "a", ""] {
        assert!(refused(none).contains("the user sees no folder"), "{none}");
    }
    assert!(world.syncctl(&["drive", "list", "nouser@example.com"]).expect(2).stderr.contains("no user nouser@example.com"));
}

#[test]
fn a_file_is_shown_with_its_owner_permissions_and_document() {
    let (world, ann, bob) = filed();
    world.watch(&ann, "a");
    world.sync_drive().expect(0);
    let text = world.syncctl(&["drive", "show", &ann, "a"]).expect(0).stdout;
    let owner = format!("owner     {ann}");
    for line in ["path      /Plans/2026/a.txt", &owner, "shared    yes", "version   ", "modified  20"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    for row in [
        vec!["user", "guest@partner.example", "writer", "guest"],
        vec!["user", &bob, "reader", bob.split('@').next().expect("a name"), "inherited"],
    ] {
        assert!(rows.contains(&row), "{row:?} in {text}");
    }
    let json = world.syncctl(&["drive", "show", &ann, "a", "--json"]).expect(0).json();
    assert_eq!((&json["permissions_known"], json["permissions"].as_array().map(Vec::len)), (&json!("all"), Some(3)));
    let guest = json["permissions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|one| one["email"] == "guest@partner.example")
        .expect("a guest");
    assert_eq!((&guest["type"], &guest["role"], &guest["inherited"]), (&json!("user"), &json!("writer"), &json!(false)));
    let document = world.text("SELECT id::text FROM documents");
    assert_eq!((&json["document"]["id"], &json["is_followed"]), (&json!(document), &json!(true)));
    assert!(text.contains(&format!("document  {document}, version 1")), "{text}");
    // As the other user sees it, who may not share it.
    let text = world.syncctl(&["drive", "show", &bob, "a"]).expect(0).stdout;
    assert!(text.contains("Google does not show the permissions to this user") && !text.contains("guest@"), "{text}");
    assert!(text.contains("document  none: see"), "{text}");
    let refused = world.syncctl(&["drive", "show", &bob, "odd"]).expect(2).stderr;
    assert!(refused.contains("the user sees no file odd"), "{refused}");
}

#[test]
fn names_from_outside_do_not_control_the_terminal() {
    let (world, ann, _) = filed();
    for arguments in [&["drive", "list", &ann][..], &["drive", "show", &ann, "odd"]] {
        let text = world.syncctl(arguments).expect(0).stdout;
        assert!(!text.contains(['\u{1b}', '\u{202e}']) && text.contains("odd"), "{text:?}");
    }
    let text = world.syncctl(&["drive", "show", &ann, "odd"]).expect(0).stdout;
    assert!(text.contains("about     About it"), "{text}");
}

#[test]
fn what_may_be_missing_or_outdated_is_reported() {
    let world = World::with_files(1, 3);
    let user = world.first_user();
    let told = world.syncctl(&["drive", "list", &user]).expect(1);
    assert!(told.stderr.contains("files may be missing or outdated: "), "{told:?}");
    world.sync_drive().expect(0);
    list(&world, &user, &[]);
    for (trouble, reason, over) in [
        (
            "UPDATE streams SET failures = 1 WHERE kind = 'changes'",
            "My Drive: its last poll failed",
            "UPDATE streams SET failures = 0",
        ),
        (
            "UPDATE streams SET pinned = cursor, cursor = NULL WHERE kind = 'changes'",
            "My Drive: a full pass is in progress",
            "UPDATE streams SET cursor = pinned, pinned = NULL WHERE kind = 'changes'",
        ),
        (
            "UPDATE streams SET failures = 1 WHERE kind = 'drive_list'",
            "the list of shared drives: its last poll failed",
            "UPDATE streams SET failures = 0",
        ),
        (
            "INSERT INTO quarantined_items (stream_id, item_id, raw, error) SELECT id, 'x', '{}', 'x' FROM streams WHERE kind = 'changes'",
            "My Drive: items of it could not be read",
            "DELETE FROM quarantined_items",
        ),
    ] {
        world.execute(trouble);
        let told = world.syncctl(&["drive", "list", &user, "--json"]).expect(1);
        assert!(told.stderr.contains(reason) && told.json()["incomplete"].as_array().map(Vec::len) == Some(1), "{told:?}");
        world.execute(over);
    }
    world.syncctl(&["accounts", "revoke", &user]).expect(0);
    let told = world.syncctl(&["drive", "list", &user]).expect(1);
    assert!(told.stderr.contains("it is not synced (revoked)"), "{told:?}");
}
