//! Files from a seed and from disk, and a mirror that follows the changes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::google::{ANN, BOB, BOTH, Google, seen};

#[test]
fn who_follows_the_feed_ends_with_what_is_there() {
    let google = Google::start();
    let order = json!({ "files": 60, "shared_drives": 2, "files_per_drive": 20, "seed": 7 });
    assert_eq!(google.admin("POST", "generate", order)["files"], 160);
    let fields = "fields=nextPageToken,newStartPageToken,changes(removed,changeType,fileId,file(id,name,version,md5Checksum,trashed,parents))";
    for user in [ANN, BOB] {
        // As in Google's guide: the user's own log, and that of each shared drive, which is authoritative for its files.
        let drives = google.ok(user, "drives")["drives"].clone();
        let drives = drives
            .as_array()
            .expect("drives")
            .iter()
            .map(|drive| format!("driveId={}&{BOTH}", drive["id"].as_str().expect("an id")));
        let mut feeds: Vec<(String, String, BTreeMap<String, Value>)> = std::iter::once(BOTH.to_owned())
            .chain(drives)
            .map(|feed| {
                let token = google.ok(user, &format!("changes/startPageToken?{feed}"))["startPageToken"].clone();
                (feed, token.as_str().expect("a token").to_owned(), BTreeMap::new())
            })
            .collect();
        for round in 0..4 {
            if round == 0 {
                // The tokens are older than the listings: changes after them arrive with the first changes.
                for (feed, _, mirror) in &mut feeds {
                    let corpora = if feed == BOTH { "user" } else { "drive" };
                    let listed = google.ok(user, &format!("files?pageSize=1000&fields=*&corpora={corpora}&{feed}"));
                    for file in listed["files"].as_array().expect("files") {
                        mirror.insert(file["id"].as_str().expect("an id").to_owned(), seen(file, "md5Checksum"));
                    }
                }
            }
            google.admin("POST", "churn", json!({ "changes": 80, "seed": round }));
            let size = if round == 0 { 7 } else { 50 };
            let mut mirrored = BTreeMap::new();
            for (feed, token, mirror) in &mut feeds {
                let (changes, next) = google.changes(user, token, &format!("pageSize={size}&{feed}&{fields}"));
                for change in changes.iter().filter(|change| change["changeType"] == "file") {
                    let id = change["fileId"].as_str().expect("an id").to_owned();
                    if change["removed"] == true {
                        drop(mirror.remove(&id))
                    } else {
                        drop(mirror.insert(id, seen(&change["file"], "md5Checksum")))
                    }
                }
                *token = next;
                mirrored.extend(mirror.clone());
            }
            let truth = google.truth(user);
            let all: std::collections::BTreeSet<&String> = mirrored.keys().chain(truth.keys()).collect();
            let wrong: Vec<_> =
                all.into_iter().map(|id| (id, mirrored.get(id), truth.get(id))).filter(|(_, one, other)| one != other).collect();
            assert!(wrong.is_empty(), "{user}, round {round}: {wrong:#?}");
        }
    }
}

#[test]
fn the_same_seed_makes_the_same_files_and_the_same_changes() {
    let made = |seed: u64| {
        let google = Google::start();
        let order = json!({ "files": 50, "shared_drives": 1, "members_per_drive": 1, "files_per_drive": 10, "seed": seed });
        let made = google.admin("POST", "generate", order);
        assert!(made["shared"].as_u64() > Some(0), "{made}");
        let changed = google.admin("POST", "churn", json!({ "changes": 60, "seed": seed }));
        assert_eq!(changed["counts"].as_object().expect("counts").values().filter_map(Value::as_u64).sum::<u64>(), 60);
        assert_eq!(google.ok(BOB, "drives")["drives"], json!([]), "one member only");
        [ANN, BOB].map(|user| google.truth(user))
    };
    let first = made(3);
    assert_eq!(first, made(3));
    assert_ne!(first, made(4));
}

#[test]
fn a_folder_on_disk_becomes_a_my_drive() {
    let google = Google::start();
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    google.admin("POST", "load", json!({ "path": data, "user": ANN }));
    let query = "q=name=%27drive%27%20and%20mimeType=%27application/vnd.google-apps.folder%27%20and%20%27root%27%20in%20parents";
    let folder = google.files(ANN, query).pop().expect("the folder");
    let inside = google.ok(
        ANN,
        &format!("files?q=%27{folder}%27%20in%20parents%20and%20name=%27store.rs%27&fields=files(id,size,mimeType,md5Checksum)"),
    );
    let file = &inside["files"][0];
    let text = std::fs::read_to_string(format!("{data}/drive/store.rs")).expect("the source");
    assert_eq!((&file["size"], &file["mimeType"]), (&json!(text.len().to_string()), &json!("text/x-rust")));
    assert_eq!(google.text(ANN, &format!("files/{}?alt=media", file["id"].as_str().expect("an id"))), (200, text));
}
