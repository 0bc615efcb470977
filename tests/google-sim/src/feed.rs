//! A collection that can be listed page by page and followed from a token, like Google's incremental feeds.
//!
//! Entries are in the order of their last change. Full and incremental passes both walk that order to its end, so entries that change while
//! a client pages come on a later page, or again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::stub_of;
use crate::push::Bell;

/// An event's time span, in milliseconds since the epoch: `None` if it has none.
pub type Span = Option<(i64, i64)>;

/// Entries by id, in the order of their last change.
#[derive(Default)]
pub struct Feed {
    version: u64,
    order: BTreeMap<u64, Arc<str>>,
    entries: HashMap<Arc<str>, Entry>,
    /// Sync tokens of an older epoch have expired.
    pub sync_epoch: u64,
    /// Page tokens of an older epoch have expired.
    pub page_epoch: u64,
    /// The reason in a 410 for an expired token.
    pub expired_reason: Option<String>,
    /// Rung at every change, once there is a subscriber.
    pub bell: Option<Bell>,
}

/// One entry in its latest state.
#[derive(Clone)]
pub struct Entry {
    pub version: u64,
    /// The full JSON text.
    pub text: Arc<str>,
    /// The representation of its deletion.
    pub stub: Option<Arc<str>>,
    /// The series that an exception belongs to.
    pub series: Option<Arc<str>>,
    pub span: Span,
}

/// What a sync token returns for events that are not, or no longer, in its window. Google does not document which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// Nothing.
    #[default]
    Silent,
    /// The event's current state.
    Told,
    /// As if it were deleted.
    Cancelled,
}

/// What is returned instead of an entry.
pub type Unroll<'a> = dyn Fn(&Entry) -> Option<Vec<Arc<str>>> + 'a;

/// Parameters of a page.
pub struct Ask<'a> {
    /// After this version.
    pub after: u64,
    pub limit: usize,
    /// Includes deletions: an incremental pass does, a full one on request (`showDeleted`).
    pub deletions: bool,
    /// Only entries in this window.
    pub window: Span,
    /// What a pass that follows a token returns for changes outside the token's window; `None`: a full pass, which returns none.
    pub outside: Option<Outside>,
    /// Instances of the first series that an earlier page has returned.
    pub skip: usize,
    /// Expands a series to its instances; returns `None` for other events.
    pub unroll: Option<&'a Unroll<'a>>,
}

/// A page.
pub struct Page {
    pub texts: Vec<Arc<str>>,
    /// Where the next page continues, and how much of that entry was returned; `None`: this was the last.
    pub next: Option<(u64, usize)>,
    /// The version that a sync token of this page encodes.
    pub version: u64,
}

impl Feed {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id)
    }

    /// The entry that changed last.
    pub fn newest(&self) -> Option<&Entry> {
        self.order.last_key_value().and_then(|(_, id)| self.entries.get(id))
    }

    /// Live entries.
    pub fn live(&self) -> impl Iterator<Item = (&Arc<str>, &Entry)> {
        self.order.values().filter_map(|id| Some((id, self.entries.get(id)?))).filter(|(_, entry)| entry.stub.is_none())
    }

    /// Writes an entry; one with a stub counts as deleted.
    pub fn put(&mut self, id: &str, text: Arc<str>, stub: Option<Arc<str>>, span: Span) {
        self.put_exception(id, text, stub, None, span);
    }

    /// Writes an entry that belongs to a series.
    pub fn put_exception(&mut self, id: &str, text: Arc<str>, stub: Option<Arc<str>>, series: Option<&str>, span: Span) {
        self.version += 1;
        let id: Arc<str> = match self.entries.get_key_value(id) {
            Some((known, entry)) => {
                self.order.remove(&entry.version);
                Arc::clone(known)
            }
            None => id.into(),
        };
        self.order.insert(self.version, Arc::clone(&id));
        self.entries.insert(id, Entry { version: self.version, text, stub, series: series.map(Into::into), span });
        if let Some(bell) = &self.bell {
            bell.feed();
        }
    }

    fn lives(&self, id: &str) -> bool {
        self.entries.get(id).is_some_and(|entry| entry.stub.is_none())
    }

    pub fn page(&self, ask: &Ask<'_>) -> Page {
        let mut texts = Vec::new();
        let (mut last, mut skip) = (ask.after, ask.skip);
        for (version, id) in self.order.range(ask.after + 1..) {
            let Some(entry) = self.entries.get(id) else { continue };
            let inside = overlaps(entry.span, ask.window);
            let is_selected = match &entry.stub {
                // A full pass names a cancelled instance as long as its series lives, unless `singleEvents` is set.
                Some(_) if ask.unroll.is_none() && entry.series.as_ref().is_some_and(|series| self.lives(series)) => true,
                Some(_) => ask.deletions && (inside || ask.outside.is_some()),
                None => inside || ask.outside.is_some_and(|outside| outside != Outside::Silent),
            };
            if is_selected {
                let instances = ask.unroll.and_then(|unroll| unroll(entry));
                let has_left = !inside && ask.outside == Some(Outside::Cancelled);
                let stub = entry.stub.clone().or_else(|| has_left.then(|| stub(&entry.text)).flatten());
                let shown = instances.unwrap_or_else(|| vec![stub.unwrap_or_else(|| Arc::clone(&entry.text))]);
                for (index, text) in shown.into_iter().enumerate().skip(skip) {
                    if texts.len() == ask.limit {
                        return Page { texts, next: Some((last, index)), version: self.version };
                    }
                    texts.push(text);
                }
            }
            skip = 0;
            last = *version;
        }
        Page { texts, next: None, version: self.version }
    }
}

/// The representation of an event's deletion.
fn stub(text: &str) -> Option<Arc<str>> {
    serde_json::from_str(text).ok().map(|event| stub_of(&event))
}

fn overlaps(span: Span, window: Span) -> bool {
    match (span, window) {
        (Some((start, end)), Some((from, to))) => end > from && start < to,
        _ => true,
    }
}
