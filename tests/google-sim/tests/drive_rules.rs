//! Drive's rules in the simulator, over HTTP: change feeds, shared files and drives, content.

use std::collections::BTreeMap;

use google_sim::Sim;
use serde_json::{Value, json};

const ANN: &str = "ann@example.com";
const BOB: &str = "bob@example.com";
const FOLDER: &str = "application/vnd.google-apps.folder";
const DOCUMENT: &str = "application/vnd.google-apps.document";
const BOTH: &str = "supportsAllDrives=true&includeItemsFromAllDrives=true";

/// A running simulator with two users and their tokens.
struct Google {
    url: String,
    agent: ureq::Agent,
    tokens: BTreeMap<String, String>,
    _runtime: tokio::runtime::Runtime,
}

impl Google {
    fn start() -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let url = runtime.block_on(Sim::start()).expect("a simulator").url.clone();
        let agent = ureq::Agent::config_builder().http_status_as_error(false).allow_non_standard_methods(true).build().into();
        let mut google = Self { url, agent, tokens: BTreeMap::new(), _runtime: runtime };
        for user in [ANN, BOB] {
            let account = google.send("POST", "/admin/users", &json!({ "email": user })).1;
            let field = |name: &str| account["credentials"][name].as_str().expect("a field").to_owned();
            let mut form = vec![("grant_type", "refresh_token".to_owned())];
            form.extend(["client_id", "client_secret", "refresh_token"].map(|name| (name, field(name))));
            let granted: Value =
                google.agent.post(field("token_uri")).send_form(form).expect("a token").body_mut().read_json().expect("a token");
            google.tokens.insert(user.into(), granted["access_token"].as_str().expect("a token").into());
        }
        google
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json").body(body.to_string()).expect("a request");
        let mut answer = self.agent.run(request).expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_json().unwrap_or(Value::Null))
    }

    /// The test's side; a refusal fails the test.
    fn admin(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.send(method, &format!("/admin/drive/{path}"), &body);
        assert_eq!(status, 200, "{path} {body}: {answer}");
        answer
    }

    fn add(&self, body: Value) -> String {
        self.admin("POST", "files", body)["id"].as_str().expect("an id").to_owned()
    }

    fn text(&self, user: &str, path: &str) -> (u16, String) {
        let request = self.agent.get(format!("{}/drive/v3/{path}", self.url));
        let mut answer = request.header("authorization", format!("Bearer {}", self.tokens[user])).call().expect("an answer");
        (answer.status().as_u16(), answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("text"))
    }

    fn get(&self, user: &str, path: &str) -> (u16, Value) {
        let (status, text) = self.text(user, path);
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    fn ok(&self, user: &str, path: &str) -> Value {
        let (status, body) = self.get(user, path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    fn refusal(&self, user: &str, path: &str) -> (u16, String) {
        let (status, body) = self.get(user, path);
        (status, body["error"]["errors"][0]["reason"].as_str().unwrap_or_default().to_owned())
    }

    fn start_token(&self, user: &str) -> String {
        self.ok(user, "changes/startPageToken")["startPageToken"].as_str().expect("a token").to_owned()
    }

    /// Every change of all pages after a token, and the token for the next time.
    fn changes(&self, user: &str, from: &str, query: &str) -> (Vec<Value>, String) {
        let (mut changes, mut token) = (Vec::new(), from.to_owned());
        loop {
            let page = self.ok(user, &format!("changes?pageToken={token}&{query}"));
            changes.extend(page["changes"].as_array().expect("changes").iter().cloned());
            match (page["nextPageToken"].as_str(), page["newStartPageToken"].as_str()) {
                (Some(next), None) => token = next.to_owned(),
                (None, Some(start)) => return (changes, start.to_owned()),
                other => panic!("one token and one only: {other:?}"),
            }
        }
    }

    /// The ids of what is listed, over all pages.
    fn files(&self, user: &str, query: &str) -> Vec<String> {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let page = self.ok(user, &format!("files?{query}{token}"));
            ids.extend(
                page["files"].as_array().expect("files").iter().map(|file| file["id"].as_str().expect("an id").to_owned()),
            );
            match page["nextPageToken"].as_str() {
                Some(next) => token = format!("&pageToken={next}"),
                None => {
                    ids.sort_unstable();
                    return ids;
                }
            }
        }
    }
}

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
fn who_loses_access_sees_a_removal_and_nobody_else_does() {
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
    assert_eq!((&all[0]["changeType"], &all[0]["driveId"], ids(&all[1..])), (&json!("drive"), &json!("0Ateam"), vec!["t", "m"]));
    let (team, _) = google.changes(ANN, &drives, &format!("driveId=0Ateam&fields=*&{BOTH}"));
    assert_eq!((ids(&team), &team[0]["file"]["driveId"], team[0]["file"].get("owners")), (vec!["t"], &json!("0Ateam"), None));
    assert_eq!(google.refusal(BOB, &path), (404, "notFound".into()));
    assert_eq!(google.changes(BOB, &bobs, BOTH).0, Vec::<Value>::new());
    assert_eq!((google.files(ANN, ""), google.files(ANN, BOTH)), (vec!["m".into()], vec!["m".into(), "t".into()]));
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

impl Google {
    /// Id, version, md5 and trash of everything that the user sees, as the test's side tells it.
    fn truth(&self, user: &str) -> BTreeMap<String, Value> {
        let mut answer = self.agent.get(format!("{}/admin/drive/state?user={user}", self.url)).call().expect("an answer");
        let lines = answer.body_mut().with_config().limit(1 << 30).read_to_string().expect("text");
        let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.map(|line| (line["id"].as_str().expect("an id").to_owned(), seen(&line, "md5"))).collect()
    }
}

fn seen(file: &Value, md5: &str) -> Value {
    json!([
        file["name"],
        file["version"],
        file.get(md5).unwrap_or(&Value::Null),
        file["trashed"],
        file["parents"].as_array().map_or(&[][..], |list| list)
    ])
}

#[test]
fn who_follows_the_feed_ends_with_what_is_there() {
    let google = Google::start();
    let order = json!({ "files": 60, "shared_drives": 2, "files_per_drive": 20, "seed": 7 });
    assert_eq!(google.admin("POST", "generate", order)["files"], 160);
    let fields = "fields=nextPageToken,newStartPageToken,changes(removed,changeType,fileId,file(id,name,version,md5Checksum,trashed,parents))";
    for user in [ANN, BOB] {
        let (mut mirror, mut token) = (BTreeMap::new(), google.start_token(user));
        for round in 0..4 {
            let query = match round {
                // The token is older than the listing: what changes after the listing comes with the first changes.
                0 => {
                    let listed = google.ok(user, &format!("files?pageSize=1000&fields=*&{BOTH}"));
                    for file in listed["files"].as_array().expect("files") {
                        mirror.insert(file["id"].as_str().expect("an id").to_owned(), seen(file, "md5Checksum"));
                    }
                    "pageSize=7"
                }
                _ => "pageSize=50",
            };
            google.admin("POST", "churn", json!({ "changes": 80, "seed": round }));
            let (changes, next) = google.changes(user, &token, &format!("{query}&{BOTH}&{fields}"));
            for change in changes.iter().filter(|change| change["changeType"] == "file") {
                let id = change["fileId"].as_str().expect("an id").to_owned();
                match change["removed"] == true {
                    true => drop(mirror.remove(&id)),
                    false => drop(mirror.insert(id, seen(&change["file"], "md5Checksum"))),
                }
            }
            token = next;
            let truth = google.truth(user);
            let all: std::collections::BTreeSet<&String> = mirror.keys().chain(truth.keys()).collect();
            let wrong: Vec<_> =
                all.into_iter().map(|id| (id, mirror.get(id), truth.get(id))).filter(|(_, one, other)| one != other).collect();
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
