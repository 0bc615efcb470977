//! Resumes a stream whose page token or cursor is no longer valid.

use super::shared::Shared;
use super::slice::Task;
use super::{Position, Source};
use crate::db::streams;
use crate::error::{Class, Failure};

/// Maximum number of pass restarts after a lost page token, per stream and run; then the stream fails.
const PASS_RESTARTS: u32 = 3;

/// Resets the position after an expired page token or cursor.
///
/// # Errors
/// Returns the failure itself if it is a different one or occurred too often, and `LeaseLost` if another run has taken over the stream.
pub async fn of<S: Source>(shared: &Shared<S>, task: &mut Task, failure: Failure) -> Result<(), Failure> {
    let at = &mut task.row.position;
    if at.page_token.is_some() && matches!(failure.class, Class::PageExpired | Class::CursorExpired) {
        task.restarts += 1;
        if task.restarts > PASS_RESTARTS {
            return Err(failure);
        }
        log::info!(stream = task.row.id; "page token no longer valid; restarting the pass");
        // Uses a new pass number: items seen by earlier pages may be gone by now.
        *at = Position { cursor: at.cursor.take(), ..Position::default() };
        return Ok(());
    }
    if failure.class != Class::CursorExpired || at.cursor.is_none() {
        return Err(failure);
    }
    task.outcome.resyncs += 1;
    let resyncs = task.row.resyncs_today + task.outcome.resyncs as i32;
    let max = shared.context.settings.engine.resyncs_per_day as i32;
    if !shared.dry_run && !Box::pin(streams::forget_cursor(&shared.context.pool, shared.run, task.row.id, max)).await? {
        return Err(lease_lost());
    }
    if resyncs > max {
        let message = format!("degraded: resync {resyncs} today, {max} are allowed; {}", failure.message);
        return Err(Failure::new(Class::CursorExpired, message));
    }
    log::info!(stream = task.row.id, user:% = task.row.user_id; "cursor expired; a full pass follows");
    *at = Position::default();
    Ok(())
}

fn lease_lost() -> Failure {
    Failure::new(Class::LeaseLost, "another run has taken over this stream")
}
