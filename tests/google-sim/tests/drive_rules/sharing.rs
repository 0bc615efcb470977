//! Permissions: who gets them, who sees them, and how folders pass them on.

use serde_json::{Value, json};

use super::google::{ANN, BOB, BOTH, Google};

const FOLDER: &str = "application/vnd.google-apps.folder";

/// Ann's folder with a file in it.
fn folder() -> Google {
    let google = Google::start();
    google.add(json!({ "user": ANN, "id": "dir", "name": "dir", "mimeType": FOLDER }));
    google.add(json!({ "user": ANN, "id": "a", "name": "a.txt", "content": "one", "parents": ["dir"] }));
    google
}

/// Of each permission that the user sees: type, role, and whether it is only inherited.
fn permissions(google: &Google, user: &str, id: &str) -> Option<Vec<(String, String, bool)>> {
    let file = google.ok(user, &format!("files/{id}?{BOTH}&fields=permissions"));
    let field = |one: &Value, name: &str| one[name].as_str().expect("a text").to_owned();
    let inherited =
        |one: &Value| one["permissionDetails"].as_array().expect("details").iter().all(|detail| detail["inherited"] == true);
    let all = file.get("permissions")?.as_array().expect("a list").iter();
    Some(all.map(|one| (field(one, "type"), field(one, "role"), inherited(one))).collect())
}

fn one(kind: &str, role: &str, inherited: bool) -> (String, String, bool) {
    (kind.into(), role.into(), inherited)
}

#[test]
fn permissions_are_shown_to_those_who_may_share_and_in_full() {
    let google = folder();
    let owner = one("user", "owner", false);
    assert_eq!(permissions(&google, ANN, "a"), Some(vec![owner.clone()]));
    google.admin("POST", "share", json!({ "id": "a", "user": BOB }));
    google.admin("POST", "share", json!({ "id": "a", "anyone": true, "role": "commenter" }));
    let all = vec![one("user", "reader", false), one("anyone", "commenter", false), owner];
    assert_eq!(permissions(&google, ANN, "a"), Some(all));
    assert_eq!(permissions(&google, BOB, "a"), None, "a reader");
    let seen = google.ok(BOB, "files/a?fields=owners/emailAddress,ownedByMe,shared,permissionIds,starred");
    assert_eq!(seen, json!({ "owners": [{ "emailAddress": ANN }], "ownedByMe": false, "shared": true, "starred": false }));
    google.admin("POST", "share", json!({ "id": "a", "user": BOB, "role": "writer" }));
    assert_eq!(permissions(&google, BOB, "a"), permissions(&google, ANN, "a"));
    let link = google.ok(ANN, "files/a?fields=permissions")["permissions"][1].clone();
    assert_eq!(
        (&link["id"], &link["allowFileDiscovery"], link.get("emailAddress")),
        (&json!("anyoneWithLink"), &json!(false), None)
    );
}

#[test]
fn contents_of_a_folder_inherit_its_permissions_and_keep_what_they_got_directly() {
    let google = folder();
    let (owner, direct) = (one("user", "owner", false), one("user", "reader", false));
    google.admin("POST", "share", json!({ "id": "dir", "user": BOB, "role": "writer" }));
    assert_eq!(permissions(&google, ANN, "a"), Some(vec![one("user", "writer", true), owner.clone()]));
    google.admin("POST", "share", json!({ "id": "a", "user": BOB, "role": "reader" }));
    assert_eq!(permissions(&google, ANN, "a"), Some(vec![one("user", "writer", false), owner.clone()]), "the higher role counts");
    let (status, _) = google.send("POST", "/admin/drive/unshare", &json!({ "id": "a", "outsider": "x@y.example" }));
    assert_eq!(status, 400);
    google.admin("POST", "unshare", json!({ "id": "dir", "user": BOB }));
    assert_eq!(permissions(&google, ANN, "a"), Some(vec![direct, owner]));
    // Moved out of a shared folder, a file loses what it inherited.
    google.admin("POST", "share", json!({ "id": "dir", "group": "team@example.com" }));
    assert_eq!(permissions(&google, ANN, "a").map(|all| all.len()), Some(3));
    google.admin("PUT", "files", json!({ "id": "a", "parents": [] }));
    assert_eq!(permissions(&google, ANN, "a").map(|all| all.len()), Some(2));
}

#[test]
fn a_new_owner_gets_the_file_and_the_former_one_can_write() {
    let google = folder();
    let (anns, bobs) = (google.start_token(ANN), google.start_token(BOB));
    google.admin("POST", "transfer", json!({ "id": "a", "user": BOB }));
    let fields = "files/a?fields=ownedByMe,parents,owners/emailAddress";
    assert_eq!(
        google.ok(BOB, fields),
        json!({ "owners": [{ "emailAddress": BOB }], "ownedByMe": true }),
        "the folder is not shared"
    );
    assert_eq!(google.ok(ANN, fields), json!({ "owners": [{ "emailAddress": BOB }], "ownedByMe": false, "parents": ["dir"] }));
    assert_eq!(permissions(&google, ANN, "a"), Some(vec![one("user", "writer", false), one("user", "owner", false)]));
    for (user, token) in [(ANN, anns), (BOB, bobs)] {
        let (changes, _) = google.changes(user, &token, "");
        assert_eq!((changes.len(), &changes[0]["removed"]), (1, &json!(false)), "{user}");
    }
}

#[test]
fn items_of_a_shared_drive_have_neither_owners_nor_permissions_but_ids() {
    let google = Google::start();
    google.admin("POST", "drives", json!({ "id": "0Ateam", "name": "Team", "members": [ANN] }));
    google.add(json!({ "drive": "0Ateam", "id": "a", "name": "a.txt", "content": "one" }));
    google.admin("POST", "share", json!({ "id": "a", "user": BOB, "role": "writer" }));
    for user in [ANN, BOB] {
        let file = google.ok(user, &format!("files/a?{BOTH}&fields=*"));
        assert_eq!(["owners", "ownedByMe", "shared", "permissions"].map(|name| file.get(name)), [None; 4], "{user}");
        assert_eq!(file["permissionIds"].as_array().map(Vec::len), Some(2));
        assert_eq!(file["hasAugmentedPermissions"], true);
    }
}
