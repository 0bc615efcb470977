//! Memory for the contents of attachments that were read and are not stored yet: bounds what a run holds, over all its mailboxes. Pure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Maximum total size of contents held by a run, in bytes, except that each page may have one message.
const MAX_HELD: u64 = 32 << 20;

/// The memory of one run.
#[derive(Clone)]
pub struct ContentMemory(Arc<AtomicI64>);

/// The memory that the contents of one message take.
pub struct Held {
    memory: ContentMemory,
    bytes: i64,
}

/// Whether a page has a message whose contents are kept.
#[derive(Default)]
pub struct PageContents(AtomicBool);

impl Default for ContentMemory {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(MAX_HELD as i64)))
    }
}

impl ContentMemory {
    /// Takes memory for a message of this size. `None`: none is left, and the page has other messages, so that these can be stored first. It never waits
    /// for memory, because a page is held while the next one of its mailbox is read.
    pub fn take(&self, page: &PageContents, bytes: u64) -> Option<Held> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX / 2);
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| (free > 0).then(|| free - bytes));
        let is_first = !page.0.swap(true, Ordering::Relaxed);
        if taken.is_err() {
            if !is_first {
                return None;
            }
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }
        Some(Held { memory: self.clone(), bytes })
    }

    /// The messages to request for a page: all, or the first ones if those whose sizes are known, because they had to wait for memory, would have to wait
    /// again.
    pub fn fitting<'a>(&self, ids: &'a [String], size: impl Fn(&str) -> Option<u64>) -> &'a [String] {
        let free = u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0);
        let mut total: u64 = 0;
        let fitting = ids.iter().take_while(|id| {
            let fits = total == 0 || total < free;
            total = total.saturating_add(size(id).unwrap_or(0));
            fits
        });
        &ids[..fitting.count()]
    }
}

impl Held {
    /// The message was read, and these bytes of it are kept.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(self.bytes).min(self.bytes);
        self.memory.0.fetch_add(self.bytes - bytes, Ordering::Relaxed);
        self.bytes = bytes;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn memory_is_bounded_given_back_and_never_denied_to_a_page_without_contents() {
        let memory = ContentMemory::default();
        let (one, other) = (PageContents::default(), PageContents::default());
        let mut first = memory.take(&one, MAX_HELD - 1).expect("memory");
        let last = memory.take(&one, 10).expect("a byte was left");
        assert!(memory.take(&one, 1).is_none());
        let only = memory.take(&other, MAX_HELD).expect("its page has no other");
        assert!(memory.take(&other, 1).is_none());
        drop((last, only));
        assert!(memory.take(&one, 1).is_some());
        first.shrink(10);
        assert!(memory.take(&one, MAX_HELD - 20).is_some());
        drop(first);
        assert_eq!(memory.0.load(Ordering::Relaxed), MAX_HELD as i64);
    }

    #[test]
    fn messages_of_known_size_are_requested_as_far_as_memory_allows() {
        let ids: Vec<String> = ["a", "b", "c", "d"].map(str::to_owned).into();
        let memory = ContentMemory::default();
        let count = |known: &[(&str, u64)]| {
            let known: HashMap<&str, u64> = known.iter().copied().collect();
            memory.fitting(&ids, |id| known.get(id).copied()).len()
        };
        const HALF: u64 = MAX_HELD / 2;
        assert_eq!([count(&[]), count(&[("a", HALF), ("b", HALF)]), count(&[("a", HALF), ("b", HALF - 1), ("c", 2)])], [4, 2, 3]);
        assert_eq!([count(&[("a", 3 * MAX_HELD)]), count(&[("b", 3 * MAX_HELD)])], [1, 2]);
        let held = memory.take(&PageContents::default(), MAX_HELD);
        assert_eq!([count(&[]), count(&[("a", 1), ("b", 1)])], [4, 1]);
        drop(held);
    }
}
