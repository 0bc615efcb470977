//! `syncctl verify`: differences from the provider are named exactly, unpolled changes are not called lost, and repair fixes the
//! differences.

mod calm;
mod derived;
mod found;
mod repaired;

use serde_json::Value;

use crate::support::World;
use crate::support::service::Service;
use crate::support::world::RunResult;

/// Compares every stream of the world's service.
fn verify(world: &World, more: &[&str]) -> RunResult {
    world.syncctl(&[&["verify", world.service.name, "--all", "--json"], more].concat())
}

/// The part of the report about one kind of stream.
fn kind<'a>(report: &'a Value, kind: &str) -> &'a Value {
    &report["runs"][0]["verify"]["kinds"][kind]
}

/// The kind of stream with the service's main data.
fn main_kind(service: &Service) -> &'static str {
    match service.name {
        "calendar" => "events",
        "gmail" => "mailbox",
        "drive" => "changes",
        other => panic!("{other} has no such kind"),
    }
}

/// The IDs that a report lists under this kind of difference, in order.
fn named(figures: &Value, difference: &str) -> Vec<String> {
    let examples = figures["examples"].as_array().expect("examples");
    let named = examples.iter().filter(|example| example["found"] == difference);
    let mut ids: Vec<String> = named.map(|example| example["id"].as_str().expect("an id").to_owned()).collect();
    ids.sort();
    ids
}

fn number(figures: &Value, name: &str) -> u64 {
    figures[name].as_u64().unwrap_or_else(|| panic!("no {name} in {figures}"))
}
