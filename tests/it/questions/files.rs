//! Questions about files, compared with what a client of the Drive API lists. Owners and what is shared outside are asked in `drive_permissions`.

use std::collections::BTreeSet;

use chrono::Duration;
use serde_json::{Value, json};

use super::{ANN, Question, text, time};
use crate::instances::accounts;
use crate::support::World;
use crate::support::google::Google;
use crate::support::sim::field;

const FOLDER: &str = "application/vnd.google-apps.folder";

/// Ann's files, of which many are in the folder of the page and below it; of these, some have just been edited, and one is in the trash.
fn filed() -> World {
    let world = World::with_files(2, 60);
    for (id, name, parent) in [("plans", "Plans", None), ("year", "2026", Some("plans")), ("quarter", "Q1", Some("year"))] {
        let parents: Vec<&str> = parent.into_iter().collect();
        world.sim.admin("drive/files", json!({ "user": ANN, "id": id, "name": name, "mimeType": FOLDER, "parents": parents }));
    }
    world.sim.admin(
        "drive/files",
        json!({ "user": ANN, "id": "twin", "name": "2026 (old)", "mimeType": FOLDER, "parents": ["plans"] }),
    );
    let state = world.sim.text(&format!("drive/state?user={ANN}"));
    let lines = state.lines().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let own = lines.filter(|line| line["mimeType"] != FOLDER && line["details"]["ownedByMe"] == true);
    let files: Vec<String> = own.map(|line| field(&line, "id")).collect();
    assert!(files.len() > 40, "{} files", files.len());
    for (nth, file) in files.iter().enumerate() {
        let folder = ["year", "quarter", "twin", "plans", "year"][nth % 5];
        world.drive_admin("PUT", "files", &json!({ "id": file, "parents": [folder] }));
        if nth % 3 == 0 {
            world.drive_admin("PUT", "files", &json!({ "id": file, "content": format!("edited {nth}") }));
        }
    }
    // The first is in the folder, and was edited.
    world.drive_admin("PUT", "files", &json!({ "id": files[0], "trashed": true }));
    world.sync_drive().expect(0);
    world
}

/// Path and file of everything below a folder that is not in the trash.
fn below(google: &Google, folder: &str, path: &str) -> Vec<(String, Value)> {
    let query = format!("'{folder}' in parents and trashed = false");
    let fields = "nextPageToken,files(id,name,mimeType,modifiedTime)";
    let children = google.all("drive/v3/files", &[("q", &query), ("fields", fields)], "files").into_iter();
    children
        .flat_map(|file| {
            let path = format!("{path}/{}", field(&file, "name"));
            if file["mimeType"] == FOLDER { below(google, &field(&file, "id"), &path) } else { vec![(path, file)] }
        })
        .collect()
}

#[test]
fn files_changed_below_a_folder_are_those_that_google_lists_there() {
    let world = filed();
    let answer = Question::of("Which files in a folder changed in the last week?").ask(&world);
    assert_eq!(answer.scanned, [""; 0]);
    let accounts = accounts(&world);
    let account = accounts.iter().find(|account| account["email"] == ANN).expect("Ann's account");
    let all = below(&Google::of(&world.sim, account), "year", "/Plans/2026");
    let since = answer.now - Duration::days(7);
    let changed = all.iter().map(|(path, file)| (time(file, "modifiedTime"), path.clone(), field(file, "id")));
    let expected: BTreeSet<_> = changed.filter(|(at, _, _)| *at > since).collect();
    let row = |row: &Value| (time(row, "modified_at"), text(row, "path"), text(row, "file_id"));
    let found: Vec<_> = answer.rows.iter().map(row).collect();
    assert!(found.is_sorted_by_key(|(at, _, _)| std::cmp::Reverse(*at)), "{found:#?}");
    assert!(found.len() > 6 && found.len() < all.len(), "{} of {} files", found.len(), all.len());
    assert!(found.iter().any(|(_, path, _)| path.starts_with("/Plans/2026/Q1/")), "{found:#?}");
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}
