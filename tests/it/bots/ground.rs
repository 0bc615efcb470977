//! Two users, a project at Attendee, and helpers for bot tests.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::support::World;

pub const ANN: &str = "ann@example.com";
pub const BOB: &str = "bob@example.com";
pub const LINK: &str = "https://meet.google.com/abc-defg-hij";

/// Ann and Bob, and a project at Attendee. Ann has bots enabled.
pub fn world() -> World {
    let mut world = World::empty();
    let root = world.sim.url.clone();
    world.set("SYNCCTL_ATTENDEE_ROOT", root);
    for user in [ANN, BOB] {
        world.sim.admin("users", json!({ "email": user }));
    }
    world.import();
    world.sim.admin("attendee/projects", json!({ "name": "main", "key": "key-of-main" }));
    world.syncctl_with_input(&["attendee", "project", "add", "main"], "key-of-main\n").expect(0);
    world.syncctl(&["attendee", "enable", ANN]).expect(0);
    world
}

pub fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The full minute this many minutes ahead.
pub fn ahead(minutes: i64) -> DateTime<Utc> {
    let now = Utc::now().timestamp() / 60 * 60;
    DateTime::from_timestamp(now, 0).expect("a time") + Duration::minutes(minutes)
}

pub fn event(id: &str, start: DateTime<Utc>, more: Value) -> Value {
    let mut event = json!({
        "id": id, "iCalUID": format!("{id}@google.com"), "summary": format!("Meeting {id}"), "hangoutLink": LINK,
        "start": { "dateTime": stamp(start), "timeZone": "UTC" }, "end": { "dateTime": stamp(start + Duration::minutes(30)), "timeZone": "UTC" },
    });
    event.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    event
}

/// Organizer and guests; all have accepted.
pub fn invitation(organizer: &str, guests: &[&str]) -> Value {
    let attendees: Vec<Value> = guests.iter().map(|guest| json!({ "email": guest, "responseStatus": "accepted" })).collect();
    json!({ "organizer": { "email": organizer }, "attendees": attendees })
}

pub fn put(world: &World, user: &str, event: Value) {
    world.sim.admin("events", json!({ "user": user, "calendar": "primary", "event": event }));
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
}

pub fn cancel(world: &World, user: &str, id: &str) {
    world.sim.delete_event(user, id);
    world.syncctl(&["calendar", "cron", "--force"]).expect(0);
}

pub fn schedule(world: &World) -> Value {
    world.syncctl(&["attendee", "schedule", "--json"]).expect(0).json()
}

pub fn poll(world: &World) -> Value {
    world.syncctl(&["attendee", "cron", "--force", "--json"]).expect(0).json()
}

/// Every bot ever created, by the simulator.
pub fn bots(world: &World) -> Vec<Value> {
    world.sim.text("attendee/state").lines().map(|line| serde_json::from_str(line).expect("a bot")).collect()
}

pub fn pass(world: &World, minutes: i64) {
    world.sim.admin("clock", json!({ "advance": minutes * 60 }));
}

pub fn counts(run: &Value) -> [u64; 4] {
    let changes = &run["changes"]["bots"];
    ["created", "updated", "deleted", "unchanged"].map(|name| changes[name].as_u64().unwrap_or(0))
}
