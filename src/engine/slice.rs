//! A stream that a run has claimed, and how far it has come: page by page, each applied as soon as it is there. Between two pages of a full
//! pass it may go back to the queue.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::meter::Booking;
use super::outcome::{Outcome, PollEnd};
use super::pace::{Bounds, History};
use super::page_memory::PageReservation;
use super::{Position, Source, Stream, pacing};
use crate::db::claims::StreamRow;

/// A complete listing tells of changes of so long ago.
const LISTED: chrono::TimeDelta = chrono::TimeDelta::days(30);

/// A claimed stream.
pub struct Task {
    /// As it was claimed; the position is where it stands now.
    pub row: StreamRow,
    pub outcome: Outcome,
    /// What its changes say of its pace, with those of the pages so far.
    pub history: History,
    /// How often its pass lost its page token in this run.
    pub restarts: u32,
    /// How often it waited aside for rows that another transaction held.
    pub asides: u32,
    /// It is of the kind that lists everything at each poll: no pass that others wait for.
    lists: bool,
}

/// What a stream was granted to begin with.
pub struct Granted {
    pub booking: Booking,
    /// For a page of a full pass.
    pub room: Option<PageReservation>,
}

/// How a slice ended.
pub enum Sliced {
    /// The stream is done with for now: its outcome says how.
    Over(Box<Task>),
    /// Its next page waits for its turn, and for so long.
    Again(Box<Task>, Option<Duration>),
}

impl Task {
    /// A stream that was claimed just now. One whose full pass is too old, or of which one was asked for, begins another.
    pub fn new(mut row: StreamRow, bounds: &Bounds) -> Self {
        let lists = bounds.full_pass_every.is_some_and(|every| every.is_zero());
        let is_stale = is_stale(&row, bounds.full_pass_every, Utc::now());
        if is_stale || row.resync {
            row.position = Position::default();
        }
        let history = pacing::history(&row.changes);
        Self { outcome: Outcome::of(&row), history, restarts: 0, asides: 0, lists: lists && row.full_pass_at.is_some(), row }
    }

    /// Of this row, with what its service says of it.
    pub fn of<S: Source>(source: &S, row: StreamRow) -> Box<Self> {
        let bounds = source.bounds(&Stream::of(&row));
        Box::new(Self::new(row, &bounds))
    }

    /// Whether its next page is one of a full pass, which yields to polls.
    pub fn is_pass(&self) -> bool {
        self.row.position.cursor.is_none() && !self.lists
    }

    /// Whether nothing of it is stored by the pass that is to begin.
    pub fn is_first(&self) -> bool {
        self.row.position.page_token.is_none()
    }

    /// Without a cursor, a page is of a full pass: a new one, unless one is under way.
    pub fn begin_pass(&mut self) {
        let at = &mut self.row.position;
        if at.cursor.is_some() || at.pass.is_some() {
            return;
        }
        self.row.pass_count += 1;
        at.pass = Some(self.row.pass_count);
        let now = Utc::now();
        self.history = History::to_be_listed(now, now - LISTED);
    }

    /// Whether the page that came is the first of a pass which is to write again what is stored already.
    pub fn begins_anew(&self) -> bool {
        self.is_first() && self.row.position.pass.is_some() && (self.row.resync || self.row.outdated)
    }

    /// Ends it.
    pub fn finish(mut self: Box<Self>, end: PollEnd) -> Sliced {
        self.outcome.end = end;
        Sliced::Over(self)
    }
}

fn is_stale(row: &StreamRow, every: Option<Duration>, now: DateTime<Utc>) -> bool {
    let (Some(every), Some(last)) = (every, row.full_pass_at) else { return false };
    let at = &row.position;
    at.cursor.is_some() && at.page_token.is_none() && (now - last).to_std().is_ok_and(|age| age > every)
}
