//! People's corrections of a user's documents, indexed by thread, series, folder and sender. Pure.

use std::collections::HashMap;

use uuid::Uuid;

use crate::classify::Label;
use crate::classify::decide::{Kinship, LATEST_OF_SENDER, Neighbours};
use crate::db::classify::Traits;

/// Labelled documents by a shared trait, oldest first.
type Words = HashMap<String, Vec<(Uuid, Label)>>;

/// People's corrections so far.
#[derive(Debug, Default)]
pub struct People {
    threads: Words,
    series: Words,
    folders: Words,
    senders: Words,
}

/// Labels of documents related to one document.
#[derive(Debug, Default)]
pub struct Near {
    kin: Vec<(Kinship, Label)>,
    /// Newest first.
    sender: Vec<Label>,
}

impl Near {
    /// The form that `decide` takes.
    pub fn neighbours(&self) -> Neighbours<'_> {
        Neighbours { kin: &self.kin, sender: &self.sender }
    }
}

impl People {
    /// Adds the newest correction.
    pub fn add(&mut self, document: Uuid, traits: &Traits, label: Label) {
        let kinds = [
            (&mut self.threads, &traits.thread),
            (&mut self.series, &traits.series),
            (&mut self.folders, &traits.folder),
            (&mut self.senders, &traits.sender),
        ];
        for (words, key) in kinds {
            if let Some(key) = key {
                words.entry(key.clone()).or_default().push((document, label));
            }
        }
    }

    /// Approximate memory use in bytes.
    pub fn bytes(&self) -> usize {
        let kinds = [&self.threads, &self.series, &self.folders, &self.senders].into_iter().flatten();
        kinds.map(|(key, words)| key.capacity() + size_of::<(String, Vec<(Uuid, Label)>)>() + size_of_val(words.as_slice())).sum()
    }

    /// Returns the labels of other documents related to this one.
    pub fn near(&self, document: Uuid, traits: &Traits) -> Near {
        let of = |words: &Words, key: &Option<String>| {
            let labelled = key.as_ref().and_then(|key| words.get(key)).map_or(&[][..], Vec::as_slice);
            labelled.iter().filter(|(other, _)| *other != document).map(|(_, label)| *label).collect::<Vec<_>>()
        };
        let kinds = [
            (Kinship::Thread, &self.threads, &traits.thread),
            (Kinship::Series, &self.series, &traits.series),
            (Kinship::Folder, &self.folders, &traits.folder),
        ];
        let kin =
            kinds.into_iter().flat_map(|(kinship, words, key)| of(words, key).into_iter().map(move |label| (kinship, label)));
        let mut sender = of(&self.senders, &traits.sender);
        sender.reverse();
        sender.truncate(LATEST_OF_SENDER);
        Near { kin: kin.collect(), sender }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn related_documents_share_thread_folder_or_sender() {
        let (bridge, road) = (Label::Project(Uuid::from_u128(1)), Label::Project(Uuid::from_u128(2)));
        let traits =
            |thread: &str, sender: &str| Traits { thread: Some(thread.into()), sender: Some(sender.into()), ..Traits::default() };
        let mut people = People::default();
        people.add(Uuid::from_u128(10), &traits("t1", "ada"), bridge);
        people.add(Uuid::from_u128(11), &traits("t2", "ada"), road);
        let near = people.near(Uuid::from_u128(12), &traits("t1", "ada"));
        assert_eq!(near.kin, [(Kinship::Thread, bridge)]);
        assert_eq!(near.sender, [road, bridge]);
        let near = people.near(Uuid::from_u128(10), &traits("t1", "ada"));
        assert_eq!((near.kin.as_slice(), near.sender.as_slice()), (&[][..], &[road][..]));
        let near = people.near(Uuid::from_u128(12), &Traits::default());
        assert!(near.kin.is_empty() && near.sender.is_empty());
    }
}
