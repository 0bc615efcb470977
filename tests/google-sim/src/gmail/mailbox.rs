//! One user's mail and its history. Independent of HTTP.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::labels::{Labels, Names, labels};
use super::letter::{self, Recipe};
use crate::push::Bell;

/// Above 2^53, so that a client that parses a history ID as a float loses its last digits.
const FIRST_HISTORY: u64 = 9_007_199_254_741_001;
/// Gmail's IDs are 16 hex digits. Mailboxes number alike, so the same ID in two of them names two messages.
const FIRST_MESSAGE: u64 = 0x1930_0000_0000_0000;

/// A user's messages, in order of arrival and date.
pub struct Mailbox {
    messages: BTreeMap<u64, Message>,
    by_date: BTreeSet<(i64, u64)>,
    /// Number of messages by thread.
    threads: HashMap<u64, u32>,
    history: VecDeque<Record>,
    /// The ID of the last change.
    now: u64,
    /// History up to here is still available; an older cursor is refused.
    floor: u64,
    next: u64,
    pub labels: Names,
    /// Threads by the `Message-ID` of added messages, for replies to them.
    pub known: HashMap<String, u64>,
    /// Number of bytes loaded of each mail file; a file with a single message counts 1.
    pub loaded: HashMap<PathBuf, u64>,
    /// Rung at every change, once there is a subscriber.
    pub bell: Option<Bell>,
}

/// One message. Kept small, since there may be a million of them.
#[derive(Clone)]
pub struct Message {
    pub thread: u64,
    /// The internal date, milliseconds since the epoch.
    pub at: i64,
    pub labels: Labels,
    /// The last change of the message.
    pub history: u64,
    pub text: Text,
}

/// The source of a message's text.
#[derive(Clone)]
pub enum Text {
    /// Generated on demand.
    Made(Arc<Recipe>, u32),
    Given(Arc<[u8]>),
}

/// One change.
pub struct Record {
    pub id: u64,
    pub message: u64,
    pub thread: u64,
    /// The message's labels after the change.
    pub labels: Labels,
    pub change: Change,
}

pub enum Change {
    Added,
    Deleted,
    LabelsAdded(Labels),
    LabelsRemoved(Labels),
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            messages: BTreeMap::new(),
            by_date: BTreeSet::new(),
            threads: HashMap::new(),
            history: VecDeque::new(),
            now: FIRST_HISTORY,
            floor: FIRST_HISTORY,
            next: FIRST_MESSAGE,
            labels: Names::default(),
            known: HashMap::new(),
            loaded: HashMap::new(),
            bell: None,
        }
    }
}

impl Message {
    pub fn bytes(&self) -> Arc<[u8]> {
        match &self.text {
            Text::Made(recipe, number) => letter::write(recipe, *number, self.at).into(),
            Text::Given(bytes) => Arc::clone(bytes),
        }
    }
}

impl Mailbox {
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    pub fn threads(&self) -> usize {
        self.threads.len()
    }

    /// The id of the last change.
    pub fn now(&self) -> u64 {
        self.now
    }

    pub fn get(&self, id: u64) -> Option<&Message> {
        self.messages.get(&id)
    }

    /// In the order of arrival.
    pub fn all(&self) -> impl Iterator<Item = (u64, &Message)> {
        self.messages.iter().map(|(id, message)| (*id, message))
    }

    /// The oldest and the newest id.
    pub fn ends(&self) -> Option<(u64, u64)> {
        Some((*self.messages.first_key_value()?.0, *self.messages.last_key_value()?.0))
    }

    /// The first existing ID from this one on.
    pub fn from(&self, id: u64) -> Option<u64> {
        self.messages.range(id..).next().map(|(id, _)| *id)
    }

    /// Newest first, starting before this position, down to this time.
    pub fn newest(&self, before: (i64, u64), down_to: i64) -> impl Iterator<Item = (i64, u64, &Message)> {
        let from = (down_to, 0);
        let range = (from < before).then(|| self.by_date.range(from..before).rev());
        range.into_iter().flatten().filter_map(|(at, id)| Some((*at, *id, self.messages.get(id)?)))
    }

    /// Adds a message; without a thread it starts one.
    pub fn add(&mut self, text: Text, at: i64, labels: Labels, thread: Option<u64>) -> u64 {
        let id = self.next;
        self.next += 1 + gap(id, 12);
        let thread = thread.unwrap_or(id);
        let history = self.record(id, thread, labels.clone(), Change::Added);
        self.by_date.insert((at, id));
        *self.threads.entry(thread).or_default() += 1;
        self.messages.insert(id, Message { thread, at, labels, history, text });
        id
    }

    /// Deletes a message; `false`: no such message.
    pub fn delete(&mut self, id: u64) -> bool {
        let Some(message) = self.messages.remove(&id) else { return false };
        self.by_date.remove(&(message.at, id));
        if let Some(count) = self.threads.get_mut(&message.thread) {
            *count -= 1;
            if *count == 0 {
                self.threads.remove(&message.thread);
            }
        }
        self.record(id, message.thread, message.labels, Change::Deleted);
        true
    }

    /// Changes the labels of a message; unchanged labels create no history. `false`: no such message.
    pub fn relabel(&mut self, id: u64, add: &[u16], remove: &[u16]) -> bool {
        let Some(message) = self.messages.get(&id) else { return false };
        let thread = message.thread;
        let old = message.labels.clone();
        let added = labels(add.iter().copied().filter(|label| !old.contains(label)).collect());
        let with = labels([&old[..], &added[..]].concat());
        let removed = labels(remove.iter().copied().filter(|label| with.contains(label)).collect());
        let without = labels(with.iter().copied().filter(|label| !removed.contains(label)).collect());
        let mut history = message.history;
        if !added.is_empty() {
            history = self.record(id, thread, with, Change::LabelsAdded(added));
        }
        if !removed.is_empty() {
            history = self.record(id, thread, without.clone(), Change::LabelsRemoved(removed));
        }
        if let Some(message) = self.messages.get_mut(&id) {
            message.labels = without;
            message.history = history;
        }
        true
    }

    /// Removes a label from all messages; `silently`: without history.
    pub fn remove_label(&mut self, label: u16, silently: bool) {
        let with: Vec<u64> =
            self.messages.iter().filter(|(_, message)| message.labels.contains(&label)).map(|(id, _)| *id).collect();
        for id in with {
            if !silently {
                self.relabel(id, &[], &[label]);
            } else if let Some(message) = self.messages.get_mut(&id) {
                message.labels = message.labels.iter().copied().filter(|other| *other != label).collect();
            }
        }
    }

    fn record(&mut self, message: u64, thread: u64, labels: Labels, change: Change) -> u64 {
        self.now += 1 + gap(self.now, 3);
        if let Some(bell) = &self.bell {
            // A watch of a label is also notified of its removal.
            let gone: &[u16] = if let Change::LabelsRemoved(gone) = &change { gone } else { &[] };
            bell.mail(self.now, self.labels.ids(&[&labels[..], gone].concat()));
        }
        self.history.push_back(Record { id: self.now, message, thread, labels, change });
        self.now
    }

    /// Changes after this one; `None`: expired or unknown.
    pub fn since(&self, id: u64) -> Option<impl Iterator<Item = &Record>> {
        let first = self.history.partition_point(|record| record.id <= id);
        (self.floor..=self.now).contains(&id).then(|| self.history.range(first..))
    }

    /// Forgets all history. The ID advances by a step, so that the newest cursor has expired too.
    pub fn forget(&mut self) {
        self.history.clear();
        self.now += 1 + gap(self.now, 3);
        self.floor = self.now;
    }
}

/// The gap between two IDs: below 2^bits, deterministic.
fn gap(id: u64, bits: u32) -> u64 {
    id.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - bits)
}
