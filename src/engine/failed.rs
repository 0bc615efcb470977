//! What becomes of a stream that failed: its class, its line, and when it is tried again. The cursor stays.

use std::time::Duration;

use super::shared::Shared;
use super::{Source, pace};
use crate::db::claims::StreamRow;
use crate::db::{quota, streams};
use crate::error::{Class, Failure};

/// Stores what became of a failed stream; answers the failure that is reported.
pub async fn store<S: Source>(shared: &Shared<S>, row: &StreamRow, failure: Failure) -> Failure {
    let Shared { context, run, .. } = shared;
    log::warn!(stream = row.id, user:% = row.user_id, class:% = failure.class; "stream failed: {}", failure.message);
    if shared.dry_run || failure.class == Class::LeaseLost {
        return failure;
    }
    let stored = async {
        let mut hint = failure.retry_after;
        // Google's own verdict stops the whole project; our own cap only this stream, whose hint names the end of the day.
        if failure.class == Class::DailyQuota && hint.is_none() {
            let seconds =
                quota::pause_until_day_ends(&context.pool, S::TABLES.service, &row.account.project, &failure.message).await?;
            hint = Duration::try_from_secs_f64(seconds).ok();
        }
        let wait = pace::after_failure(failure.class, u32::try_from(row.failures).unwrap_or(0), hint);
        let wait = pace::jittered(wait, context.settings.pace.jitter, rand::random());
        let state = match failure.class {
            Class::ScopeMissing | Class::ApiDisabled => Some("stopped"),
            // What a user's feed of feeds brings up may be gone, and comes back with it. That feed itself names no resource: nothing
            // would bring it back.
            Class::Gone if !row.resource.is_empty() => Some("removed"),
            _ => None,
        };
        streams::fail(&context.pool, *run, row.id, &failure, wait.as_secs_f64(), state).await
    };
    if let Err(error) = stored.await {
        log::error!(stream = row.id; "the failure could not be stored: {error:#}");
    }
    failure
}
