//! Streams of named users that are held by another run or session: waited for until the lease of a dead holder would have lapsed.

use std::time::{Duration, Instant};

use super::super::Source;
use super::Dispatcher;

/// How often to check whether they are free.
const LOOK: Duration = Duration::from_millis(250);

impl<S: Source> Dispatcher<'_, S> {
    /// A dry run rolls back the streams it adds and removes nothing from the list of due streams: a second look would return the same streams.
    pub(super) fn looks_again(&self) -> bool {
        !self.shared.dry_run
    }

    /// When to check again whether they are free. `None` if there are none, or the wait is over.
    pub(super) fn others_by(&self, now: Instant) -> Option<Instant> {
        let looked = self.looked.filter(|_| self.others > 0 && self.looks_again() && now < self.patience)?;
        Some(looked + LOOK)
    }

    /// Counts streams that were due and could not be claimed.
    pub(super) fn missed(&mut self, count: usize) {
        if self.selection.force && self.selection.users.is_some() {
            self.others += count;
        }
    }
}
