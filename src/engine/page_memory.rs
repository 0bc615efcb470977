//! The bytes of pages in hand: how many may be read before others are written. Knows no service.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// A page of a kind of which none came so far.
const UNKNOWN: i64 = 1 << 20;
/// The least that a page counts.
const LEAST: i64 = 32 << 10;
/// What a page takes in memory for each byte of its JSON: the text, what it was made into, and the statement that writes it.
const MADE_OF: i64 = 3;
/// What is left of the largest page's size with each later one.
const FORGETS: f64 = 0.95;

/// The room of one run.
pub struct PageMemory {
    free: AtomicI64,
    /// By kind of stream: what a page takes, near the largest of late.
    sizes: Mutex<HashMap<String, i64>>,
    /// Told when a page leaves.
    freed: Arc<Notify>,
}

/// The room of one page.
pub struct PageReservation {
    room: Arc<PageMemory>,
    bytes: i64,
    /// Taken before the page came: what it turns out to take tells of the next one.
    is_guessed: bool,
}

impl PageMemory {
    /// For so many bytes together.
    pub fn new(bytes: u64, freed: Arc<Notify>) -> Self {
        Self { free: AtomicI64::new(i64::try_from(bytes).unwrap_or(i64::MAX)), sizes: Mutex::default(), freed }
    }

    /// Room for a page of this kind, if there is any: as much as others took.
    pub fn take(self: &Arc<Self>, kind: &str) -> Option<PageReservation> {
        let bytes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner).get(kind).copied().unwrap_or(UNKNOWN);
        // A page that is larger than all there is goes alone.
        let taken = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| (free > 0).then(|| free - bytes));
        taken.is_ok().then(|| PageReservation { room: Arc::clone(self), bytes, is_guessed: true })
    }

    /// Whether pages may be read that are not known to be large.
    pub fn is_left(&self) -> bool {
        self.free.load(Ordering::Relaxed) > 0
    }

    /// Room for a page that is there already.
    pub fn keep(self: &Arc<Self>, json: usize) -> PageReservation {
        let bytes = MADE_OF * i64::try_from(json).unwrap_or(i64::MAX / MADE_OF);
        self.free.fetch_sub(bytes, Ordering::Relaxed);
        PageReservation { room: Arc::clone(self), bytes, is_guessed: false }
    }
}

impl PageReservation {
    /// The page came, with so many bytes of JSON.
    pub fn came(&mut self, kind: &str, json: usize) {
        let bytes = (MADE_OF * i64::try_from(json).unwrap_or(i64::MAX / MADE_OF)).max(LEAST);
        self.room.free.fetch_add(self.bytes - bytes, Ordering::Relaxed);
        self.bytes = bytes;
        if !self.is_guessed {
            return;
        }
        let mut sizes = self.room.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        match sizes.get_mut(kind) {
            Some(size) => *size = bytes.max((*size as f64 * FORGETS) as i64),
            None => _ = sizes.insert(kind.to_owned(), bytes),
        }
    }
}

impl Drop for PageReservation {
    fn drop(&mut self) {
        self.room.free.fetch_add(self.bytes, Ordering::Relaxed);
        self.room.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_take_what_others_of_their_kind_took_and_one_may_always_be_read() {
        let room = Arc::new(PageMemory::new(4 << 20, Arc::default()));
        let mut first = room.take("events").expect("room");
        first.came("events", 1 << 20);
        let second = room.take("events").expect("room for half a page");
        assert!(room.take("events").is_none());
        assert!(!room.is_left());
        drop(first);
        assert!(room.take("events").is_some());
        drop(second);
        let huge = Arc::new(PageMemory::new(1, Arc::default()));
        assert!(huge.take("events").is_some());
    }
}
