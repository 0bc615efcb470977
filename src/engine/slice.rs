//! A claimed stream and its progress: page by page, each applied as soon as it arrives. Between two pages of a full pass, it may go back to the queue.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::meter::Booking;
use super::outcome::{Outcome, PollEnd};
use super::pace::{Bounds, History};
use super::page_memory::PageReservation;
use super::{Position, Source, Stream, pacing};
use crate::db::claims::StreamRow;

/// How far back a complete listing reports changes.
const LISTING_COVERS: chrono::TimeDelta = chrono::TimeDelta::days(30);

/// A claimed stream.
pub struct Task {
    /// The claimed row; its position is updated as the stream progresses.
    pub row: StreamRow,
    pub outcome: Outcome,
    /// The history of its changes, including the pages so far.
    pub history: History,
    /// How often its pass was restarted in this run because it lost its page token.
    pub restarts: u32,
    /// How often it was parked because another transaction held its rows.
    pub parks: u32,
    /// A kind of stream that lists everything at each poll; such a poll does not count as a pass.
    lists: bool,
}

/// What a stream was granted to begin.
pub struct Granted {
    pub booking: Booking,
    /// For a page of a full pass.
    pub memory: Option<PageReservation>,
}

/// How a slice ended.
pub enum Sliced {
    /// The stream is finished for now; see its outcome.
    Ended(Box<Task>),
    /// Its next page waits for its turn, and for this long.
    Waiting(Box<Task>, Option<Duration>),
}

impl Task {
    /// Creates the task of a stream that was just claimed. If its last full pass is too old, or one was requested, a new one begins.
    pub fn new(mut row: StreamRow, bounds: &Bounds) -> Self {
        let lists = bounds.full_pass_every.is_some_and(|every| every.is_zero());
        let is_stale = is_stale(&row, bounds.full_pass_every, Utc::now());
        if is_stale || row.resync {
            row.position = Position::default();
        }
        let history = pacing::history(&row.changes);
        Self { outcome: Outcome::of(&row), history, restarts: 0, parks: 0, lists: lists && row.full_pass_at.is_some(), row }
    }

    /// Creates the task of this row, with the bounds of its service.
    pub fn of<S: Source>(source: &S, row: StreamRow) -> Box<Self> {
        let bounds = source.bounds(&Stream::of(&row));
        Box::new(Self::new(row, &bounds))
    }

    /// Whether its next page belongs to a full pass, which yields to polls.
    pub fn is_pass(&self) -> bool {
        self.row.position.cursor.is_none() && !self.lists
    }

    /// Whether the next page is the first one of its pass.
    pub fn is_first(&self) -> bool {
        self.row.position.page_token.is_none()
    }

    /// Begins a full pass if there is no cursor and no pass in progress.
    pub fn begin_pass(&mut self) {
        let at = &mut self.row.position;
        if at.cursor.is_some() || at.pass.is_some() {
            return;
        }
        self.row.pass_count += 1;
        at.pass = Some(self.row.pass_count);
        let now = Utc::now();
        self.history = History::to_be_listed(now, now - LISTING_COVERS);
    }

    /// Whether the current page is the first of a pass that must rewrite rows already stored.
    pub fn begins_rewrite(&self) -> bool {
        self.is_first() && self.row.position.pass.is_some() && (self.row.resync || self.row.outdated)
    }

    /// Ends the task.
    pub fn finish(mut self: Box<Self>, end: PollEnd) -> Sliced {
        self.outcome.end = end;
        Sliced::Ended(self)
    }
}

fn is_stale(row: &StreamRow, every: Option<Duration>, now: DateTime<Utc>) -> bool {
    let (Some(every), Some(last)) = (every, row.full_pass_at) else { return false };
    let at = &row.position;
    at.cursor.is_some() && at.page_token.is_none() && (now - last).to_std().is_ok_and(|age| age > every)
}
