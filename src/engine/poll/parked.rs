//! Pages whose rows another transaction holds: they are parked and do not block others.

use std::time::Duration;

use super::super::pace::History;
use super::super::slice::Task;
use super::{Position, Slice, Source, Step, Until};
use crate::db::pool::LOCKED;
use crate::error::Failure;

/// How often a page is retried whose rows another transaction holds, and the pause before each retry. Including the time that each try waits, this is
/// somewhat more than a minute: by then, anything that a dead host held is free.
const MAX_PARKS: u32 = 6;
const PARK_TIME: Duration = Duration::from_secs(7);

impl<S: Source> Slice<'_, S> {
    /// Retries a page later from where it began if another transaction holds its rows. Nothing waits with a connection in hand that others need.
    ///
    /// # Errors
    /// Returns any other failure, and this one after the maximum number of tries.
    pub(super) fn park(&self, task: &mut Task, at: Position, known: History, failure: Failure) -> Result<Step, Failure> {
        if failure.reason != LOCKED || self.until == Until::End {
            return Err(failure);
        }
        (task.row.position, task.history) = (at, known);
        task.parks += 1;
        if task.parks > MAX_PARKS {
            let message = "another transaction has held rows of this page for a minute; `syncctl doctor` shows which one";
            return Err(Failure { message: format!("{message} ({})", failure.message), ..failure });
        }
        log::info!(stream = task.row.id; "another transaction holds rows of this page; retrying it later");
        Ok(Step::Wait(Some(PARK_TIME.mul_f64(0.5 + rand::random::<f64>()))))
    }
}
