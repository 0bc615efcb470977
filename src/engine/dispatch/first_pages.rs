//! Whoever has nothing yet comes before the deeper pages of others, also where there are more full passes than a run can hold.

use super::super::Source;
use super::super::outcome::{Outcome, PollEnd};
use super::super::queue::State;
use super::{Dispatcher, READY_PASSES};
use crate::db::streams;

/// A run holds a full pass, most of them waiting for their users' quota, for so much of the memory that pages may take. Each takes about a kilobyte.
const MEMORY_OF_PASS: u64 = 4_096;

impl<S: Source> Dispatcher<'_, S> {
    /// Full passes that the run holds at most.
    pub(super) fn most_passes(&self) -> usize {
        let memory = self.shared.context.settings.engine.page_memory;
        usize::try_from(memory / MEMORY_OF_PASS).unwrap_or(usize::MAX).max(READY_PASSES)
    }

    /// Passes that give way to users who have nothing yet: the run holds as many as it may. Answers how far they have come.
    pub(super) fn to_give_way(&self, state: &mut State) -> Vec<Outcome> {
        let is_full = state.passes >= self.most_passes();
        match !self.shared.dry_run && is_full && state.firsts() < state.low.firsts {
            true => state.take_deep(self.firsts.min(READY_PASSES)),
            false => Vec::new(),
        }
    }

    /// Gives these back to the database, behind all others that are to be claimed.
    ///
    /// # Errors
    /// The database is gone. What they have read is counted nevertheless.
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
