//! Compares two sides of a stream: what its provider lists, and what is stored. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use uuid::Uuid;

use crate::http::without_addresses;

/// Maximum number of examples of each kind in a report.
const EXAMPLES: usize = 20;

/// An item as one side has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemState {
    /// Changes with every update that both sides know of: an etag, a version, the labels.
    pub version: String,
    /// Not deleted. Items deleted on both sides match.
    pub alive: bool,
    /// The next poll fetches it whether it has changed or not.
    pub awaited: bool,
}

impl ItemState {
    /// An existing item.
    pub fn alive(version: impl Into<String>) -> Self {
        Self { version: version.into(), alive: true, awaited: false }
    }

    /// An item known to be deleted.
    pub fn dead() -> Self {
        Self { version: String::new(), alive: false, awaited: false }
    }
}

/// The items of one side, by the provider's ids.
pub type Things = HashMap<String, ItemState>;

/// How an item differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mismatch {
    /// The provider has it, but it is not stored, or stored as deleted.
    Missing,
    /// It is stored, but the provider does not have it.
    Excess,
    /// Both have it, in different versions.
    Stale,
    /// It has changed since the last poll; the next one fetches it.
    NotPolled,
    /// It could not be applied: `items list` shows why.
    Quarantined,
}

impl Mismatch {
    /// Whether this is an error that no poll fixes.
    pub fn is_wrong(self) -> bool {
        matches!(self, Self::Missing | Self::Excess | Self::Stale)
    }
}

/// Differences by id.
pub type Differences = BTreeMap<String, Mismatch>;

/// Rows derived from stored ones, compared with their sources.
#[derive(Debug, Default)]
pub struct Derived {
    /// Number compared, on both sides together.
    pub compared: u64,
    /// Differences by the ids of the source items.
    pub found: Differences,
}

impl Derived {
    /// Counts one; `mismatch`: how it differs, if it does.
    pub fn add(&mut self, id: &str, mismatch: Option<Mismatch>) {
        self.compared += 1;
        self.found.extend(mismatch.map(|mismatch| (id.to_owned(), mismatch)));
    }
}

/// Derived rows by their name in a report: `meetings`, `documents`.
pub type AllDerived = BTreeMap<&'static str, Derived>;

/// Ids of the items that are wrong.
pub fn wrong(differences: &Differences) -> Vec<&str> {
    differences.iter().filter(|(_, mismatch)| mismatch.is_wrong()).map(|(id, _)| id.as_str()).collect()
}

/// Compares both sides.
pub fn compare(listed: &Things, stored: &Things) -> Differences {
    let mut differences = Differences::new();
    for (id, seen) in listed {
        let kept = stored.get(id);
        let awaited = kept.is_some_and(|kept| kept.awaited);
        let difference = match (seen.alive, kept.map(|kept| kept.alive)) {
            (true, Some(true)) if kept.is_some_and(|kept| kept.version == seen.version) => continue,
            (true, Some(true)) => Mismatch::Stale,
            // A deletion that must be known counts as an item too.
            (true, _) | (false, None) => Mismatch::Missing,
            (false, Some(true)) => Mismatch::Excess,
            (false, Some(false)) => continue,
        };
        differences.insert(id.clone(), if awaited { Mismatch::NotPolled } else { difference });
    }
    for (id, kept) in stored.iter().filter(|(id, kept)| kept.alive && !listed.contains_key(*id)) {
        differences.insert(id.clone(), if kept.awaited { Mismatch::NotPolled } else { Mismatch::Excess });
    }
    differences
}

/// Changes at the provider since the stream was polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The changed ids.
    Of(HashSet<String>),
    /// Unknown: the stream has no feed, and each of its polls lists everything anyway.
    Unknown,
}

/// Excludes differences that are not errors: changes since the last poll, and quarantined items.
pub fn explain(differences: &mut Differences, news: &News, quarantined: &HashSet<String>) {
    for (id, difference) in differences.iter_mut().filter(|(_, difference)| difference.is_wrong()) {
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

/// Differences confirmed by two consecutive comparisons: a provider's list can lag behind its feed for a moment.
pub fn confirmed(first: &Differences, second: Differences) -> Differences {
    second
        .into_iter()
        .filter(|(id, mismatch)| !mismatch.is_wrong() || first.get(id).is_some_and(|mismatch| mismatch.is_wrong()))
        .collect()
}

/// The outcome for one kind of stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Streams compared.
    pub streams: u64,
    /// Streams that have not completed their first pass, or are in the middle of another: there is nothing to compare with.
    pub unfinished_streams: u64,
    /// Items compared, on both sides together.
    pub compared: u64,
    pub missing: u64,
    pub excess: u64,
    pub stale: u64,
    /// Changed since the last poll; the next one fetches them.
    pub not_polled: u64,
    pub quarantined: u64,
    pub examples: Vec<Example>,
}

/// An item that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    pub found: Mismatch,
    pub user_id: Uuid,
    pub stream_id: i64,
    /// The provider's id. If it contains an address, as calendar ids do, the address is left out.
    pub id: String,
}

impl Figures {
    /// Adds a compared stream.
    pub fn add(&mut self, (stream_id, user_id): (i64, Uuid), compared: u64, differences: &Differences) {
        self.streams += 1;
        self.compared += compared;
        for (id, mismatch) in differences {
            let count = match mismatch {
                Mismatch::Missing => &mut self.missing,
                Mismatch::Excess => &mut self.excess,
                Mismatch::Stale => &mut self.stale,
                Mismatch::NotPolled => &mut self.not_polled,
                Mismatch::Quarantined => &mut self.quarantined,
            };
            *count += 1;
            if *count <= EXAMPLES as u64 && *mismatch != Mismatch::NotPolled {
                self.examples.push(Example { found: *mismatch, user_id, stream_id, id: without_addresses(id) });
            }
        }
    }

    /// Number of items that are wrong and that no poll fixes.
    pub fn wrong(&self) -> u64 {
        self.missing + self.excess + self.stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(items: &[(&str, ItemState)]) -> Things {
        items.iter().map(|(id, item)| ((*id).to_owned(), item.clone())).collect()
    }

    fn awaited(version: &str) -> ItemState {
        ItemState { awaited: true, ..ItemState::alive(version) }
    }

    #[test]
    fn each_kind_of_difference_has_a_name() {
        let listed = items(&[
            ("same", ItemState::alive("1")),
            ("lost", ItemState::alive("1")),
            ("buried", ItemState::alive("1")),
            ("old", ItemState::alive("2")),
            ("cancelled", ItemState::dead()),
            ("unheard", ItemState::dead()),
            ("known dead", ItemState::dead()),
            ("moving", ItemState::alive("2")),
        ]);
        let stored = items(&[
            ("same", ItemState::alive("1")),
            ("buried", ItemState::dead()),
            ("old", ItemState::alive("1")),
            ("cancelled", ItemState::alive("1")),
            ("known dead", ItemState::dead()),
            ("made up", ItemState::alive("1")),
            ("long dead", ItemState::dead()),
            ("moving", awaited("1")),
            ("leaving", awaited("1")),
        ]);
        let differences: Vec<(String, Mismatch)> = compare(&listed, &stored).into_iter().collect();
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
        assert_eq!(differences, expected.map(|(id, mismatch)| (id.to_owned(), mismatch)));
    }

    #[test]
    fn pending_changes_are_not_missing_and_quarantined_items_are_labelled() {
        let differ = || {
            Differences::from([("a".into(), Mismatch::Missing), ("b".into(), Mismatch::Stale), ("c".into(), Mismatch::Excess)])
        };
        let mut differences = differ();
        explain(&mut differences, &News::Of(["a".to_owned()].into()), &["b".to_owned()].into());
        assert_eq!(differences.into_values().collect::<Vec<_>>(), [Mismatch::NotPolled, Mismatch::Quarantined, Mismatch::Excess]);
        let mut differences = differ();
        explain(&mut differences, &News::Unknown, &HashSet::new());
        assert!(differences.values().all(|mismatch| *mismatch == Mismatch::NotPolled));
    }

    #[test]
    fn only_differences_seen_twice_count() {
        let first = Differences::from([("a".into(), Mismatch::Missing), ("b".into(), Mismatch::NotPolled)]);
        let second = Differences::from([
            ("a".into(), Mismatch::Stale),
            ("b".into(), Mismatch::Missing),
            ("c".into(), Mismatch::Quarantined),
        ]);
        let differences = confirmed(&first, second);
        assert_eq!(
            differences.into_iter().collect::<Vec<_>>(),
            [("a".into(), Mismatch::Stale), ("c".into(), Mismatch::Quarantined)]
        );
    }

    #[test]
    fn examples_contain_no_calendar_address() {
        let mut figures = Figures::default();
        figures.add((1, Uuid::nil()), 2, &Differences::from([("ann@example.com".into(), Mismatch::Missing)]));
        assert_eq!(figures.examples[0].id, "<address>");
        assert_eq!((figures.missing, figures.wrong(), figures.compared), (1, 1, 2));
    }
}
