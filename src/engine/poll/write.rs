//! What is done with a page: it is counted and written, and the next one is requested meanwhile.

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;

use super::transition::Answer;
use super::{Slice, Step, dry_run};
use crate::db::streams::{Finish, Idle};
use crate::engine::delays::Delays;
use crate::engine::outcome::PollEnd;
use crate::engine::pace::History;
use crate::engine::page::{change_times, is_idle, json, wait_of};
use crate::engine::page_memory::PageReservation;
use crate::engine::shared::Shared;
use crate::engine::slice::Task;
use crate::engine::{Counts, Page, Position, Source, apply, pacing};
use crate::error::Failure;

/// A page's changes, and the stream's state before it.
struct Seen {
    at: Position,
    history: History,
    now: DateTime<Utc>,
    changes: Vec<DateTime<Utc>>,
    delays: Delays,
}

impl<S: Source> Slice<'_, S> {
    /// Writes a page while requesting the next one.
    pub(super) async fn go_on(
        &self,
        task: &mut Task,
        page: Page<S::Change>,
        next: Position,
        memory: &mut Option<PageReservation>,
        mut dry_run_tx: Option<&mut Transaction<'_>>,
    ) -> Result<Result<Answer<S::Change>, Step>, Failure> {
        let seen = self.see(task, &page, memory);
        let rewrite = task.begins_rewrite();
        task.row.position = next;
        let applied = Box::pin(self.apply(&page, &seen, rewrite, None, dry_run_tx.as_deref_mut()));
        // Google prepares the next page while PostgreSQL writes this one: never more than two pages of a stream in memory.
        let ahead = Box::pin(self.ask_ahead(task));
        let (written, ahead) = if self.shared.dry_run {
            (applied.await, dry_run::alive(dry_run_tx.as_deref(), ahead).await)
        } else {
            tokio::join!(applied, ahead)
        };
        match written {
            Ok(written) => task.outcome.wrote(written, &seen.delays),
            Err(failure) => return Ok(Ok(seen.undo(task, failure))),
        }
        Ok(match ahead? {
            Ok((answer, held)) => {
                *memory = held;
                Ok(answer)
            }
            Err(step) => Err(step),
        })
    }

    /// Writes the last page.
    pub(super) async fn finish(
        &self,
        task: &mut Task,
        page: Page<S::Change>,
        cursor: String,
        memory: &mut Option<PageReservation>,
        dry_run_tx: Option<&mut Transaction<'_>>,
    ) -> Result<Answer<S::Change>, Step> {
        let seen = self.see(task, &page, memory);
        let wait = self.wait(task, &seen);
        let changed_at = if task.row.push_left.is_some() { seen.changes.clone() } else { Vec::new() };
        let finish = Finish { cursor, pass: seen.at.pass, wait, changes: pacing::changes(&task.history), changed_at };
        let rewrite = task.begins_rewrite();
        match Box::pin(self.apply(&page, &seen, rewrite, Some(finish), dry_run_tx)).await {
            Ok(written) => {
                task.outcome.wrote(written, &seen.delays);
                Err(Step::Ended(PollEnd::Done))
            }
            Err(failure) => Ok(seen.undo(task, failure)),
        }
    }

    /// Ends a poll that found nothing; it is closed together with others.
    pub(super) fn idle(&self, task: &mut Task, page: &Page<S::Change>, cursor: String) -> PollEnd {
        let seen = self.see(task, page, &mut None);
        PollEnd::Idle(Idle { id: task.row.id, cursor: Some(cursor), wait: self.wait(task, &seen) })
    }

    /// Seconds to the next poll.
    fn wait(&self, task: &Task, seen: &Seen) -> f64 {
        wait_of(self.shared, &task.row, &task.history, &self.bounds, seen.now, seen.at.pass.is_some())
    }

    /// Counts a page: its memory, and its changes in the history.
    fn see(&self, task: &mut Task, page: &Page<S::Change>, memory: &mut Option<PageReservation>) -> Seen {
        if !is_idle(page, &task.row.position) {
            match memory {
                Some(memory) => memory.came(&self.stream.kind, json(page)),
                None => *memory = Some(self.shared.page_memory.keep(json(page))),
            }
        }
        let (at, history, now, changes) = (task.row.position.clone(), task.history, Utc::now(), change_times(page));
        let prior = pacing::prior(&self.shared.prices, &task.row.kind, &self.bounds);
        task.history = history.observe(now, &changes, self.shared.context.settings.pace.half_life, &prior);
        // Changes found by a full pass are old.
        let delays = if at.pass.is_none() { Delays::of(now, &changes) } else { Delays::default() };
        Seen { at, history, now, changes, delays }
    }

    /// Applies a page; `finish`: the last one. Returns the counts and the number of items quarantined.
    async fn apply(
        &self,
        page: &Page<S::Change>,
        seen: &Seen,
        rewrite: bool,
        finish: Option<Finish>,
        dry_run_tx: Option<&mut Transaction<'_>>,
    ) -> Result<(Counts, u64), Failure> {
        let Shared { source, context, run, pass_settings, .. } = self.shared;
        let lease = context.settings.engine.lease.as_secs_f64();
        let write = apply::Write { run: *run, at: &seen.at, lease, settings: pass_settings, rewrite, finish };
        match dry_run_tx {
            Some(tx) => Ok(apply::changes(source, tx, &self.stream, page, &write).await?),
            None => apply::page(source, &context.pool, &self.stream, page, &write).await,
        }
    }
}

impl Seen {
    /// Puts the stream back to where it was before a page that could not be written.
    fn undo<C>(self, task: &mut Task, failure: Failure) -> Answer<C> {
        (task.row.position, task.history) = (self.at, self.history);
        Answer::Unwritten(failure)
    }
}
