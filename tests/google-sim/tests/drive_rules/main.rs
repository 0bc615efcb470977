//! Drive's rules in the simulator, over HTTP: change feeds, shared files and drives, content.

mod google;
mod made;
mod sharing;

use google::{ANN, BOB, BOTH, Google};
use serde_json::{Value, json};

const FOLDER: &str = "application/vnd.google-apps.folder";
const DOCUMENT: &str = "application/vnd.google-apps.document";

fn ids(changes: &[Value]) -> Vec<&str> {
    changes.iter().map(|change| change["fileId"].as_str().expect("an id")).collect()
}

#[test]
fn every_file_comes_once_in_its_latest_state_and_the_new_start_at_the_end() {
    let google = Google::start();
    let start = google.start_token(ANN);
    for id in ["a", "b", "c"] {
        google.add(json!({ "user": ANN, "id": id, "name": format!("{id}.txt"), "content": "one" }));
    }
    google.admin("PUT", "files", json!({ "id": "a", "name": "renamed.txt" }));
    let (changes, end) = google.changes(ANN, &start, "pageSize=1");
    assert_eq!(ids(&changes), ["b", "c", "a"]);
    assert_eq!((&changes[2]["file"]["name"], &changes[2]["removed"]), (&json!("renamed.txt"), &json!(false)));
    assert_eq!(google.changes(ANN, &end, "").0, Vec::<Value>::new());
    assert_eq!(google.changes(ANN, &start, "").0, changes, "tokens do not expire");
    google.admin("PUT", "files", json!({ "id": "b", "trashed": true }));
    let (changes, _) = google.changes(ANN, &end, "fields=*");
    assert_eq!((ids(&changes), &changes[0]["removed"]), (vec!["b"], &json!(false)));
    assert_eq!((&changes[0]["file"]["trashed"], &changes[0]["file"]["version"]), (&json!(true), &json!("3")));
}

#[test]
fn requests_that_google_refuses_are_refused() {
    let google = Google::start();
    let start = google.start_token(ANN);
    let drive =
        google.admin("POST", "drives", json!({ "name": "Team", "members": [ANN] }))["id"].as_str().expect("an id").to_owned();
    for (path, expected) in [
        ("changes".into(), (400, "required")),
        ("changes?pageToken=12".into(), (400, "invalidParameter")),
        (format!("changes?pageToken={start}&pageSize=1001"), (400, "invalidParameter")),
        (format!("changes?pageToken={start}&pageSize=0"), (400, "invalidParameter")),
        (format!("changes?pageToken={start}&includeItemsFromAllDrives=true"), (400, "invalidParameter")),
        (format!("changes?pageToken={start}&supportsAllDrives=true&driveId={drive}"), (400, "invalidParameter")),
        (format!("changes?pageToken={start}&{BOTH}&driveId={drive}"), (400, "invalidParameter")),
        (format!("changes?pageToken={start}&{BOTH}&driveId=other"), (404, "notFound")),
        (format!("changes/startPageToken?driveId={drive}"), (400, "invalidParameter")),
        (format!("files?{BOTH}&driveId={drive}"), (400, "invalidParameter")),
        ("files?corpora=allDrives".into(), (400, "invalidParameter")),
        ("files?q=name%20contains%20%27x%27".into(), (400, "invalidParameter")),
        ("files?pageSize=1001".into(), (400, "invalidParameter")),
        (format!("changes?pageToken={start}&fields=changes(file(id,md5))"), (400, "invalidParameter")),
        ("files?fields=items(id)".into(), (400, "invalidParameter")),
        ("files/none".into(), (404, "notFound")),
    ] {
        assert_eq!(google.refusal(ANN, &path), (expected.0, expected.1.to_owned()), "{path}");
    }
}

#[test]
fn a_removal_is_named_unless_it_is_not_wanted() {
    let google = Google::start();
    google.add(json!({ "user": ANN, "id": "a", "name": "a.txt", "content": "one" }));
    let start = google.start_token(ANN);
    google.admin("DELETE", "files", json!({ "id": "a" }));
    let (changes, _) = google.changes(ANN, &start, "fields=*");
    assert_eq!((ids(&changes), &changes[0]["removed"], changes[0].get("file")), (vec!["a"], &json!(true), None));
    assert_eq!(google.changes(ANN, &start, "includeRemoved=false").0, Vec::<Value>::new());
}

#[test]
fn only_users_who_lose_access_see_a_removal() {
    let google = Google::start();
    google.add(json!({ "user": ANN, "id": "dir", "name": "dir", "mimeType": FOLDER }));
    google.add(json!({ "user": ANN, "id": "a", "name": "a.txt", "content": "one", "parents": ["dir"] }));
    let start = google.start_token(BOB);
    google.admin("POST", "share", json!({ "id": "a", "user": BOB }));
    let (changes, shared) = google.changes(BOB, &start, "fields=*");
    assert_eq!((ids(&changes), &changes[0]["removed"]), (vec!["a"], &json!(false)));
    let file = &changes[0]["file"];
    assert_eq!((file.get("parents"), &file["ownedByMe"], &file["owners"][0]["emailAddress"]), (None, &json!(false), &json!(ANN)));
    assert_eq!(google.ok(ANN, "files/a?fields=parents,shared"), json!({ "shared": true, "parents": ["dir"] }));
    let anns = google.start_token(ANN);
    google.admin("POST", "unshare", json!({ "id": "a", "user": BOB }));
    assert_eq!(google.changes(BOB, &shared, "").0[0]["removed"], true);
    assert_eq!(google.changes(ANN, &anns, "").0[0]["removed"], false);
    assert_eq!(google.refusal(BOB, "files/a"), (404, "notFound".into()));
    assert_eq!(google.files(BOB, ""), [""; 0]);
}

#[test]
fn items_of_shared_drives_come_only_to_those_who_ask_for_them() {
    let google = Google::start();
    let (mine, bobs) = (google.start_token(ANN), google.start_token(BOB));
    google.admin("POST", "drives", json!({ "id": "0Ateam", "name": "Team", "members": [ANN] }));
    let path = format!("changes/startPageToken?driveId=0Ateam&{BOTH}");
    let drives = google.ok(ANN, &path)["startPageToken"].as_str().expect("a token").to_owned();
    google.add(json!({ "drive": "0Ateam", "id": "t", "name": "t.txt", "content": "one" }));
    google.add(json!({ "user": ANN, "id": "m", "name": "m.txt", "content": "one" }));
    assert_eq!(ids(&google.changes(ANN, &mine, "").0), ["m"]);
    let (all, seen) = google.changes(ANN, &mine, BOTH);
    // Members find changes in the drive in the drive's log.
    assert_eq!((&all[0]["changeType"], &all[0]["driveId"], ids(&all[1..])), (&json!("drive"), &json!("0Ateam"), vec!["m"]));
    let (team, _) = google.changes(ANN, &drives, &format!("driveId=0Ateam&fields=*&{BOTH}"));
    assert_eq!((ids(&team), &team[0]["file"]["driveId"], team[0]["file"].get("owners")), (vec!["t"], &json!("0Ateam"), None));
    assert_eq!(google.refusal(BOB, &path), (404, "notFound".into()));
    assert_eq!(google.changes(BOB, &bobs, BOTH).0, Vec::<Value>::new());
    assert_eq!((google.files(ANN, ""), google.files(ANN, BOTH)), (vec!["m".into()], vec!["m".into()]));
    assert_eq!(google.files(ANN, &format!("corpora=allDrives&{BOTH}")), ["m", "t"]);
    assert_eq!(google.files(ANN, &format!("corpora=drive&driveId=0Ateam&{BOTH}")), ["t"]);
    assert_eq!(google.refusal(ANN, "files/t"), (404, "notFound".into()));
    assert_eq!(google.ok(ANN, "files/t?supportsAllDrives=true")["id"], "t");
    assert_eq!(google.ok(ANN, "drives")["drives"], json!([{ "kind": "drive#drive", "id": "0Ateam", "name": "Team" }]));

    google.admin("DELETE", "members", json!({ "drive": "0Ateam", "user": ANN }));
    let (lost, _) = google.changes(ANN, &seen, BOTH);
    assert_eq!((lost.len(), &lost[0]["changeType"], &lost[0]["removed"]), (1, &json!("drive"), &json!(true)));
    assert_eq!(google.refusal(ANN, &path), (404, "notFound".into()));
    assert_eq!(google.files(ANN, BOTH), ["m"]);
}

#[test]
fn a_file_of_a_shared_drive_is_in_the_own_log_of_who_got_it_or_works_with_it() {
    let google = Google::start();
    google.admin("POST", "drives", json!({ "id": "0Ateam", "name": "Team", "members": [ANN] }));
    let (anns, bobs) = (google.start_token(ANN), google.start_token(BOB));
    google.add(json!({ "drive": "0Ateam", "id": "dir", "name": "dir", "mimeType": "application/vnd.google-apps.folder" }));
    google.add(json!({ "drive": "0Ateam", "id": "in", "name": "in.txt", "content": "one", "parents": ["dir"] }));
    google.add(json!({ "drive": "0Ateam", "id": "out", "name": "out.txt", "content": "one" }));
    google.admin("POST", "share", json!({ "id": "dir", "user": BOB }));
    google.add(json!({ "drive": "0Ateam", "id": "new", "name": "new.txt", "content": "one", "parents": ["dir"] }));
    // A folder with its contents, and nothing for clients that do not include items of shared drives.
    assert_eq!(ids(&google.changes(BOB, &bobs, BOTH).0), ["dir", "in", "new"]);
    assert_eq!(google.files(BOB, BOTH), ["dir", "in", "new"]);
    assert_eq!((google.changes(BOB, &bobs, "").0, google.files(BOB, "")), (vec![], vec![]));
    assert_eq!(google.refusal(BOB, "files/out?supportsAllDrives=true"), (404, "notFound".into()));
    assert_eq!(
        google.ok(BOB, "files/in?supportsAllDrives=true&fields=parents,driveId"),
        json!({ "parents": ["dir"], "driveId": "0Ateam" })
    );
    // A member finds the files they work with in their own log, and gets no removal when they leave the drive.
    assert_eq!(google.changes(ANN, &anns, BOTH).0, Vec::<Value>::new());
    google.admin("POST", "open", json!({ "id": "out", "user": ANN }));
    let (opened, seen) = google.changes(ANN, &anns, BOTH);
    assert_eq!((ids(&opened), google.files(ANN, BOTH)), (vec!["out"], vec!["out".into()]));
    google.admin("DELETE", "members", json!({ "drive": "0Ateam", "user": ANN }));
    let (changes_left, _) = google.changes(ANN, &seen, BOTH);
    assert_eq!((changes_left.len(), &changes_left[0]["changeType"], google.files(ANN, BOTH)), (1, &json!("drive"), vec![]));
    // Unshared, it is removed from the user's own log; a member still sees it in the drive's.
    google.admin("POST", "drives", json!({ "id": "0Ateam", "name": "Team", "members": [BOB] }));
    let seen = google.start_token(BOB);
    google.admin("POST", "unshare", json!({ "id": "dir", "user": BOB }));
    let (gone, _) = google.changes(BOB, &seen, BOTH);
    assert_eq!((ids(&gone), &gone[0]["removed"]), (vec!["dir", "in", "new"], &json!(true)));
    assert_eq!(google.ok(BOB, "files/in?supportsAllDrives=true")["id"], "in");
}

#[test]
fn a_file_shows_four_fields_unless_more_are_asked_for() {
    let google = Google::start();
    google.add(json!({ "user": ANN, "id": "a", "name": "a.md", "content": "# one" }));
    google.add(json!({ "user": ANN, "id": "d", "name": "Doc", "mimeType": DOCUMENT, "content": "text" }));
    let short = json!({ "kind": "drive#file", "id": "a", "name": "a.md", "mimeType": "text/markdown" });
    assert_eq!(google.ok(ANN, "files/a"), short);
    assert_eq!(google.ok(ANN, "files?pageSize=1")["files"], json!([short]));
    let some = google.ok(ANN, "files/a?fields=md5Checksum,size,fileExtension,capabilities/canDownload");
    assert_eq!(
        (&some["size"], &some["fileExtension"], &some["capabilities"]),
        (&json!("5"), &json!("md"), &json!({ "canDownload": true }))
    );
    assert_eq!(some["md5Checksum"], "7ee5511cb8e9ca18a43ce272b2283911");
    let doc = google.ok(ANN, "files/d?fields=*");
    assert_eq!(["md5Checksum", "size", "headRevisionId"].map(|name| doc.get(name)), [None; 3]);
    let page = google.ok(ANN, "files?pageSize=1&fields=nextPageToken,files(id,trashed)");
    assert_eq!(page["files"], json!([{ "id": "a", "trashed": false }]));
    assert!(page["nextPageToken"].is_string() && page.get("kind").is_none(), "{page}");
}

#[test]
fn content_is_downloaded_and_google_docs_are_exported() {
    let google = Google::start();
    google.add(json!({ "user": ANN, "id": "a", "name": "a.txt", "content": "héllo" }));
    google.add(json!({ "user": ANN, "id": "d", "name": "Doc", "mimeType": DOCUMENT, "content": "# plan" }));
    google.add(json!({ "user": ANN, "id": "full", "name": "Doc", "mimeType": DOCUMENT, "size": 10_485_760 }));
    google.add(json!({ "user": ANN, "id": "huge", "name": "Doc", "mimeType": DOCUMENT, "size": 10_485_761 }));
    google.add(json!({ "user": ANN, "id": "no", "name": "no.txt", "content": "x", "can_download": false }));
    assert_eq!(google.text(ANN, "files/a?alt=media"), (200, "héllo".into()));
    assert_eq!(google.text(ANN, "files/d/export?mimeType=text/markdown"), (200, "# plan".into()));
    assert_eq!(google.text(ANN, "files/full/export?mimeType=text/plain").1.len(), 10_485_760);
    for (path, expected) in [
        ("files/huge/export?mimeType=text/plain", (403, "exportSizeLimitExceeded")),
        ("files/a/export?mimeType=text/plain", (403, "fileNotExportable")),
        ("files/d/export?mimeType=text/csv", (400, "invalidParameter")),
        ("files/d/export", (400, "required")),
        ("files/d?alt=media", (403, "fileNotDownloadable")),
        ("files/no?alt=media", (403, "cannotDownloadFile")),
    ] {
        assert_eq!(google.refusal(ANN, path), (expected.0, expected.1.to_owned()), "{path}");
    }
}

#[test]
fn a_folder_takes_what_is_in_it_along() {
    let google = Google::start();
    google.add(json!({ "user": ANN, "id": "dir", "name": "dir", "mimeType": FOLDER }));
    google.add(json!({ "user": ANN, "id": "a", "name": "a.txt", "content": "one", "parents": ["dir"] }));
    google.admin("POST", "share", json!({ "id": "dir", "user": BOB }));
    google.add(json!({ "user": ANN, "id": "b", "name": "b.txt", "content": "two", "parents": ["dir"] }));
    assert_eq!(google.files(BOB, "q='dir'%20in%20parents%20and%20trashed=false"), ["a", "b"]);
    google.admin("PUT", "files", json!({ "id": "dir", "trashed": true }));
    assert_eq!(
        google.ok(BOB, "files/a?fields=trashed,explicitlyTrashed"),
        json!({ "trashed": true, "explicitlyTrashed": false })
    );
    assert_eq!(google.files(ANN, "q=trashed%20=%20true&pageSize=1"), ["a", "b", "dir"]);
    google.admin("PUT", "files", json!({ "id": "dir", "trashed": false }));
    assert_eq!(google.files(ANN, "q=trashed%20=%20true"), [""; 0]);
    let start = google.start_token(BOB);
    google.admin("DELETE", "files", json!({ "id": "dir" }));
    let (gone, _) = google.changes(BOB, &start, "");
    assert!(gone.len() == 3 && gone.iter().all(|change| change["removed"] == true), "{gone:?}");
}

#[test]
fn calls_are_counted_by_feed_and_fail_by_method() {
    let google = Google::start();
    let start = google.start_token(ANN);
    google.changes(ANN, &start, "");
    let (_, ledger) = google.send("GET", "/admin/ledger", &Value::Null);
    assert_eq!(ledger["by_stream"], json!({ "ann@example.com/drive/my": 2 }));
    assert_eq!((&ledger["quota_units"], &ledger["by_method"]["changes.list"]), (&json!(105), &json!(1)));
    google.send("POST", "/admin/faults", &json!({ "fault": "rate_limit_403", "method": "changes.list" }));
    assert_eq!(google.refusal(ANN, &format!("changes?pageToken={start}")), (403, "rateLimitExceeded".into()));
    assert_eq!(google.get(ANN, "files").0, 200);
}

#[test]
fn a_first_page_may_come_empty_with_a_token_for_the_rest() {
    let google = Google::start();
    google.add(json!({ "user": ANN, "id": "a", "name": "a.txt", "content": "one" }));
    google.send("POST", "/admin/empty_pages", &json!({ "probability": 1.0 }));
    let page = google.ok(ANN, "files");
    assert!(page["files"] == json!([]) && page["nextPageToken"].is_string(), "{page}");
    assert_eq!(google.files(ANN, ""), ["a"]);
}

#[test]
fn a_batch_answers_each_call_for_itself() {
    let google = Google::start();
    google.add(json!({ "user": ANN, "id": "a", "name": "a.txt", "content": "one" }));
    let part = |id: &str| {
        format!(
            "--x\r\nContent-Type: application/http\r\nContent-ID: <{id}>\r\n\r\nGET /drive/v3/files/{id} HTTP/1.1\r\n\r\n\r\n"
        )
    };
    let body = format!("{}{}--x--", part("a"), part("none"));
    let request =
        google.agent.post(format!("{}/batch/drive/v3", google.url)).header("content-type", "multipart/mixed; boundary=x");
    let mut answer = request.header("authorization", format!("Bearer {}", google.tokens[ANN])).send(&body).expect("an answer");
    let text = answer.body_mut().read_to_string().expect("text");
    let statuses: Vec<&str> = text.lines().filter(|line| line.starts_with("HTTP/1.1")).collect();
    assert_eq!(statuses, ["HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found"]);
}
