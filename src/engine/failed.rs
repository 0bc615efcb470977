//! Handles a failed stream: its class, its log line, and when it is retried. The cursor stays.

use std::time::Duration;

use super::outcome::PollEnd;
use super::shared::Shared;
use super::{Source, Stream, pace};
use crate::db::claims::StreamRow;
use crate::db::streams;
use crate::error::{Class, Failure};
use crate::state::StreamState;

/// A resource that the provider reports as missing counts as gone after this long.
const GONE_AFTER: Duration = Duration::from_secs(60 * 60);

/// Stores the failure of a stream that could not be polled; returns how the poll ended.
pub async fn store<S: Source>(shared: &Shared<S>, row: &StreamRow, failure: Failure) -> PollEnd {
    // The stream did not fail: it waits for its project, which was paused by the call that used up the day's quota.
    if failure.class == Class::DailyQuota {
        return PollEnd::Paused(failure);
    }
    let off = failure.class.is_off();
    if off {
        log::info!(stream = row.id, user:% = row.user_id, class:% = failure.class; "nothing to sync: {}", failure.message)
    } else {
        shared.digest.failed("stream failed", &Stream::of(row), &failure)
    }
    // A failure that is not the stream's fault does not postpone the stream: hosts with correct settings can still poll it.
    if !shared.dry_run && !matches!(failure.class, Class::LeaseLost | Class::Settings) {
        let stored = if off {
            streams::turn_off(&shared.context.pool, shared.run, row.id, &failure).await
        } else {
            fail(shared, row, &failure).await
        };
        if let Err(error) = stored {
            shared.digest.failed("could not store the failure", &Stream::of(row), &error.into());
        }
    }
    if off { PollEnd::Off(failure) } else { PollEnd::Failed(failure) }
}

async fn fail<S: Source>(shared: &Shared<S>, row: &StreamRow, failure: &Failure) -> anyhow::Result<()> {
    let Shared { context, run, .. } = shared;
    let (pool, service) = (&context.pool, S::TABLES.service);
    let failing_for = Duration::try_from_secs_f64(row.failing_for).unwrap_or_default();
    let wait = pace::after_failure(failure.class, failing_for, failure.retry_after);
    let wait = pace::jittered(wait, context.settings.pace.jitter, rand::random()).as_secs_f64();
    if failure.class == Class::UserQuota {
        streams::postpone(pool, service, row.user_id, wait).await?;
    }
    let state = match failure.class {
        Class::ScopeMissing | Class::ApiDisabled => Some(StreamState::Stopped),
        // A stream that a list of feeds added may be gone, and comes back with that list; a single failure may be an error. The list itself has no
        // resource: nothing would bring it back.
        Class::Gone if !row.resource.is_empty() && failing_for >= GONE_AFTER => Some(StreamState::Removed),
        _ => None,
    };
    streams::fail(pool, *run, row.id, failure, wait, state).await
}
