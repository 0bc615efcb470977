//! The question about changes, compared with the simulator's state before and after.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{ANN, BOB, Question, text};
use crate::support::World;
use crate::support::sim::{Truth, field};

/// What a user has: kind, user, ID → version. A file is the same for all users.
fn state(world: &World) -> Truth {
    let key = |kind: &str, user: String, id: String| (kind.to_owned(), user, id);
    let events = world.sim.truth().into_iter().map(|((user, _, id), etag)| (key("event", user, id), etag));
    let messages =
        world.sim.lines("mail/state", |row| (key("message", field(row, "user"), field(row, "id")), row["labels"].to_string()));
    let files = world.sim.lines("drive/state", |row| (key("file", String::new(), field(row, "id")), field(row, "version")));
    events.chain(messages).chain(files).collect()
}

fn sync(world: &World) {
    for service in ["calendar", "gmail", "drive"] {
        world.syncctl(&[service, "cron", "--force"]).expect(0);
    }
}

fn remove(world: &World, what: &str, body: &Value) {
    let request = ureq::delete(format!("{}/admin/{what}", world.sim.url)).header("content-type", "application/json");
    request.force_send_body().send(body.to_string()).unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// Changes at Google of all kinds: something new, something else, something gone.
fn change(world: &World) {
    let kinds = json!({ "create": 1, "update": 1, "move": 1, "delete": 1 });
    world.sim.admin("churn", json!({ "changes": 20, "seed": 3, "kinds": kinds }));
    let state = world.sim.text("mail/state");
    let messages: Vec<Value> = state.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    for message in messages.iter().step_by(5) {
        let (user, id) = (&message["user"], &message["id"]);
        world.sim.admin("mail/labels", json!({ "user": user, "id": id, "add": ["Later"], "remove": ["UNREAD"] }));
    }
    for message in messages.iter().skip(1).step_by(9) {
        remove(world, "mail/messages", &json!({ "user": message["user"], "id": message["id"] }));
    }
    for user in [ANN, BOB] {
        world.deliver(user, "new", &["INBOX"]);
        world.add_file(user, "new.txt", "new");
    }
    let state = world.sim.text("drive/state");
    let files: Vec<Value> = state.lines().map(|line| serde_json::from_str(line).expect("a JSON line")).collect();
    let is_own_document =
        |file: &&Value| file["details"]["ownedByMe"] == true && file["mimeType"] == "application/vnd.google-apps.document";
    let documents = files.iter().filter(is_own_document);
    for (nth, file) in documents.enumerate() {
        match nth % 3 {
            0 => world.drive_admin("PUT", "files", &json!({ "id": file["id"], "name": "Renamed" })),
            1 => world.drive_admin("DELETE", "files", &json!({ "id": file["id"] })),
            _ => {}
        }
    }
}

#[test]
fn changes_since_a_cursor_are_those_of_the_provider_since_then() {
    let world = World::with_users(2, 40);
    world.sim.admin("mail/generate", json!({ "messages": 40, "seed": 7, "days": 5 }));
    world.sim.admin("drive/generate", json!({ "files": 40, "seed": 7 }));
    sync(&world);
    let cursor = world.text("SELECT changes_cursor(NULL)");
    let before = state(&world);
    change(&world);
    let after = state(&world);
    sync(&world);
    let answer = Question::of("What has changed since I last looked?").with("CURSOR", &cursor).ask(&world);
    assert_eq!(answer.scanned, [""; 0]);
    let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changed = all.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let expected: BTreeSet<_> = changed.map(|key| (key.clone(), !after.contains_key(key))).collect();
    let (next, rows): (Vec<_>, Vec<_>) = answer.rows.iter().partition(|row| row["what"] == "next cursor");
    let row = |row: &&Value| ((text(row, "what"), text(row, "email"), text(row, "id")), row["is_deleted"] == true);
    let found: BTreeSet<_> = rows.iter().map(row).collect();
    for kind in ["event", "message", "file"] {
        let of = |is_gone| found.iter().filter(|(key, gone)| key.0 == kind && *gone == is_gone).count();
        assert!(of(true) > 1 && of(false) > 4, "too little to compare: {found:#?}");
    }
    assert_eq!(found, expected);
    // From the next cursor on there is nothing.
    let next = field(next[0], "id");
    let answer = Question::of("What has changed since I last looked?").with("CURSOR", &next).ask(&world);
    assert_eq!(answer.rows.len(), 1, "{:#?}", answer.rows);
}
