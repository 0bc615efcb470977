//! Realistic changes from a seed: creations, updates, moves, deletions, cancelled instances.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::state::{Calendar, World, lock};
use crate::{event, generate};

/// What to change: POST it to `/admin/churn`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub changes: u32,
    #[serde(default)]
    pub seed: u64,
    /// Only these users; absent: all.
    pub users: Option<Vec<String>>,
    /// Weights by kind; absent: a default mix.
    pub kinds: Option<BTreeMap<Kind, u32>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Create,
    Update,
    Move,
    Delete,
    CancelInstance,
}

#[derive(Default, Serialize)]
pub struct Changed {
    pub counts: BTreeMap<Kind, u32>,
    pub streams: BTreeSet<String>,
}

/// Makes the changes. A change without a target (no event, no series) creates an event instead.
pub fn churn(world: &World, order: &Order) -> Changed {
    let mut chance = StdRng::seed_from_u64(order.seed);
    let usual = || [(Kind::Create, 3), (Kind::Update, 4), (Kind::Move, 2), (Kind::Delete, 2), (Kind::CancelInstance, 1)].into();
    let kinds: BTreeMap<Kind, u32> = order.kinds.clone().unwrap_or_else(usual);
    let total: u32 = kinds.values().sum();
    let users: Vec<_> = world
        .all_users()
        .into_iter()
        .filter(|user| order.users.as_ref().is_none_or(|users| users.contains(&user.email)))
        .collect();
    let mut changed = Changed::default();
    for _ in 0..order.changes {
        if users.is_empty() || total == 0 {
            break;
        }
        let user = &users[chance.random_range(0..users.len())];
        let calendars = user.all_calendars();
        if calendars.is_empty() {
            continue;
        }
        let calendar = &calendars[chance.random_range(0..calendars.len())];
        let mut draw = chance.random_range(0..total);
        let kind = kinds
            .iter()
            .find(|(_, weight)| match draw.checked_sub(**weight) {
                Some(remaining) => {
                    draw = remaining;
                    false
                }
                None => true,
            })
            .map_or(Kind::Create, |(kind, _)| *kind);
        let done = change(world, &user.email, calendar, kind, &mut chance);
        *changed.counts.entry(done).or_default() += 1;
        changed.streams.insert(format!("{}/{}", user.email, calendar.id));
    }
    changed
}

fn change(world: &World, owner: &str, calendar: &Calendar, kind: Kind, chance: &mut StdRng) -> Kind {
    let now = world.now();
    let mut feed = lock(&calendar.events);
    let picked: Option<Value> = {
        let live: Vec<_> =
            feed.live().filter(|(_, entry)| kind != Kind::CancelInstance || entry.text.contains("\"recurrence\"")).collect();
        let entry = (!live.is_empty()).then(|| live[chance.random_range(0..live.len())].1);
        entry.and_then(|entry| serde_json::from_str(&entry.text).ok())
    };
    let Some(mut picked) = picked.filter(|_| kind != Kind::Create) else {
        let id = format!("new{:016x}{:06}", chance.random::<u64>(), world.serial());
        let made = generate::event(&id, owner, now, chance);
        event::put(&mut feed, &calendar.id, made, now);
        return Kind::Create;
    };
    let id = picked["id"].as_str().unwrap_or_default().to_owned();
    match kind {
        Kind::Delete => drop(event::delete(&mut feed, &id, now)),
        Kind::Move => {
            generate::shift(&mut picked, 60);
            event::put(&mut feed, &calendar.id, picked, now);
        }
        Kind::CancelInstance => {
            if let Some(mut instance) = generate::exception(&picked, chance) {
                instance["status"] = json!("cancelled");
                event::put(&mut feed, &calendar.id, instance, now);
            }
        }
        Kind::Update | Kind::Create => {
            picked["summary"] =
                json!(format!("{} v{}", picked["summary"].as_str().unwrap_or("Event"), chance.random_range(2..99)));
            picked["sequence"] = json!(picked["sequence"].as_i64().unwrap_or(0) + 1);
            event::put(&mut feed, &calendar.id, picked, now);
        }
    }
    kind
}
