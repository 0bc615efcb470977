//! Events about items of calendars and mailboxes, which targets must ask for: one for each change, in the transaction of the change.

mod calendar;
mod drive;
mod gmail;
mod opt_in;
mod page;
mod starting;

use serde_json::Value;

use crate::documents::schema;
use crate::support::World;

/// Makes a target ask for these types; nothing is sent to it.
pub fn ask_for(world: &mut World, types: &[&str]) {
    let target = format!("[{{ name = \"n8n\", url = \"https://n8n.example.com/hook\", events = {types:?} }}]");
    world.set("SYNCCTL_OUTBOX_TARGETS", target);
    world.set("SYNCCTL_OUTBOX_RUN_BUDGET", "0s");
}

/// Asserts that changes of calendars and mailboxes have one event each.
#[track_caller]
pub fn assert_each_change_once(world: &World) {
    match world.service.name {
        "calendar" => calendar::assert_each_change_once(world),
        "gmail" => gmail::assert_each_change_once(world),
        _ => {}
    }
}

/// The payloads of the events since the last call, in their order. Each is as the schema says.
#[track_caller]
fn take(world: &World) -> Vec<Value> {
    let rows = world.query("SELECT payload FROM outbox_events ORDER BY seq");
    let payloads: Vec<Value> = rows.iter().map(|row| row.get(0)).collect();
    world.execute("DELETE FROM outbox_events");
    let schema = schema();
    for payload in &payloads {
        let faults: Vec<String> =
            schema.iter_errors(payload).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(faults.is_empty(), "{payload}: {faults:?}");
    }
    payloads
}

/// The types of the events since the last call, without the name of the service.
#[track_caller]
fn take_types(world: &World) -> Vec<String> {
    take(world).iter().map(kind).collect()
}

fn kind(payload: &Value) -> String {
    let kind = payload["type"].as_str().expect("a type");
    kind.split_once('.').map_or(kind, |(_, rest)| rest).to_owned()
}

/// A payload has these values, by JSON pointer.
#[track_caller]
fn assert_has(payload: &Value, values: &[(&str, Value)]) {
    for (pointer, value) in values {
        assert_eq!(payload.pointer(pointer), Some(value), "{pointer} in {payload}");
    }
}
