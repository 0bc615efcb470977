//! Documents, as people and programs read them.

use std::io::Read as _;

use serde_json::{Map, Value, json};
use syncctl::db::documents;
use syncctl::db::outbox;
use uuid::Uuid;

use crate::support::World;
use crate::support::library::{email, event};

fn ids(rows: &Value) -> Vec<String> {
    rows.as_array().expect("a list").iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
}

#[test]
fn a_list_is_narrowed_by_user_source_status_and_number() {
    let world = World::empty();
    let (ann, bob) = (world.user("ann@example.com"), world.user("bob@example.com"));
    let first = world.document(&email(ann, "m1", "Budget", "the budget"));
    let second = world.document(&email(ann, "m2", "Lunch", "noodles"));
    let file = world.document(&documents::Document { source: "drive", kind: "file", ..email(bob, "f1", "Plan", "a plan") });
    world.write(async |tx| documents::retire(tx, "gmail", &["m2"], None).await);
    let list = |arguments: &[&str]| {
        let mut all = vec!["documents", "list", "--json"];
        all.extend(arguments);
        ids(&world.syncctl(&all).expect(0).json())
    };
    assert_eq!(list(&[]), [second, file, first].map(|id| id.to_string()), "the ones changed last first");
    assert_eq!(list(&["--user", "bob@example.com"]), [file.to_string()]);
    assert_eq!(list(&["--user", &ann.to_string(), "--status", "deleted"]), [second.to_string()]);
    assert_eq!(list(&["--source", "gmail", "--limit", "1"]), [second.to_string()]);
    world.syncctl(&["documents", "list", "--user", "carl@example.com"]).expect(2);
    let table = world.syncctl(&["documents", "list"]).expect(0).stdout;
    assert!(table.contains("Budget") && table.contains("deleted"), "{table}");
}

#[test]
fn a_document_is_shown_with_its_text_and_steers_no_terminal() {
    let world = World::empty();
    let user = world.user("ann@example.com");
    let id = world.document(&email(user, "m1", "Invoice \u{1b}]0;pwned\u{7}", "first line\n\u{1b}[2Jsecond line\n"));
    let shown = world.syncctl(&["documents", "show", &id.to_string()]).expect(0).stdout;
    assert!(shown.contains("title     Invoice") && shown.contains("first line\n[2Jsecond line"), "{shown:?}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{7}'), "{shown:?}");
    let json = world.syncctl(&["documents", "show", &id.to_string(), "--json"]).expect(0).json();
    assert_eq!((&json["body"], &json["version"]), (&json!("first line\n\u{1b}[2Jsecond line\n"), &json!(1)));
    world.syncctl(&["documents", "show", &Uuid::new_v4().to_string()]).expect(2);
}

#[test]
fn a_search_finds_words_phrases_and_exclusions_the_best_first() {
    let world = World::empty();
    let (ann, bob) = (world.user("ann@example.com"), world.user("bob@example.com"));
    let title = world.document(&email(ann, "m1", "Quarterly budget", "Numbers for everyone, see the table."));
    let body = world.document(&email(ann, "m2", "Lunch", "We talk about the budget over noodles."));
    let other = world.document(&email(bob, "m3", "Re: Müller", "budget noodles, and the second quarterly plan"));
    let gone = world.document(&email(ann, "m4", "Old budget", "budget"));
    world.write(async |tx| documents::retire(tx, "gmail", &["m4"], None).await);
    let search = |arguments: &[&str]| {
        let mut all = vec!["documents", "search", "--json"];
        all.extend(arguments);
        world.syncctl(&all).expect(0).json()
    };
    let budget = ids(&search(&["budget"]));
    assert_eq!(budget[0], title.to_string(), "a title weighs more");
    assert_eq!(budget.len(), 3, "what is deleted is not found: {budget:?}, {gone}");
    assert_eq!(ids(&search(&["budget", "--limit", "1"])).len(), 1);
    assert_eq!(ids(&search(&["budget", "--user", "bob@example.com"])), [other.to_string()]);
    assert_eq!(ids(&search(&["budget -noodles"])), [title.to_string()]);
    assert_eq!(ids(&search(&["\"over noodles\""])), [body.to_string()]);
    assert_eq!(ids(&search(&["MÜLLER"])), [other.to_string()]);
    assert_eq!(search(&["noodles"])[0]["passages"].as_str().expect("text").matches("**noodles**").count(), 1);
    let text = world.syncctl(&["documents", "search", "noodles"]).expect(0).stdout;
    assert!(text.contains("**noodles**") && text.contains("Lunch"), "{text}");
    assert_eq!(world.syncctl(&["documents", "search", "nowhere"]).expect(0).stdout.trim(), "nothing found");
    world.syncctl(&["documents", "search", "..."]).expect(2);
}

pub fn schema() -> jsonschema::Validator {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/event.json");
    let mut text = String::new();
    std::fs::File::open(path).expect("the schema").read_to_string(&mut text).expect("reading");
    let schema: Value = serde_json::from_str(&text).expect("JSON");
    jsonschema::draft202012::meta::validate(&schema).expect("a schema");
    jsonschema::options().should_validate_formats(true).build(&schema).expect("a schema")
}

fn about(value: Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

#[test]
fn payloads_are_what_the_schema_says() {
    let world = World::empty();
    let file = json!({ "name": "Plan.docx", "mime_type": "application/vnd.google-apps.document", "size": 1234, "version": "17",
        "modified_time": "2026-05-01T10:00:00Z", "web_view_link": "https://docs.google.com/document/d/1/edit" });
    let mail = json!({ "subject": "Budget", "from": "Ann <ann@example.com>", "received_at": "2026-05-01T10:00:00Z", "snippet": "the budget" });
    let events = [
        event("drive.file.modified", Uuid::new_v4(), about(json!({ "file_id": "1abc", "action": "modified", "file": file }))),
        event(
            "gmail.message.detected",
            Uuid::new_v4(),
            about(json!({ "message_id": "18c", "address": "ai+ann@example.com", "kind": "email", "email": mail })),
        ),
        event("gmail.message.deleted", Uuid::new_v4(), about(json!({ "message_id": "18c" }))),
        event(
            "attendee.transcript.created",
            Uuid::new_v4(),
            about(
                json!({ "bot_id": "bot_1", "meeting_id": Uuid::new_v4(), "transcript": { "title": "Standup", "start_at": "2026-05-01T10:00:00Z",
                "end_at": null, "duration_ms": 1000, "participants": ["Ann"], "speakers": ["Ann"] } }),
            ),
        ),
        // An event of a future service: only the envelope is guaranteed.
        event("tasks.task.created", Uuid::new_v4(), Map::new()),
    ];
    world.write(async |tx| outbox::emit(tx, &events).await);
    let payloads: Vec<Value> =
        world.query("SELECT payload FROM outbox_events ORDER BY seq").iter().map(|row| row.get(0)).collect();
    let schema = schema();
    for payload in &payloads {
        let faults: Vec<String> =
            schema.iter_errors(payload).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{payload}: {faults:?}");
    }
    // The schema is strict: each of these breaks one rule.
    let broken: [(usize, &str, Value); 10] = [
        (0, "/id", json!("1")),
        (0, "/version", json!(2)),
        (0, "/source", json!("n8n")),
        (0, "/occurred_at", json!("yesterday")),
        (0, "/action", json!("eaten")),
        (0, "/file/name", json!(null)),
        (1, "/kind", json!("letter")),
        (1, "/email", json!(null)),
        (3, "/bot_id", json!("")),
        (3, "/transcript/start_at", json!(null)),
    ];
    for (which, pointer, value) in broken {
        let mut payload = payloads[which].clone();
        *payload.pointer_mut(pointer).expect("a payload with this place") = value;
        assert!(!schema.is_valid(&payload), "{pointer}: {payload}");
    }
    for key in
        ["id", "type", "version", "occurred_at", "source", "user_id", "document_id", "project_id", "file_id", "action", "file"]
    {
        let mut payload = payloads[0].clone();
        payload.as_object_mut().expect("an object").remove(key);
        assert!(!schema.is_valid(&payload), "without {key}");
    }
}
