//! Memory of pages in progress: limits how many bytes may be read before others are written. Independent of any service.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// Assumed size of a page of a kind not seen so far.
const UNKNOWN: i64 = 1 << 20;
/// Minimum size counted for a page.
const MIN_PAGE: i64 = 32 << 10;
/// Memory used per byte of a page's JSON: the text, the decoded form, and the statement that writes it.
const MEMORY_PER_BYTE: i64 = 3;
/// Factor by which the size of the largest page decays with each later one.
const DECAY: f64 = 0.95;

/// The page memory of one run.
pub struct PageMemory {
    free: AtomicI64,
    /// By kind of stream: estimated size of a page, close to the largest recent one.
    sizes: Mutex<HashMap<String, i64>>,
    /// Notified when a page is released.
    freed: Arc<Notify>,
}

/// The memory reserved for one page.
pub struct PageReservation {
    memory: Arc<PageMemory>,
    bytes: i64,
    /// Reserved before the page arrived: its actual size updates the estimate for the next one.
    is_guessed: bool,
}

impl PageMemory {
    /// Memory for `bytes` bytes in total.
    pub fn new(bytes: u64, freed: Arc<Notify>) -> Self {
        Self { free: AtomicI64::new(i64::try_from(bytes).unwrap_or(i64::MAX)), sizes: Mutex::default(), freed }
    }

    /// Reserves memory for a page of this kind, if any is free: as much as recent ones took.
    pub fn take(self: &Arc<Self>, kind: &str) -> Option<PageReservation> {
        let bytes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner).get(kind).copied().unwrap_or(UNKNOWN);
        // A page larger than the total is read alone.
        let taken = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| (free > 0).then(|| free - bytes));
        taken.is_ok().then(|| PageReservation { memory: Arc::clone(self), bytes, is_guessed: true })
    }

    /// Whether pages may be read that are not known to be large.
    pub fn is_left(&self) -> bool {
        self.free.load(Ordering::Relaxed) > 0
    }

    /// Reserves memory for a page that has already arrived.
    pub fn keep(self: &Arc<Self>, json: usize) -> PageReservation {
        let bytes = MEMORY_PER_BYTE * i64::try_from(json).unwrap_or(i64::MAX / MEMORY_PER_BYTE);
        self.free.fetch_sub(bytes, Ordering::Relaxed);
        PageReservation { memory: Arc::clone(self), bytes, is_guessed: false }
    }
}

impl PageReservation {
    /// The page arrived, with `json` bytes of JSON.
    pub fn came(&mut self, kind: &str, json: usize) {
        let bytes = (MEMORY_PER_BYTE * i64::try_from(json).unwrap_or(i64::MAX / MEMORY_PER_BYTE)).max(MIN_PAGE);
        self.memory.free.fetch_add(self.bytes - bytes, Ordering::Relaxed);
        self.bytes = bytes;
        if !self.is_guessed {
            return;
        }
        let mut sizes = self.memory.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        match sizes.get_mut(kind) {
            Some(size) => *size = bytes.max((*size as f64 * DECAY) as i64),
            None => _ = sizes.insert(kind.to_owned(), bytes),
        }
    }
}

impl Drop for PageReservation {
    fn drop(&mut self) {
        self.memory.free.fetch_add(self.bytes, Ordering::Relaxed);
        self.memory.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_earlier_pages_and_one_page_is_always_allowed() {
        let memory = Arc::new(PageMemory::new(4 << 20, Arc::default()));
        let mut first = memory.take("events").expect("room");
        first.came("events", 1 << 20);
        let second = memory.take("events").expect("room for half a page");
        assert!(memory.take("events").is_none());
        assert!(!memory.is_left());
        drop(first);
        assert!(memory.take("events").is_some());
        drop(second);
        let huge = Arc::new(PageMemory::new(1, Arc::default()));
        assert!(huge.take("events").is_some());
    }
}
