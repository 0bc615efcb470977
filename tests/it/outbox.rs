//! Deliveries from the outbox, by the real binary to a receiver that accepts, refuses, stalls and breaks.

mod failures;
mod runs;
mod standard;
mod targets;

use uuid::Uuid;

use crate::support::World;
use crate::support::receiver::Receiver;

/// A world whose settings name these targets (name, receiver, more lines), with further lines of `[outbox]`.
fn world(targets: &[(&str, &Receiver, &str)], lines: &str) -> World {
    let mut world = World::empty();
    settings(&mut world, targets, &format!("allow_private = true\nbackoff_base = \"0s\"\n{lines}"));
    world
}

/// Writes the settings file of a world.
fn settings(world: &mut World, targets: &[(&str, &Receiver, &str)], lines: &str) {
    let targets: String = targets
        .iter()
        .map(|(name, receiver, more)| format!("[[outbox.targets]]\nname = \"{name}\"\nurl = \"{}\"\n{more}\n", receiver.url()))
        .collect();
    let file = world.folder.path().join("settings.toml");
    std::fs::write(&file, format!("[outbox]\n{lines}\n{targets}")).expect("writing settings");
    world.set("SYNCCTL_CONFIG", file.display().to_string());
}

/// This many new documents.
fn documents(count: usize) -> Vec<Uuid> {
    (0..count).map(|_| Uuid::new_v4()).collect()
}

/// Deliveries in this state.
fn in_state(world: &World, state: &str) -> i64 {
    world.rows(&format!("outbox_deliveries WHERE state = '{state}'"))
}
