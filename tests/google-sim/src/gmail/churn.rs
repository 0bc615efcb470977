//! Realistic mail activity from a seed: new messages, read and unread ones, stars, trash, deletions.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::{Deserialize, Serialize};

use super::generate::{add, chosen, people, recipe};
use super::labels::{INBOX, STARRED, TRASH, UNREAD};
use super::letter;
use super::mailbox::Mailbox;
use crate::admin::Wrong;
use crate::state::{World, lock};

/// What to change: POST it to `/admin/mail/churn`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub changes: u32,
    #[serde(default)]
    pub seed: u64,
    /// Only these users; absent: all.
    pub users: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Add,
    Read,
    Star,
    Trash,
    Delete,
}

#[derive(Default, Serialize)]
pub struct Changed {
    pub counts: BTreeMap<Kind, u32>,
    pub users: BTreeSet<String>,
}

/// Makes the changes; an empty mailbox gets a message instead.
pub fn churn(world: &World, order: &Order) -> Result<Changed, Wrong> {
    let mut chance = StdRng::seed_from_u64(order.seed);
    let users = chosen(world, order.users.as_deref())?;
    let people = people(world);
    let recipes: Vec<_> = users.iter().map(|user| recipe(&people, user, order.seed)).collect();
    let mut changed = Changed::default();
    for _ in 0..if users.is_empty() { 0 } else { order.changes } {
        let index = chance.random_range(0..users.len());
        let (user, recipe) = (&users[index], &recipes[index]);
        let kind = match chance.random_range(0..100) {
            0..40 => Kind::Add,
            40..70 => Kind::Read,
            70..80 => Kind::Star,
            80..90 => Kind::Trash,
            _ => Kind::Delete,
        };
        let mut mailbox = lock(&user.mailbox);
        let done = match pick(&mailbox, &mut chance).filter(|_| kind != Kind::Add) {
            Some(id) => {
                change(&mut mailbox, id, kind);
                kind
            }
            None => {
                // A number that no message of this recipe has: two orders may have the same seed.
                let number = world.serial() as u32;
                let (plan, _) = letter::plan(recipe, number);
                add(&mut mailbox, recipe, number, &plan, world.now().timestamp_millis(), None);
                Kind::Add
            }
        };
        *changed.counts.entry(done).or_default() += 1;
        changed.users.insert(user.email.clone());
    }
    Ok(changed)
}

fn pick(mailbox: &Mailbox, chance: &mut StdRng) -> Option<u64> {
    let (oldest, newest) = mailbox.ends()?;
    mailbox.from(chance.random_range(oldest..=newest))
}

fn change(mailbox: &mut Mailbox, id: u64, kind: Kind) {
    let has = |label: u16| mailbox.get(id).is_some_and(|message| message.labels.contains(&label));
    let toggled = |label: u16| if has(label) { (None, Some(label)) } else { (Some(label), None) };
    let (add, remove) = match kind {
        Kind::Read => toggled(UNREAD),
        Kind::Star => toggled(STARRED),
        Kind::Trash if has(TRASH) => (Some(INBOX), Some(TRASH)),
        Kind::Trash => (Some(TRASH), Some(INBOX)),
        Kind::Add | Kind::Delete => (None, None),
    };
    match kind {
        Kind::Delete => mailbox.delete(id),
        Kind::Add | Kind::Read | Kind::Star | Kind::Trash => mailbox.relabel(id, add.as_slice(), remove.as_slice()),
    };
}
