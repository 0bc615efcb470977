//! The turns of a pass: whether the next page may be requested immediately, and use of what was granted for it.

use std::time::{Duration, Instant};

use super::transition::Answer;
use super::{Slice, Step, Until};
use crate::engine::Source;
use crate::engine::meter::Lack;
use crate::engine::outcome::PollEnd;
use crate::engine::page_memory::PageReservation;
use crate::engine::queue::Admitted;
use crate::engine::shared::Shared;
use crate::engine::slice::{Granted, Task};
use crate::error::Failure;

/// Retries of those that waited for the same minute are spread over this time.
const SPREAD: Duration = Duration::from_secs(1);

impl<S: Source> Slice<'_, S> {
    /// Fetches the next page, unless it must wait for its turn or the run is stopping.
    pub(super) async fn ask_ahead(
        &self,
        task: &mut Task,
    ) -> Result<Result<(Answer<S::Change>, Option<PageReservation>), Step>, Failure> {
        if self.shared.wind_down.is_cancelled() {
            return Ok(Err(Step::Ended(PollEnd::Interrupted)));
        }
        let mut granted = None;
        if self.waits_for_turns(task) {
            if self.until == Until::Page || self.shared.queue.is_wanted(&task.row.account.project) {
                return Ok(Err(Step::Wait(None)));
            }
            granted = match self.shared.admit(task) {
                Admitted::Yes(granted) => Some(granted),
                Admitted::Lacks(Lack::User(until)) => {
                    return Ok(Err(Step::Wait(Some(until.saturating_duration_since(Instant::now())))));
                }
                Admitted::Lacks(Lack::Project(_)) | Admitted::Full => return Ok(Err(Step::Wait(None))),
            };
        }
        match self.admit(granted).await? {
            Ok(memory) => Ok(Ok((self.fetch(task).await, memory))),
            Err(wait) => Ok(Err(Step::Wait(wait))),
        }
    }

    /// Activates a grant: enters it in the ledger and lets the calls draw on it. `Err`: how long the minute is full.
    pub(super) async fn admit(
        &self,
        granted: Option<Granted>,
    ) -> Result<Result<Option<PageReservation>, Option<Duration>>, Failure> {
        let Some(Granted { booking, memory }) = granted else { return Ok(Ok(None)) };
        tokio::select! {
            () = self.calls.make_ready() => {}
            () = grace(self.shared) => return Ok(Err(None)),
        }
        if let Some(wait) = Box::pin(self.shared.meter.enter(&booking)).await? {
            // Spread the retries when the minute has room again.
            return Ok(Err(Some(wait + SPREAD.min(wait).mul_f64(rand::random()))));
        }
        self.calls.book(booking);
        Ok(Ok(memory))
    }
}

/// Completes some time after the run was asked to stop: as long as one response may take.
pub(super) async fn grace<S>(shared: &Shared<S>) {
    shared.wind_down.cancelled().await;
    tokio::time::sleep(Duration::from_secs(5).min(shared.context.settings.google.timeout)).await;
}
