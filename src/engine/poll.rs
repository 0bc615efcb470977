//! One stream from its position to its end: page by page, each applied as soon as it is there.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio::sync::SemaphorePermit;
use uuid::Uuid;

use super::delays::Delays;
use super::pace::{self, History};
use super::shared::Shared;
use super::{Calls, Counts, Next, Page, Position, Source, Stream, again, apply, failed, pacing};
use crate::db::claims::StreamRow;
use crate::db::streams::{self, Finish, Idle};
use crate::error::{Class, Failure};

/// A pass that loses its page token begins again this often in one run before its stream fails.
const PASS_RESTARTS: u32 = 3;

/// A complete listing tells of changes of so long ago.
const LISTED: chrono::TimeDelta = chrono::TimeDelta::days(30);

/// How one stream ended.
pub struct Outcome {
    pub id: i64,
    pub user_id: Uuid,
    pub kind: String,
    pub counts: Counts,
    pub quarantined: u64,
    pub resyncs: u32,
    pub took: Duration,
    pub fetches: Vec<Duration>,
    /// Of the changes that an incremental pass found.
    pub delays: Delays,
    pub end: End,
}

pub enum End {
    /// Nothing had changed: to be closed together with others.
    Idle(Idle),
    /// The pass is complete and stored.
    Done,
    /// Stopped between two pages; the position is stored.
    Interrupted,
    Failed(Failure),
    /// The user does not have the service, or did not grant it: nothing to sync, and no failure.
    Off(Failure),
}

impl Outcome {
    /// Of a stream that has not begun.
    pub fn of(row: &StreamRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            kind: row.kind.clone(),
            counts: Counts::default(),
            quarantined: 0,
            resyncs: 0,
            took: Duration::ZERO,
            fetches: Vec::new(),
            delays: Delays::default(),
            end: End::Done,
        }
    }

    /// Counts a page that is written: what it changed, and how many items went to quarantine.
    fn wrote(&mut self, (counts, quarantined): (Counts, u64), delays: &Delays) {
        self.counts += counts;
        self.quarantined += quarantined;
        self.delays += delays;
    }
}

/// Polls one claimed stream to its end.
pub async fn poll<S: Source>(shared: Arc<Shared<S>>, row: StreamRow) -> Outcome {
    let started = Instant::now();
    let mut outcome = Outcome::of(&row);
    outcome.end = match pass(&shared, &row, &mut outcome).await {
        Ok(end) => end,
        // Boxed, here and below, is what few streams come to: a future has room for everything that it may await, and is moved with it.
        Err(failure) => Box::pin(failed::store(&shared, &row, failure)).await,
    };
    outcome.took = started.elapsed();
    outcome
}

async fn pass<S: Source>(shared: &Shared<S>, row: &StreamRow, outcome: &mut Outcome) -> Result<End, Failure> {
    let Shared { source, context, run, .. } = shared;
    let settings = &context.settings;
    let stream = Stream::of(row);
    let calls = shared.calls(row);
    let bounds = source.bounds(&stream);
    let mut at = row.position.clone();
    if window_is_stale(row, &at, bounds.full_pass_every, Utc::now()) {
        at = Position::default();
    }
    let mut history = pacing::history(&row.changes);
    let mut restarts = 0;
    let mut full = FullPass { number: row.pass_count, permit: None };
    // The answer to the page that was asked for while the one before was applied.
    let mut ahead = None;
    // A dry run applies a whole pass in one transaction that is never committed: its figures are those of a real run. One stream after
    // the other, because feeds of several users write the same rows, and none of them may wait for a connection that another one holds.
    let (mut stage, mut rehearsed) = (None, None);
    if shared.dry_run {
        full.begin(shared, &mut at, &mut history).await?;
        let first = fetch(shared, row, &calls, &at, &mut outcome.fetches).await;
        if !matches!(&first, Ok(Some(page)) if is_idle(page, &at, row)) {
            let mut turn = shared.stage.lock().await;
            if turn.is_none() {
                *turn = Some(Box::pin(context.pool.get()).await?);
            }
            stage = Some(turn);
        }
        ahead = Some(first);
    }
    if let Some(client) = stage.as_mut().and_then(|turn| turn.as_mut()) {
        rehearsed = Some(Box::pin(client.transaction()).await.context("beginning the dry run")?);
    }
    loop {
        full.begin(shared, &mut at, &mut history).await?;
        let answer = match ahead.take() {
            Some(answer) => answer,
            None => fetch(shared, row, &calls, &at, &mut outcome.fetches).await,
        };
        let page = match answer {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(End::Interrupted),
            // Told to stop while it waited for its turn: nothing failed.
            Err(failure) if shared.wind_down.is_cancelled() && failure.class == Class::RateLimited => {
                return Ok(End::Interrupted);
            }
            Err(failure) if at.page_token.is_some() && matches!(failure.class, Class::PageExpired | Class::CursorExpired) => {
                restarts += 1;
                if restarts > PASS_RESTARTS {
                    return Err(failure);
                }
                log::info!(stream = row.id; "page token no longer good, beginning the pass again");
                // A new pass number: what earlier pages saw may be gone by now.
                at = Position { cursor: at.cursor, ..Position::default() };
                continue;
            }
            Err(failure) if failure.class == Class::CursorExpired && at.cursor.is_some() => {
                outcome.resyncs += 1;
                let resyncs = row.resyncs_today + outcome.resyncs as i32;
                let most = settings.engine.resyncs_per_day as i32;
                if !shared.dry_run && !Box::pin(streams::forget_cursor(&context.pool, *run, row.id, most)).await? {
                    return Err(lease_lost());
                }
                if resyncs > most {
                    return Err(Failure::new(
                        Class::CursorExpired,
                        format!("degraded: resync {resyncs} of this day, {most} are allowed; {}", failure.message),
                    ));
                }
                log::info!(stream = row.id, user:% = row.user_id; "cursor expired, full pass follows");
                at = Position::default();
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let now = Utc::now();
        let changes = change_times(&page);
        history = history.observe(now, &changes, settings.pace.half_life, bounds.prior);
        // What a full pass finds is old.
        let delays = if at.pass.is_none() { Delays::of(now, &changes) } else { Delays::default() };
        let wait = || wait_of(shared, row, &history, &bounds, now, at.pass.is_some());
        if let Next::Cursor(cursor) = &page.next
            && is_idle(&page, &at, row)
            && outcome.counts == Counts::default()
        {
            return Ok(End::Idle(Idle { id: row.id, cursor: Some(cursor.clone()), wait: wait() }));
        }
        let finish = match &page.next {
            Next::Cursor(cursor) => Some(Finish {
                cursor: cursor.clone(),
                pass: at.pass,
                wait: wait(),
                changes: pacing::changes(&history),
                changed_at: if row.push_left.is_some() { changes } else { Vec::new() },
            }),
            Next::Page(_) => None,
        };
        let lease = settings.engine.lease.as_secs_f64();
        let write = apply::Write { run: *run, at: &at, lease, finish };
        let applied = Box::pin(async {
            match &mut rehearsed {
                Some(tx) => Ok(apply::changes(source, tx, &stream, &page, &write).await?),
                None => apply::page(source, &context.pool, &stream, &page, &write).await,
            }
        });
        let next = match &page.next {
            Next::Page(token) => Position { page_token: Some(token.clone()), pinned: page.pinned.clone(), ..at.clone() },
            Next::Cursor(_) => {
                outcome.wrote(applied.await?, &delays);
                return Ok(End::Done);
            }
        };
        let winding_down = shared.wind_down.is_cancelled();
        let asked = Box::pin(async {
            match winding_down {
                true => None,
                false => Some(fetch(shared, row, &calls, &next, &mut outcome.fetches).await),
            }
        });
        // Google writes the next page while PostgreSQL writes this one: never more than two pages of a stream in memory.
        let (written, answer) = tokio::join!(applied, asked);
        outcome.wrote(written?, &delays);
        if winding_down {
            return Ok(End::Interrupted);
        }
        (ahead, at) = (answer, next);
    }
}

/// What a stream needs for a full pass.
struct FullPass<'a> {
    /// Of the last one.
    number: i64,
    permit: Option<SemaphorePermit<'a>>,
}

impl<'a> FullPass<'a> {
    /// Without a cursor, a page is of a full pass: a new one, unless one is under way.
    async fn begin<S>(&mut self, shared: &'a Shared<S>, at: &mut Position, history: &mut History) -> Result<(), Failure> {
        if at.cursor.is_some() {
            return Ok(());
        }
        if at.pass.is_none() {
            self.number += 1;
            at.pass = Some(self.number);
            let now = Utc::now();
            *history = History::to_be_listed(now, now - LISTED);
        }
        // A dry run has a few polls only, and none of them may wait for this on the stage.
        if self.permit.is_none() && !shared.dry_run {
            let closed = |_| Failure::new(Class::Internal, "the run is closed");
            self.permit = Some(shared.full_passes.acquire().await.map_err(closed)?);
        }
        Ok(())
    }
}

/// One page. `None`: the run ended before the answer came.
async fn fetch<S: Source>(
    shared: &Shared<S>,
    row: &StreamRow,
    calls: &Calls,
    at: &Position,
    fetches: &mut Vec<Duration>,
) -> Result<Option<Page<S::Change>>, Failure> {
    calls.full_pass.store(at.pass.is_some(), Ordering::Relaxed);
    let started = Instant::now();
    let stream = Stream::of(row);
    let page = async {
        let mut page = shared.source.fetch(&stream, calls, at).await?;
        if !row.unfetched.is_empty() && matches!(page.next, Next::Cursor(_)) {
            Box::pin(again::add(&shared.source, &stream, calls, &row.unfetched, &mut page)).await;
        }
        Ok(page)
    };
    let answer = tokio::select! {
        page = page => page.map(Some),
        // A run that is told to stop does not wait out its backoffs, only the answers under way.
        () = grace(shared) => Ok(None),
    };
    fetches.push(started.elapsed());
    shared.progress.page(|| shared.report().users());
    answer
}

/// Ends some time after the run was told to stop: as long as one answer may take.
async fn grace<S>(shared: &Shared<S>) {
    shared.wind_down.cancelled().await;
    tokio::time::sleep(Duration::from_secs(5).min(shared.context.settings.google.timeout)).await;
}

/// Whether a first page says that nothing has changed.
fn is_idle<C>(page: &Page<C>, at: &Position, row: &StreamRow) -> bool {
    matches!(page.next, Next::Cursor(_))
        && page.items.is_empty()
        && page.poison.is_empty()
        && at.pass.is_none()
        && row.position.page_token.is_none()
}

fn window_is_stale(row: &StreamRow, at: &Position, every: Option<Duration>, now: DateTime<Utc>) -> bool {
    let (Some(every), Some(last)) = (every, row.full_pass_at) else { return false };
    at.cursor.is_some() && at.page_token.is_none() && (now - last).to_std().is_ok_and(|age| age > every)
}

fn wait_of<S: Source>(
    shared: &Shared<S>,
    row: &StreamRow,
    history: &History,
    bounds: &pace::Bounds,
    now: DateTime<Utc>,
    first: bool,
) -> f64 {
    let settings = &shared.context.settings;
    let urgency = shared.source.urgency(row.id);
    let interval = pacing::outlook(settings, &shared.prices, bounds, urgency, row, history, now).interval;
    let wait = match first {
        true => pace::first_wait(interval, rand::random()),
        false => pace::jittered(interval, settings.pace.jitter, rand::random()),
    };
    wait.as_secs_f64()
}

fn change_times<C>(page: &Page<C>) -> Vec<DateTime<Utc>> {
    page.items.iter().filter_map(|item| item.changed_at).collect()
}

fn lease_lost() -> Failure {
    Failure::new(Class::LeaseLost, "another run has taken this stream over")
}
