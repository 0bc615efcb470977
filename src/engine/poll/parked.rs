//! Pages whose rows another transaction holds: they wait aside, and keep nobody waiting.

use std::time::Duration;

use super::super::pace::History;
use super::super::slice::Task;
use super::{Position, Slice, Source, Step, Until};
use crate::db::pool::LOCKED;
use crate::error::Failure;

/// How often a page is asked for again whose rows another transaction holds, and after which pause. With the time for which each try waits it is
/// somewhat more than a minute: whatever a host that died has held is free by then.
const ASIDES: u32 = 6;
const ASIDE: Duration = Duration::from_secs(7);

impl<S: Source> Slice<'_, S> {
    /// A page that did not get its rows, because another transaction holds them, is asked for again in a while from where it began. Nobody waits
    /// with a connection in hand, which others need.
    ///
    /// # Errors
    /// Any other failure, and this one after some tries.
    pub(super) fn aside(&self, task: &mut Task, at: Position, known: History, failure: Failure) -> Result<Step, Failure> {
        if failure.reason != LOCKED || self.until == Until::End {
            return Err(failure);
        }
        (task.row.position, task.history) = (at, known);
        task.asides += 1;
        if task.asides > ASIDES {
            let message = "another transaction has held rows of this page for a minute: `syncctl doctor` names it";
            return Err(Failure { message: format!("{message} ({})", failure.message), ..failure });
        }
        log::info!(stream = task.row.id; "another transaction holds rows of this page: it waits aside");
        Ok(Step::Wait(Some(ASIDE.mul_f64(0.5 + rand::random::<f64>()))))
    }
}
