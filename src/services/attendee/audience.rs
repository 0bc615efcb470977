//! Who shares a bot: those who take part in the same event, and nobody who only knows its link and its time. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::plan::Occurrence;

/// How a user takes part in an event, as far as it is known here. Addresses are in lower case.
#[derive(Debug, Clone, Default)]
pub struct Part {
    /// The event, whosever calendar shows it (see `identity`).
    pub identity: String,
    /// The addresses that the user has in it.
    pub goes_by: Vec<String>,
    /// Who takes part, by the organizer's own copy of the event, or else by the copy in the user's calendar.
    pub guests: Arc<BTreeSet<String>>,
    /// `guests` is of the organizer's own copy.
    pub is_decided: bool,
    /// The user organizes the event, or has accepted the invitation.
    pub is_sure: bool,
}

impl Part {
    /// Whether the user is the organizer or an attendee.
    pub fn takes_part(&self) -> bool {
        self.is_in(&self.guests)
    }

    fn is_in(&self, guests: &BTreeSet<String>) -> bool {
        self.goes_by.iter().any(|address| guests.contains(address))
    }
}

/// What two copies of one event have in common: the iCalUID and the organizer. An iCalUID alone proves nothing: whoever imports an event
/// chooses it.
pub fn identity(uid: &str, organizer: &str) -> String {
    digest(&[uid, organizer])
}

/// Whether two audiences are of the same event, whoever shares the bot.
pub fn is_same_event(one: &str, other: &str) -> bool {
    one.split('-').next() == other.split('-').next()
}

/// Says of each occurrence with whom it shares a bot (`Occurrence::audience`).
pub fn assign(wanted: &mut [Occurrence]) {
    let mut rooms: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, one) in wanted.iter().enumerate() {
        rooms.entry((one.start, one.room.clone())).or_default().push(place);
    }
    for places in rooms.values() {
        let mut events: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for place in places {
            events.entry(wanted[*place].part.identity.clone()).or_default().push(*place);
        }
        for (identity, places) in events {
            let leads = leads(&places.iter().map(|place| &wanted[*place]).collect::<Vec<_>>());
            for (place, lead) in places.into_iter().zip(leads) {
                wanted[place].audience = format!("{identity}-{}", digest(&[&lead]));
            }
        }
        choose(wanted, places);
    }
}

/// Names the circle of each of these occurrences of one event. Where the organizer's own copy is known, it says who is in the one circle. Where
/// it is not, two users share if each one's copy names the other. Everybody else stays alone.
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
    let name = |(one, circle): (&&Occurrence, &usize)| match one.part.is_decided && one.part.takes_part() {
        true => String::new(),
        false => user(*circle).unwrap_or(one.user).to_string(),
    };
    occurrences.iter().zip(&circle).map(name).collect()
}

fn share(one: &Occurrence, other: &Occurrence) -> bool {
    let (a, b) = (&one.part, &other.part);
    if one.user == other.user {
        return true;
    }
    // A decided circle has a name of its own.
    let is_open = !a.is_decided && !b.is_decided;
    is_open && a.takes_part() && b.takes_part() && a.is_in(&b.guests) && b.is_in(&a.guests)
}

/// A user with several events in one room at one time needs one bot: that of the event which the user organizes or has accepted, or else of
/// the one that more users share.
fn choose(wanted: &mut [Occurrence], places: &[usize]) {
    let mut users: HashMap<&str, BTreeSet<Uuid>> = HashMap::new();
    for place in places {
        users.entry(&wanted[*place].audience).or_default().insert(wanted[*place].user);
    }
    let rank = |place: usize| {
        let one = &wanted[place];
        (one.part.is_sure, users[one.audience.as_str()].len(), &one.audience)
    };
    let mut chosen: HashMap<Uuid, usize> = HashMap::new();
    for place in places {
        let best = chosen.entry(wanted[*place].user).or_insert(*place);
        if rank(*place) > rank(*best) {
            *best = *place;
        }
    }
    for place in places {
        let best = chosen[&wanted[*place].user];
        if wanted[*place].audience != wanted[best].audience {
            let Occurrence { audience, title, link, .. } = wanted[best].clone();
            let one = &mut wanted[*place];
            (one.audience, one.title, one.link) = (audience, title, link);
        }
    }
}

/// Hexadecimal digits over texts.
fn digest(texts: &[&str]) -> String {
    HEXLOWER.encode(&Sha256::digest(texts.join("\0"))[..16])
}

#[cfg(test)]
#[path = "audience_tests.rs"]
mod tests;
