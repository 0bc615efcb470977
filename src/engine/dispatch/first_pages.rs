//! Users who have no data yet come before further pages of others, even if there are more full passes than a run can hold.

use super::super::Source;
use super::super::outcome::{Outcome, PollEnd};
use super::super::queue::State;
use super::{Dispatcher, READY_PASSES};
use crate::db::streams;

/// A run holds one full pass for each 4 KiB of page memory. A pass takes about a kilobyte, and most passes wait for their users' quota.
const MEMORY_OF_PASS: u64 = 4_096;

impl<S: Source> Dispatcher<'_, S> {
    /// Maximum number of full passes that the run holds.
    pub(super) fn max_passes(&self) -> usize {
        let memory = self.shared.context.settings.engine.page_memory;
        usize::try_from(memory / MEMORY_OF_PASS).unwrap_or(usize::MAX).max(READY_PASSES)
    }

    /// If the run holds its maximum number of passes, selects those that give way to users who have no data yet. Returns their outcomes so far.
    pub(super) fn to_give_way(&self, state: &mut State) -> Vec<Outcome> {
        let is_full = state.passes >= self.max_passes();
        if !self.shared.dry_run && is_full && state.firsts() < state.low.firsts {
            state.take_deep(self.firsts.min(READY_PASSES))
        } else {
            Vec::new()
        }
    }

    /// Gives these streams back to the database, behind all others that are to be claimed.
    ///
    /// # Errors
    /// Returns an error if the database is gone. Pages already read are counted even then.
    pub(super) async fn give_way(&mut self, deep: Vec<Outcome>) -> anyhow::Result<()> {
        let ids: Vec<i64> = deep.iter().map(|outcome| outcome.id).collect();
        let is_begun = |outcome: &Outcome| !outcome.fetches.is_empty();
        let polled: Vec<i64> =
            deep.iter().filter(|outcome| outcome.again || is_begun(outcome)).map(|outcome| outcome.id).collect();
        for outcome in deep.into_iter().filter(is_begun) {
            self.shared.report().add(&Outcome { end: PollEnd::GaveWay, ..outcome });
        }
        streams::give_way(&self.shared.context.pool, self.shared.run, &ids, &polled).await?;
        self.shared.held().retain(|id| !ids.contains(id));
        self.passes.extend(ids);
        Ok(())
    }
}
