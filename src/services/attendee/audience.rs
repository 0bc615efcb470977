//! Decides who shares a bot: users who take part in the same event. Knowing its link and time is not enough. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::plan::Occurrence;

/// The identity that all copies of an event share: iCalUID and organizer. An iCalUID alone proves nothing, because importers of an event can
/// choose it.
pub fn identity(uid: &str, organizer: &str) -> String {
    digest(&[uid, organizer])
}

/// Whether two audiences belong to the same event, even if different users share the bot.
pub fn is_same_event(one: &str, other: &str) -> bool {
    one.split('-').next() == other.split('-').next()
}

/// Sets the audience of each occurrence (`Occurrence::audience`): occurrences with the same audience share a bot.
pub fn assign(occurrences: &mut [Occurrence]) {
    let mut rooms: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, one) in occurrences.iter().enumerate() {
        rooms.entry((one.start, one.room.clone())).or_default().push(index);
    }
    for indexes in rooms.values() {
        let mut events: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for index in indexes {
            events.entry(occurrences[*index].part.identity.clone()).or_default().push(*index);
        }
        for (identity, indexes) in events {
            let leads = leads(&indexes.iter().map(|index| &occurrences[*index]).collect::<Vec<_>>());
            for (index, lead) in indexes.into_iter().zip(leads) {
                occurrences[index].audience = format!("{identity}-{}", digest(&[&lead]));
            }
        }
        choose(occurrences, indexes);
    }
}

/// Names the circle of each of these occurrences of one event. The organizer's own copy, if known, defines a single circle. Otherwise two users
/// share a circle if each one's copy lists the other. All others stay alone.
fn leads(occurrences: &[&Occurrence]) -> Vec<String> {
    let mut circle: Vec<usize> = (0..occurrences.len()).collect();
    for (a, one) in occurrences.iter().enumerate() {
        for (b, other) in occurrences.iter().enumerate().take(a) {
            let (keep, drop) = (circle[a].min(circle[b]), circle[a].max(circle[b]));
            if keep != drop && share(one, other) {
                circle.iter_mut().filter(|circle| **circle == drop).for_each(|circle| *circle = keep);
            }
        }
    }
    let user = |of: usize| occurrences.iter().zip(&circle).filter(|(_, circle)| **circle == of).map(|(one, _)| one.user).min();
    let name = |(one, circle): (&&Occurrence, &usize)| {
        if one.part.is_decided && one.part.takes_part() { String::new() } else { user(*circle).unwrap_or(one.user).to_string() }
    };
    occurrences.iter().zip(&circle).map(name).collect()
}

fn share(one: &Occurrence, other: &Occurrence) -> bool {
    let (a, b) = (&one.part, &other.part);
    if one.user == other.user {
        return true;
    }
    // A decided circle has its own name.
    let is_open = !a.is_decided && !b.is_decided;
    is_open && a.takes_part() && b.takes_part() && a.is_in(&b.guests) && b.is_in(&a.guests)
}

/// Gives a user with several events in one room at one time a single bot: that of the event which the user organizes or has accepted, or else of
/// the event that most users share.
fn choose(occurrences: &mut [Occurrence], indexes: &[usize]) {
    let mut users: HashMap<&str, BTreeSet<Uuid>> = HashMap::new();
    for index in indexes {
        users.entry(&occurrences[*index].audience).or_default().insert(occurrences[*index].user);
    }
    let rank = |index: usize| {
        let one = &occurrences[index];
        (one.part.is_sure, users[one.audience.as_str()].len(), &one.audience)
    };
    let mut chosen: HashMap<Uuid, usize> = HashMap::new();
    for index in indexes {
        let best = chosen.entry(occurrences[*index].user).or_insert(*index);
        if rank(*index) > rank(*best) {
            *best = *index;
        }
    }
    for index in indexes {
        let best = chosen[&occurrences[*index].user];
        if occurrences[*index].audience != occurrences[best].audience {
            let Occurrence { audience, title, link, .. } = occurrences[best].clone();
            let one = &mut occurrences[*index];
            (one.audience, one.title, one.link) = (audience, title, link);
        }
    }
}

/// A hexadecimal digest of texts.
fn digest(texts: &[&str]) -> String {
    HEXLOWER.encode(&Sha256::digest(texts.join("\0"))[..16])
}

#[cfg(test)]
#[path = "audience_tests.rs"]
mod tests;
