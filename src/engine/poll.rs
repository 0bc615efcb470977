//! One slice of a stream: pages from its position, until the stream ends or others need its turn. `transition` decides what follows each answer; here it is
//! done.

mod dry_run;
mod transition;
mod turns;
mod unfetched;
mod write;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use deadpool_postgres::Transaction;

use super::outcome::{Outcome, PollEnd};
use super::pace::Bounds;
use super::page_memory::PageReservation;
use super::shared::Shared;
use super::slice::{Granted, Sliced, Task};
use super::{Calls, Counts, Next, Position, Source, Stream, failed};
use crate::db::claims::StreamRow;
use crate::db::streams;
use crate::error::{Class, Failure};
use transition::{Answer, State, Transition, transition};

/// The pause before a page is tried again whose rows another transaction holds.
const PARK_TIME: Duration = Duration::from_secs(7);

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
        Err(failure) => {
            let end = Box::pin(failed::store(&shared, &task.row, failure)).await;
            task.finish(end)
        }
    }
}

/// The end of a slice.
enum Step {
    Ended(PollEnd),
    /// The next page waits for its turn, and for this long.
    Wait(Option<Duration>),
}

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

    /// Processes pages, starting with this answer.
    async fn pages(
        &self,
        task: &mut Task,
        mut answer: Answer<S::Change>,
        mut memory: Option<PageReservation>,
        mut dry_run_tx: Option<&mut Transaction<'_>>,
    ) -> Result<Step, Failure> {
        loop {
            let tx = dry_run_tx.as_deref_mut();
            let taken = match transition(&self.state(task), answer) {
                Transition::Continue(page, next) => self.go_on(task, page, next, &mut memory, tx).await?,
                Transition::Finish(page, cursor) => self.finish(task, page, cursor, &mut memory, tx).await,
                Transition::Idle(page, cursor) => Err(Step::Ended(self.idle(task, &page, cursor))),
                Transition::Restart(position) => {
                    log::info!(stream = task.row.id; "page token no longer valid; restarting the pass");
                    task.restarts += 1;
                    self.begin_again(task, position).await
                }
                Transition::Resync => {
                    self.forget_cursor(task).await?;
                    log::info!(stream = task.row.id, user:% = task.row.user_id; "cursor expired; a full pass follows");
                    self.begin_again(task, Position::default()).await
                }
                Transition::Degrade(failure) => {
                    self.forget_cursor(task).await?;
                    return Err(failure);
                }
                Transition::Park => {
                    log::info!(stream = task.row.id; "another transaction holds rows of this page; retrying it later");
                    task.parks += 1;
                    Err(Step::Wait(Some(PARK_TIME.mul_f64(0.5 + rand::random::<f64>()))))
                }
                Transition::Interrupt => Err(Step::Ended(PollEnd::Interrupted)),
                Transition::Fail(failure) => return Err(failure),
            };
            match taken {
                Ok(next) => answer = next,
                Err(step) => return Ok(step),
            }
        }
    }

    fn state<'t>(&self, task: &'t Task) -> State<'t> {
        State {
            at: &task.row.position,
            until: self.until,
            winding_down: self.shared.wind_down.is_cancelled(),
            has_changed: task.outcome.counts != Counts::default(),
            restarts: task.restarts,
            parks: task.parks,
            resyncs: u32::try_from(task.row.resyncs_today).unwrap_or_default() + task.outcome.resyncs,
            max_resyncs: self.shared.context.settings.engine.resyncs_per_day,
        }
    }

    /// Begins a pass again from here, or when its turn comes.
    async fn begin_again(&self, task: &mut Task, position: Position) -> Result<Answer<S::Change>, Step> {
        task.row.position = position;
        if self.waits_for_turns(task) {
            return Err(Step::Wait(None));
        }
        task.begin_pass();
        Ok(self.fetch(task).await)
    }

    /// Counts a resync and removes the stored cursor.
    async fn forget_cursor(&self, task: &mut Task) -> Result<(), Failure> {
        task.outcome.resyncs += 1;
        if self.shared.dry_run {
            return Ok(());
        }
        let Shared { context, run, .. } = self.shared;
        let max = context.settings.engine.resyncs_per_day as i32;
        if Box::pin(streams::forget_cursor(&context.pool, *run, task.row.id, max)).await? {
            Ok(())
        } else {
            Err(Failure::new(Class::LeaseLost, "another run has taken over this stream"))
        }
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
                Box::pin(unfetched::add(&shared.source, stream, calls, &row.unfetched, &mut page)).await;
            }
            Ok(page)
        };
        let answer = tokio::select! {
            page = page => page.map_or_else(Answer::Failed, Answer::Page),
            // A stopping run does not wait out its backoffs, only responses in progress.
            () = turns::grace(shared) => Answer::Missing,
        };
        task.outcome.fetches.push(started.elapsed());
        shared.progress.page(|| shared.report().users());
        answer
    }
}
