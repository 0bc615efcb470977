//! Where a stream goes on whose page token or cursor is not good any more.

use super::shared::Shared;
use super::slice::Task;
use super::{Position, Source};
use crate::db::streams;
use crate::error::{Class, Failure};

/// A pass that loses its page token begins again this often in one run before its stream fails.
const PASS_RESTARTS: u32 = 3;

/// Goes back to where a lost token leaves off, if that is what failed.
///
/// # Errors
/// The failure itself, if it is another one or came too often; `LeaseLost` when another run has taken the stream over.
pub async fn of<S: Source>(shared: &Shared<S>, task: &mut Task, failure: Failure) -> Result<(), Failure> {
    let at = &mut task.row.position;
    if at.page_token.is_some() && matches!(failure.class, Class::PageExpired | Class::CursorExpired) {
        task.restarts += 1;
        if task.restarts > PASS_RESTARTS {
            return Err(failure);
        }
        log::info!(stream = task.row.id; "page token no longer good, beginning the pass again");
        // A new pass number: what earlier pages saw may be gone by now.
        *at = Position { cursor: at.cursor.take(), ..Position::default() };
        return Ok(());
    }
    if failure.class != Class::CursorExpired || at.cursor.is_none() {
        return Err(failure);
    }
    task.outcome.resyncs += 1;
    let resyncs = task.row.resyncs_today + task.outcome.resyncs as i32;
    let most = shared.context.settings.engine.resyncs_per_day as i32;
    if !shared.dry_run && !Box::pin(streams::forget_cursor(&shared.context.pool, shared.run, task.row.id, most)).await? {
        return Err(lease_lost());
    }
    if resyncs > most {
        let message = format!("degraded: resync {resyncs} of this day, {most} are allowed; {}", failure.message);
        return Err(Failure::new(Class::CursorExpired, message));
    }
    log::info!(stream = task.row.id, user:% = task.row.user_id; "cursor expired, full pass follows");
    *at = Position::default();
    Ok(())
}

fn lease_lost() -> Failure {
    Failure::new(Class::LeaseLost, "another run has taken this stream over")
}
