//! The result of one stream in a run.

use std::time::Duration;

use uuid::Uuid;

use super::Counts;
use super::delays::Delays;
use crate::db::claims::StreamRow;
use crate::db::streams::Idle;
use crate::error::Failure;

/// The result of one stream.
pub struct Outcome {
    pub id: i64,
    pub user_id: Uuid,
    pub kind: String,
    /// Whether the same run has polled it before.
    pub again: bool,
    /// Whether it waited in the queue for a full pass's turn.
    pub is_pass: bool,
    /// Whether it is in progress as a full pass.
    pub has_turn: bool,
    pub counts: Counts,
    pub quarantined: u64,
    pub resyncs: u32,
    /// Without the time spent waiting for its turn.
    pub took: Duration,
    pub fetches: Vec<Duration>,
    /// Delays of the changes that an incremental pass found.
    pub delays: Delays,
    pub end: PollEnd,
}

pub enum PollEnd {
    /// Nothing had changed: to be closed together with others.
    Idle(Idle),
    /// The pass is complete and stored.
    Done,
    /// Stopped between two pages; the position is stored.
    Interrupted,
    /// Given back between two pages of a full pass, so that users who have no data yet could be claimed; counts as interrupted unless it is claimed again.
    GaveWay,
    Failed(Failure),
    /// Its project is paused for the day: it waits unchanged, and did not fail.
    Paused(Failure),
    /// The user does not have the service, or did not grant it: nothing to sync, and not a failure.
    Off(Failure),
}

impl Outcome {
    /// The initial outcome of a stream.
    pub fn of(row: &StreamRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            kind: row.kind.clone(),
            again: row.again,
            is_pass: false,
            has_turn: false,
            counts: Counts::default(),
            quarantined: 0,
            resyncs: 0,
            took: Duration::ZERO,
            fetches: Vec::new(),
            delays: Delays::default(),
            end: PollEnd::Done,
        }
    }

    /// Logs one line, at `-v`. Failures are logged where they occur, with the reason.
    pub(super) fn log(&self) {
        let how = match self.end {
            PollEnd::Failed(_) | PollEnd::Off(_) => return,
            PollEnd::Idle(_) => "nothing new",
            PollEnd::Done => "done",
            PollEnd::Interrupted => "interrupted",
            PollEnd::GaveWay => "gave way to others",
            PollEnd::Paused(_) => "waits for the quota of its project",
        };
        let (kind, ms) = (self.kind.as_str(), self.took.as_millis() as u64);
        let Counts { created, updated, deleted, .. } = self.counts;
        log::info!(stream = self.id, user:% = self.user_id, kind, created, updated, deleted, ms; "{how}");
    }

    /// Counts a written page: its changes, and the number of items quarantined.
    pub(super) fn wrote(&mut self, (counts, quarantined): (Counts, u64), delays: &Delays) {
        self.counts += counts;
        self.quarantined += quarantined;
        self.delays += delays;
    }
}
