//! The turns of a pass: whether the next page may be asked for at once, and what was granted for it made good.

use std::time::{Duration, Instant};

use super::{Answer, Slice, Step, Until};
use crate::engine::Source;
use crate::engine::meter::Lack;
use crate::engine::outcome::PollEnd;
use crate::engine::page_memory::PageReservation;
use crate::engine::queue::Admitted;
use crate::engine::shared::Shared;
use crate::engine::slice::{Granted, Task};
use crate::error::Failure;

/// Within so long, those who have waited for the same minute ask again.
const APART: Duration = Duration::from_secs(1);

impl<S: Source> Slice<'_, S> {
    /// The next page, if it need not wait for its turn and the run goes on.
    pub(super) async fn ask_ahead(
        &self,
        task: &mut Task,
    ) -> Result<Result<(Answer<S::Change>, Option<PageReservation>), Step>, Failure> {
        if self.shared.wind_down.is_cancelled() {
            return Ok(Err(Step::Over(PollEnd::Interrupted)));
        }
        let granted = match self.waits_for_turns(task) {
            false => None,
            true if self.until == Until::Page || self.shared.queue.is_wanted(&task.row.account.project) => {
                return Ok(Err(Step::Wait(None)));
            }
            true => match self.shared.admit(task) {
                Admitted::Yes(granted) => Some(granted),
                Admitted::Lacks(Lack::User(until)) => {
                    return Ok(Err(Step::Wait(Some(until.saturating_duration_since(Instant::now())))));
                }
                Admitted::Lacks(Lack::Project(_)) | Admitted::Full => return Ok(Err(Step::Wait(None))),
            },
        };
        match self.admit(granted).await? {
            Ok(room) => Ok(Ok((self.fetch(task).await, room))),
            Err(wait) => Ok(Err(Step::Wait(wait))),
        }
    }

    /// Makes what was granted good: the ledger knows of it, and the calls draw on it. `Err`: how long the minute is full.
    pub(super) async fn admit(
        &self,
        granted: Option<Granted>,
    ) -> Result<Result<Option<PageReservation>, Option<Duration>>, Failure> {
        let Some(Granted { booking, room }) = granted else { return Ok(Ok(None)) };
        tokio::select! {
            () = self.calls.make_ready() => {}
            () = grace(self.shared) => return Ok(Err(None)),
        }
        if let Some(wait) = Box::pin(self.shared.meter.enter(&booking)).await? {
            // Not all at once when there is room again.
            return Ok(Err(Some(wait + APART.min(wait).mul_f64(rand::random()))));
        }
        self.calls.book(booking);
        Ok(Ok(room))
    }
}

/// Ends some time after the run was told to stop: as long as one answer may take.
pub(super) async fn grace<S>(shared: &Shared<S>) {
    shared.wind_down.cancelled().await;
    tokio::time::sleep(Duration::from_secs(5).min(shared.context.settings.google.timeout)).await;
}
