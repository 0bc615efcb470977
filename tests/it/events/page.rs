//! `docs/events.md`: its examples are what is written, and its receivers verify what is delivered.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use chrono::{SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{ask_for, take};
use crate::support::World;
use crate::support::service::GMAIL;

const PAGE: &str = include_str!("../../../docs/events.md");
const ANN: &str = "ann@example.com";
const SECRET: &str = "whsec_qGKMCNzXlE1ZpS5ubJ0jn6bV2dZIHBLRm8BqYzYqk6Q=";
/// Keys whose values differ each time.
const VARYING: [&str; 13] = [
    "id",
    "occurred_at",
    "user_id",
    "document_id",
    "project_id",
    "updated",
    "received_at",
    "modified_time",
    "version",
    "message_id",
    "thread_id",
    "file_id",
    "web_view_link",
];

/// The blocks of code in this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    PAGE.split(begin.as_str()).skip(1).map(|rest| rest.split("```").next().expect("an end")).collect()
}

/// The example of each type that has a heading.
fn examples() -> BTreeMap<String, Value> {
    let sections = PAGE.split("\n### `").skip(1).map(|section| section.split_once("`\n").expect("a heading"));
    let example = |text: &str| {
        let text = text.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
        serde_json::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    sections.map(|(kind, text)| (kind.to_owned(), example(text))).collect()
}

/// A payload without what differs each time: null and other values stay distinct.
fn masked(value: &Value, is_varying: bool) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), masked(value, VARYING.contains(&name.as_str()))))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(values) => values.iter().map(|value| masked(value, false)).collect(),
        Value::Null => Value::Null,
        Value::String(_) if is_varying => json!("…"),
        Value::Number(_) if is_varying => json!(0),
        other => other.clone(),
    }
}

/// The same, for an event that depends on the current time.
fn comparable(payload: &Value) -> Value {
    let mut masked = masked(payload, false);
    if payload["type"] == "calendar.meeting.starting" {
        for pointer in ["/event/start/date_time", "/event/end/date_time"] {
            *masked.pointer_mut(pointer).expect("a time") = json!("…");
        }
    }
    masked
}

/// The meeting of the page.
fn put_review(world: &World, (start, end): (&str, &str), response: &str) {
    let at = |time: &str| json!({ "dateTime": time, "timeZone": "Europe/Berlin" });
    let event = json!({
        "id": "review", "summary": "Design review", "start": at(start), "end": at(end), "status": "confirmed",
        "hangoutLink": "https://meet.google.com/abc-defg-hij", "organizer": { "email": "bob@example.com" },
        "attendees": [
            { "email": "bob@example.com", "organizer": true, "responseStatus": "accepted" },
            { "email": ANN, "self": true, "responseStatus": response },
        ],
    });
    world.sim.admin("events", json!({ "user": ANN, "calendar": "primary", "event": event }));
    world.sync_all().expect(0);
}

fn write_events_of_calendar(world: &World) {
    let (first, second) = (("2026-03-16T09:00:00Z", "2026-03-16T10:00:00Z"), ("2026-03-17T13:00:00Z", "2026-03-17T14:00:00Z"));
    put_review(world, first, "needsAction");
    put_review(world, first, "accepted");
    put_review(world, second, "accepted");
    world.sim.delete_event(ANN, "review");
    world.sync_all().expect(0);
    let ahead = |minutes| (Utc::now() + TimeDelta::minutes(minutes)).to_rfc3339_opts(SecondsFormat::Secs, true);
    put_review(world, (&ahead(30), &ahead(60)), "accepted");
    // The address of the target is refused: nothing is sent.
    let target = "outbox.targets=[{ name = \"n8n\", url = \"http://127.0.0.1:9\", events = [\"calendar.meeting.*\"] }]";
    world.syncctl(&["deliver", "--set", target]);
}

fn write_events_of_gmail(world: &World) {
    let arrives = |raw: &str| {
        let made = world.sim.admin("mail/messages", json!({ "user": ANN, "raw": raw, "labels": ["INBOX", "UNREAD"] }));
        world.syncctl(GMAIL.jobs[0]).expect(0);
        made["id"].as_str().expect("an id").to_owned()
    };
    let delete = |id: &str| {
        let request = ureq::delete(format!("{}/admin/mail/messages", world.sim.url)).header("content-type", "application/json");
        request.force_send_body().send(json!({ "user": ANN, "id": id }).to_string()).expect("deleting a message");
        world.syncctl(GMAIL.jobs[0]).expect(0);
    };
    let budget = arrives("From: Bob <bob@example.com>\r\nSubject: Budget\r\n\r\nthe budget");
    world.sim.admin("mail/labels", json!({ "user": ANN, "id": budget, "add": ["STARRED"], "remove": ["UNREAD"] }));
    world.syncctl(GMAIL.jobs[0]).expect(0);
    delete(&budget);
    world.set_username(ANN, "ann");
    let minutes = arrives("From: Bob <bob@example.com>\r\nTo: ai+ann@example.com\r\nSubject: Minutes\r\n\r\nthe minutes");
    let document = world.text("SELECT id::text FROM documents WHERE source = 'gmail'");
    world.syncctl(&["projects", "add", ANN, "Garden"]).expect(0);
    world.syncctl(&["projects", "assign", &document, "Garden"]).expect(0);
    world.syncctl(&["projects", "unassign", &document]).expect(0);
    delete(&minutes);
}

fn write_events_of_drive(world: &World) {
    let file = world.add_file(ANN, "Plan.txt", "one");
    world.watch(ANN, &file);
    world.sync_drive().expect(0);
    world.drive_admin("PUT", "files", &json!({ "id": file, "content": "two more" }));
    world.sync_drive().expect(0);
    world.sim.admin("drive/share", json!({ "id": file, "anyone": true }));
    world.sync_drive().expect(0);
}

#[test]
fn the_examples_of_the_page_are_what_is_written() {
    let mut world = World::empty();
    world.sim.admin("users", json!({ "email": ANN }));
    // Dates are fixed: the first pass looks back far enough.
    world.set("SYNCCTL_CALENDAR_WINDOW_PAST", "36500days");
    world.set("SYNCCTL_CALENDAR_MEETING_NOTICE", "1h");
    ask_for(
        &mut world,
        &["calendar.*", "gmail.message.received", "gmail.message.labelled", "gmail.message.removed", "drive.permission.changed"],
    );
    world.import();
    world.sync_all().expect(0);
    world.sync_all().expect(0);
    world.syncctl(GMAIL.jobs[0]).expect(0);
    world.sync_drive().expect(0);
    write_events_of_calendar(&world);
    write_events_of_gmail(&world);
    write_events_of_drive(&world);
    let mut written: BTreeMap<String, Value> = BTreeMap::new();
    for payload in take(&world) {
        written.entry(payload["type"].as_str().expect("a type").to_owned()).or_insert(payload);
    }
    let examples = examples();
    assert!(examples.len() >= 13, "{:?}", examples.keys());
    for (kind, example) in &examples {
        let payload = written.get(kind).unwrap_or_else(|| panic!("no {kind} among {:?}", written.keys()));
        assert_eq!(comparable(payload), comparable(example), "{kind}: {payload:#}");
    }
}

/// A receiver from the page. It ends with the value.
struct Receiver {
    process: Child,
    port: String,
    /// What it prints after its port.
    lines: BufReader<std::process::ChildStdout>,
}

impl Receiver {
    fn start(program: &str, file: &Path) -> Self {
        let mut process = Command::new(program)
            .arg(file)
            .env("WEBHOOK_SECRET", SECRET)
            .env("PORT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} (scripts/ensure-receivers installs it): {error}"));
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("a line");
        let port = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{program}: {line}")).to_owned();
        Self { process, port, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line");
        line.trim().to_owned()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_receivers_of_the_page_take_what_is_signed_with_their_secret_and_refuse_the_rest() {
    let mut world = World::empty();
    world.set("SYNCCTL_OUTBOX_ALLOW_PRIVATE", "true");
    world.set("SYNCCTL_OUTBOX_BACKOFF_BASE", "0s");
    for (program, language, name) in [("python3", "python", "receiver.py"), ("node", "js", "receiver.js")] {
        let code = blocks(language);
        assert_eq!(code.len(), 1, "{language}");
        let file = world.folder.path().join(name);
        std::fs::write(&file, code[0]).expect("writing");
        let mut receiver = Receiver::start(program, &file);
        let id = world.emit("drive.file.modified", &[Uuid::new_v4()])[0];
        let port = receiver.port.clone();
        let deliver = |secret: &str| {
            let target =
                format!("outbox.targets=[{{ name = \"{program}\", url = \"http://127.0.0.1:{port}/\", secret = \"{secret}\" }}]");
            world.syncctl(&["deliver", "--json", "--set", &target])
        };
        for wrong in ["whsec_AAAA", "", &SECRET.to_lowercase().replace("whsec_", "")] {
            let refused = deliver(wrong).expect(1).json();
            let error = refused["targets"][0]["error"].as_str().unwrap_or_default();
            assert!(error.starts_with("HTTP 401"), "{program}, {wrong:?}: {refused}");
        }
        for secret in [SECRET, SECRET.trim_start_matches("whsec_")] {
            let delivered = deliver(secret).expect(0).json();
            assert_eq!(delivered["targets"][0]["pending"], json!(0), "{delivered}");
            assert_eq!(receiver.line(), format!("drive.file.modified {id}"), "{program}");
            world.execute("UPDATE outbox_deliveries SET state = 'pending', due_at = now()");
        }
        world.execute("DELETE FROM outbox_events");
    }
}
