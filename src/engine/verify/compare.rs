//! Two sides of a stream held against each other: what its provider lists, and what is stored. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use uuid::Uuid;

use crate::http::without_addresses;

/// How many things of each sort a report names.
const EXAMPLES: usize = 20;

/// A thing as one side has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thing {
    /// Moves with every change that both sides know of: an etag, a version, the labels.
    pub version: String,
    /// Not deleted. What is dead on both sides is in step.
    pub alive: bool,
    /// The next poll asks for it whether it has changed or not.
    pub awaited: bool,
}

impl Thing {
    /// One that is there.
    pub fn alive(version: impl Into<String>) -> Self {
        Self { version: version.into(), alive: true, awaited: false }
    }

    /// One that is known to be deleted.
    pub fn dead() -> Self {
        Self { version: String::new(), alive: false, awaited: false }
    }
}

/// What one side has, by the provider's ids.
pub type Things = HashMap<String, Thing>;

/// How a thing differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// The provider has it, and it is not stored, or as deleted.
    Missing,
    /// It is stored, and the provider does not have it.
    Excess,
    /// Both have it, in different versions.
    Stale,
    /// It has changed since the last poll, which the next one brings.
    NotPolled,
    /// It could not be applied: `items list` shows why.
    Quarantined,
}

impl Mismatch {
    /// Whether something is wrong here that no poll mends.
    pub fn is_wrong(self) -> bool {
        matches!(self, Self::Missing | Self::Excess | Self::Stale)
    }
}

/// What differs, by id.
pub type Differences = BTreeMap<String, Mismatch>;

/// Rows that are made of stored ones, held against these: the source is the one side, what was made of it the other.
#[derive(Debug, Default)]
pub struct Derived {
    /// Of both sides together.
    pub compared: u64,
    /// By the ids of what they are made of.
    pub found: Differences,
}

impl Derived {
    /// Counts one; `found`: how it differs.
    pub fn add(&mut self, id: &str, found: Option<Mismatch>) {
        self.compared += 1;
        self.found.extend(found.map(|found| (id.to_owned(), found)));
    }
}

/// Those that are wrong, by id.
pub fn wrong(found: &Differences) -> Vec<&str> {
    found.iter().filter(|(_, found)| found.is_wrong()).map(|(id, _)| id.as_str()).collect()
}

/// Holds both sides against each other.
pub fn compare(listed: &Things, stored: &Things) -> Differences {
    let mut found = Differences::new();
    for (id, seen) in listed {
        let kept = stored.get(id);
        let awaited = kept.is_some_and(|kept| kept.awaited);
        let difference = match (seen.alive, kept.map(|kept| kept.alive)) {
            (true, Some(true)) if kept.is_some_and(|kept| kept.version == seen.version) => continue,
            (true, Some(true)) => Mismatch::Stale,
            // A deletion that must be known is a thing too.
            (true, _) | (false, None) => Mismatch::Missing,
            (false, Some(true)) => Mismatch::Excess,
            (false, Some(false)) => continue,
        };
        found.insert(id.clone(), if awaited { Mismatch::NotPolled } else { difference });
    }
    for (id, kept) in stored.iter().filter(|(id, kept)| kept.alive && !listed.contains_key(*id)) {
        found.insert(id.clone(), if kept.awaited { Mismatch::NotPolled } else { Mismatch::Excess });
    }
    found
}

/// What has changed at the provider since the stream was polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// These.
    Of(HashSet<String>),
    /// Nobody knows: the stream has no feed, and each poll of it lists everything anyway.
    Unknown,
}

/// Takes from the differences what is none of ours: what has changed since the last poll, and what lies in quarantine.
pub fn explain(found: &mut Differences, news: &News, quarantined: &HashSet<String>) {
    for (id, difference) in found.iter_mut().filter(|(_, difference)| difference.is_wrong()) {
        if quarantined.contains(id) {
            *difference = Mismatch::Quarantined;
        } else if match news {
            News::Of(ids) => ids.contains(id),
            News::Unknown => true,
        } {
            *difference = Mismatch::NotPolled;
        }
    }
}

/// What two looks in a row agree on: a provider's list can be behind its feed for a moment.
pub fn confirmed(first: &Differences, second: Differences) -> Differences {
    second.into_iter().filter(|(id, found)| !found.is_wrong() || first.get(id).is_some_and(|found| found.is_wrong())).collect()
}

/// The outcome for one kind of stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Streams compared.
    pub streams: u64,
    /// Those that have not come to the end of their first pass, or are in the middle of another: there is nothing to hold against.
    pub unfinished_streams: u64,
    /// Things compared, of both sides together.
    pub compared: u64,
    pub missing: u64,
    pub excess: u64,
    pub stale: u64,
    /// Changed since the last poll: the next one brings it.
    pub not_polled: u64,
    pub quarantined: u64,
    pub examples: Vec<Example>,
}

/// A thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    pub found: Mismatch,
    pub user_id: Uuid,
    pub stream_id: i64,
    /// The provider's id; where that holds an address, as ids of calendars do, the address is left out.
    pub id: String,
}

impl Figures {
    /// Adds a stream that was compared.
    pub fn add(&mut self, (stream_id, user_id): (i64, Uuid), compared: u64, found: &Differences) {
        self.streams += 1;
        self.compared += compared;
        for (id, found) in found {
            let count = match found {
                Mismatch::Missing => &mut self.missing,
                Mismatch::Excess => &mut self.excess,
                Mismatch::Stale => &mut self.stale,
                Mismatch::NotPolled => &mut self.not_polled,
                Mismatch::Quarantined => &mut self.quarantined,
            };
            *count += 1;
            if *count <= EXAMPLES as u64 && *found != Mismatch::NotPolled {
                self.examples.push(Example { found: *found, user_id, stream_id, id: without_addresses(id) });
            }
        }
    }

    /// What is wrong and no poll mends.
    pub fn wrong(&self) -> u64 {
        self.missing + self.excess + self.stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn things(things: &[(&str, Thing)]) -> Things {
        things.iter().map(|(id, thing)| ((*id).to_owned(), thing.clone())).collect()
    }

    fn awaited(version: &str) -> Thing {
        Thing { awaited: true, ..Thing::alive(version) }
    }

    #[test]
    fn each_way_to_differ_has_its_name() {
        let listed = things(&[
            ("same", Thing::alive("1")),
            ("lost", Thing::alive("1")),
            ("buried", Thing::alive("1")),
            ("old", Thing::alive("2")),
            ("cancelled", Thing::dead()),
            ("unheard", Thing::dead()),
            ("known dead", Thing::dead()),
            ("moving", Thing::alive("2")),
        ]);
        let stored = things(&[
            ("same", Thing::alive("1")),
            ("buried", Thing::dead()),
            ("old", Thing::alive("1")),
            ("cancelled", Thing::alive("1")),
            ("known dead", Thing::dead()),
            ("made up", Thing::alive("1")),
            ("long dead", Thing::dead()),
            ("moving", awaited("1")),
            ("leaving", awaited("1")),
        ]);
        let found: Vec<(String, Mismatch)> = compare(&listed, &stored).into_iter().collect();
        let expected = [
            ("buried", Mismatch::Missing),
            ("cancelled", Mismatch::Excess),
            ("leaving", Mismatch::NotPolled),
            ("lost", Mismatch::Missing),
            ("made up", Mismatch::Excess),
            ("moving", Mismatch::NotPolled),
            ("old", Mismatch::Stale),
            ("unheard", Mismatch::Missing),
        ];
        assert_eq!(found, expected.map(|(id, found)| (id.to_owned(), found)));
    }

    #[test]
    fn what_the_feed_names_is_not_lost_and_what_lies_in_quarantine_is_called_so() {
        let differ = || {
            Differences::from([("a".into(), Mismatch::Missing), ("b".into(), Mismatch::Stale), ("c".into(), Mismatch::Excess)])
        };
        let mut found = differ();
        explain(&mut found, &News::Of(["a".to_owned()].into()), &["b".to_owned()].into());
        assert_eq!(found.into_values().collect::<Vec<_>>(), [Mismatch::NotPolled, Mismatch::Quarantined, Mismatch::Excess]);
        let mut found = differ();
        explain(&mut found, &News::Unknown, &HashSet::new());
        assert!(found.values().all(|found| *found == Mismatch::NotPolled));
    }

    #[test]
    fn only_what_two_looks_agree_on_is_wrong() {
        let first = Differences::from([("a".into(), Mismatch::Missing), ("b".into(), Mismatch::NotPolled)]);
        let second = Differences::from([
            ("a".into(), Mismatch::Stale),
            ("b".into(), Mismatch::Missing),
            ("c".into(), Mismatch::Quarantined),
        ]);
        let found = confirmed(&first, second);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("a".into(), Mismatch::Stale), ("c".into(), Mismatch::Quarantined)]);
    }

    #[test]
    fn a_calendars_address_is_in_no_example() {
        let mut figures = Figures::default();
        figures.add((1, Uuid::nil()), 2, &Differences::from([("ann@example.com".into(), Mismatch::Missing)]));
        assert_eq!(figures.examples[0].id, "<address>");
        assert_eq!((figures.missing, figures.wrong(), figures.compared), (1, 1, 2));
    }
}
