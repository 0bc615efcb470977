//! Streams of named users that another run, or another session, holds: they are waited for, as long as one that died may hold them.

use std::time::{Duration, Instant};

use super::super::Source;
use super::Dispatcher;

/// How often it is looked whether they are free.
const LOOK: Duration = Duration::from_millis(250);

impl<S: Source> Dispatcher<'_, S> {
    /// A dry run takes back what it brings up and polls nothing off the list of what is due: a second look would find the first one's streams.
    pub(super) fn looks_again(&self) -> bool {
        !self.shared.dry_run
    }

    /// When to look again whether they are free. `None`: there are none, or they were waited for long enough.
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
