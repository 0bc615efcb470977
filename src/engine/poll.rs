//! One slice of a stream: pages from its position, until the stream ends or others need its turn.

mod dry_run;
mod parked;
mod turns;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;

use super::delays::Delays;
use super::outcome::{Outcome, PollEnd};
use super::pace::Bounds;
use super::page::{change_times, is_idle, json, wait_of};
use super::page_memory::PageReservation;
use super::shared::Shared;
use super::slice::{Granted, Sliced, Task};
use super::{Calls, Counts, Next, Page, Position, Source, Stream, apply, failed, pacing, recover, refetch};
use crate::db::claims::StreamRow;
use crate::db::pool::CANCELLED;
use crate::db::streams::{Finish, Idle};
use crate::error::{Class, Failure};

/// How far a slice goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the end of the stream.
    End,
    /// A pass goes back to the queue between two pages if others wait for their turn.
    Others,
    /// A pass goes back to the queue after one page.
    Page,
}

/// Polls one claimed stream to its end, however long it waits for quota.
pub async fn poll<S: Source>(shared: Arc<Shared<S>>, row: StreamRow) -> Outcome {
    let task = Task::of(&shared.source, row);
    match slice(shared, task, None, Until::End).await {
        Sliced::Ended(task) => task.outcome,
        // Only streams from the queue go back to it.
        Sliced::Waiting(task, _) => Outcome { end: PollEnd::Interrupted, ..task.outcome },
    }
}

/// Polls a claimed stream until it ends or, if it came from the queue, its next page must wait for its turn. `granted`: for the first page.
pub async fn slice<S: Source>(shared: Arc<Shared<S>>, mut task: Box<Task>, granted: Option<Granted>, until: Until) -> Sliced {
    let started = Instant::now();
    let stream = Stream::of(&task.row);
    let (calls, bounds) = (shared.calls(&task.row), shared.source.bounds(&stream));
    let slice = Slice { shared: &shared, stream, calls, bounds, until };
    let ended = slice.run(&mut task, granted).await;
    task.outcome.took += started.elapsed();
    match ended {
        Ok(Step::Ended(end)) => task.finish(end),
        Ok(Step::Wait(wait)) => Sliced::Waiting(task, wait),
        // Rare branches are boxed, here and below: a future reserves space for everything it may await, and is moved together with it.
        Err(failure) if shared.wind_down.is_cancelled() && failure.reason == CANCELLED => task.finish(PollEnd::Interrupted),
        Err(failure) => {
            let end = Box::pin(failed::store(&shared, &task.row, failure)).await;
            task.finish(end)
        }
    }
}

/// What follows a page.
enum Step {
    Ended(PollEnd),
    /// The next page waits for its turn, and for this long.
    Wait(Option<Duration>),
}

/// The response to a page request; `None` if the run ended before it arrived.
type Answer<C> = Result<Option<Page<C>>, Failure>;

/// The result of a page: the end of the slice, or the response to the next page request.
type Taken<C> = Result<Result<Answer<C>, Step>, Failure>;

struct Slice<'a, S: Source> {
    shared: &'a Shared<S>,
    stream: Stream,
    calls: Calls,
    bounds: Bounds,
    until: Until,
}

impl<S: Source> Slice<'_, S> {
    async fn run(&self, task: &mut Task, granted: Option<Granted>) -> Result<Step, Failure> {
        self.shared.meter.must_not_be_paused(&task.row.account.project)?;
        // A dry run applies a whole pass in one transaction that is never committed: its figures are those of a real run. Streams run one after the other,
        // because feeds of several users write the same rows, and none of them must wait for a connection that another one holds.
        if self.shared.dry_run {
            return Box::pin(self.dry_run(task)).await;
        }
        if self.waits_for_turns(task) && granted.is_none() {
            return Ok(Step::Wait(None));
        }
        let memory = match self.admit(granted).await? {
            Ok(memory) => memory,
            Err(wait) => return Ok(Step::Wait(wait)),
        };
        task.begin_pass();
        let first = self.fetch(task).await;
        self.pages(task, first, memory, None).await
    }

    fn waits_for_turns(&self, task: &Task) -> bool {
        self.until != Until::End && !self.shared.dry_run && task.is_pass()
    }

    /// Processes pages, starting with this response.
    async fn pages(
        &self,
        task: &mut Task,
        mut answer: Answer<S::Change>,
        mut memory: Option<PageReservation>,
        mut dry_run_tx: Option<&mut Transaction<'_>>,
    ) -> Result<Step, Failure> {
        loop {
            let page = match answer {
                Ok(Some(page)) => page,
                Ok(None) => return Ok(Step::Ended(PollEnd::Interrupted)),
                // Stopped while waiting for its turn: nothing failed.
                Err(failure) if self.shared.wind_down.is_cancelled() && failure.class == Class::RateLimited => {
                    return Ok(Step::Ended(PollEnd::Interrupted));
                }
                Err(failure) => {
                    recover::of(self.shared, task, failure).await?;
                    if self.waits_for_turns(task) {
                        // The pass restarts when its turn comes.
                        return Ok(Step::Wait(None));
                    }
                    task.begin_pass();
                    answer = self.fetch(task).await;
                    continue;
                }
            };
            if !is_idle(&page, &task.row) {
                let json = json(&page);
                match &mut memory {
                    Some(memory) => memory.came(&self.stream.kind, json),
                    None => memory = Some(self.shared.page_memory.keep(json)),
                }
            }
            match self.take(task, page, &mut memory, dry_run_tx.as_deref_mut()).await? {
                Ok(next) => answer = next,
                Err(step) => return Ok(step),
            }
        }
    }

    /// Writes a page while requesting the next one.
    async fn take(
        &self,
        task: &mut Task,
        page: Page<S::Change>,
        memory: &mut Option<PageReservation>,
        mut dry_run_tx: Option<&mut Transaction<'_>>,
    ) -> Taken<S::Change> {
        let Shared { source, context, run, pass_settings, .. } = self.shared;
        let now = Utc::now();
        let known = task.history;
        let changes = change_times(&page);
        task.history = task.history.observe(now, &changes, context.settings.pace.half_life, self.bounds.prior);
        let at = task.row.position.clone();
        // Changes found by a full pass are old.
        let delays = if at.pass.is_none() { Delays::of(now, &changes) } else { Delays::default() };
        let (finish, next) = match self.after(task, &page, &at, now, changes) {
            Ok(Ok(position)) => (None, Some(position)),
            Ok(Err(finish)) => (Some(finish), None),
            Err(end) => return Ok(Err(Step::Ended(end))),
        };
        let lease = context.settings.engine.lease.as_secs_f64();
        let write = apply::Write { run: *run, at: &at, lease, settings: pass_settings, rewrite: task.begins_rewrite(), finish };
        let applied = Box::pin(async {
            match dry_run_tx.as_deref_mut() {
                Some(tx) => Ok(apply::changes(source, tx, &self.stream, &page, &write).await?),
                None => apply::page(source, &context.pool, &self.stream, &page, &write).await,
            }
        });
        let Some(next) = next else {
            return Ok(Err(match applied.await {
                Ok(written) => {
                    task.outcome.wrote(written, &delays);
                    Step::Ended(PollEnd::Done)
                }
                Err(failure) => self.park(task, at, known, failure)?,
            }));
        };
        task.row.position = next;
        // Google prepares the next page while PostgreSQL writes this one: never more than two pages of a stream in memory.
        let ahead = Box::pin(self.ask_ahead(task));
        let (written, ahead) = if self.shared.dry_run {
            (applied.await, dry_run::alive(dry_run_tx.as_deref(), ahead).await)
        } else {
            tokio::join!(applied, ahead)
        };
        match written {
            Ok(written) => task.outcome.wrote(written, &delays),
            Err(failure) => return Ok(Err(self.park(task, at, known, failure)?)),
        }
        Ok(match ahead? {
            Ok((answer, held)) => {
                *memory = held;
                Ok(answer)
            }
            Err(step) => Err(step),
        })
    }

    /// What follows a page: the position of the next one, or the finish. `Err`: nothing needs to be written.
    fn after(
        &self,
        task: &Task,
        page: &Page<S::Change>,
        at: &Position,
        now: DateTime<Utc>,
        changes: Vec<DateTime<Utc>>,
    ) -> Result<Result<Position, Finish>, PollEnd> {
        let cursor = match &page.next {
            Next::Page(token) => {
                return Ok(Ok(Position { page_token: Some(token.clone()), pinned: page.pinned.clone(), ..at.clone() }));
            }
            Next::Cursor(cursor) => cursor.clone(),
        };
        let wait = wait_of(self.shared, &task.row, &task.history, &self.bounds, now, at.pass.is_some());
        if is_idle(page, &task.row) && task.outcome.counts == Counts::default() {
            return Err(PollEnd::Idle(Idle { id: task.row.id, cursor: Some(cursor), wait }));
        }
        let changed_at = if task.row.push_left.is_some() { changes } else { Vec::new() };
        Ok(Err(Finish { cursor, pass: at.pass, wait, changes: pacing::changes(&task.history), changed_at }))
    }

    /// Fetches one page.
    async fn fetch(&self, task: &mut Task) -> Answer<S::Change> {
        let Self { shared, stream, calls, .. } = self;
        let row = &task.row;
        calls.full_pass.store(task.is_pass(), Ordering::Relaxed);
        let started = Instant::now();
        let page = async {
            let mut page = shared.source.fetch(stream, calls, &row.position).await?;
            if !row.unfetched.is_empty() && matches!(page.next, Next::Cursor(_)) {
                Box::pin(refetch::add(&shared.source, stream, calls, &row.unfetched, &mut page)).await;
            }
            Ok(page)
        };
        let answer = tokio::select! {
            page = page => page.map(Some),
            // A stopping run does not wait out its backoffs, only responses in progress.
            () = turns::grace(shared) => Ok(None),
        };
        task.outcome.fetches.push(started.elapsed());
        shared.progress.page(|| shared.report().users());
        answer
    }
}
