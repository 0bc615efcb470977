//! Handles a failed stream: its class, its log line, and when it is retried. The cursor stays.

use std::time::Duration;

use super::outcome::PollEnd;
use super::shared::Shared;
use super::{Source, Stream, pace};
use crate::db::claims::StreamRow;
use crate::db::pool::CANCELLED;
use crate::db::streams;
use crate::error::{Class, Failure};
use crate::state::StreamState;

/// A resource that the provider reports as missing counts as gone after this long.
const GONE_AFTER: Duration = Duration::from_secs(60 * 60);

/// What becomes of a stream that could not be polled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It did not fail: a run that winds down cancelled its statement.
    Interrupted,
    /// It did not fail: it waits for its project, which was paused by the call that used up the day's quota.
    Paused,
    /// There is nothing to sync.
    Off,
    /// It failed, and is not postponed: this is not its fault, and hosts with correct settings can still poll it.
    Kept,
    /// It failed and waits, in this state if it changes.
    Failed(Option<StreamState>),
}

/// Decides what becomes of a stream. `listed`: it has a resource, so that a list of feeds can bring it back.
fn fate(failure: &Failure, listed: bool, failing_for: Duration, winding_down: bool) -> Fate {
    match failure.class {
        _ if winding_down && failure.reason == CANCELLED => Fate::Interrupted,
        Class::DailyQuota => Fate::Paused,
        Class::ServiceOff | Class::NotGranted => Fate::Off,
        Class::LeaseLost | Class::Settings => Fate::Kept,
        Class::ScopeMissing | Class::ApiDisabled => Fate::Failed(Some(StreamState::Stopped)),
        // A stream that a list of feeds added may be gone, and comes back with that list; a single failure may be an error. The list itself has no
        // resource: nothing would bring it back.
        Class::Gone if listed && failing_for >= GONE_AFTER => Fate::Failed(Some(StreamState::Removed)),
        Class::TokenStale
        | Class::AuthRevoked
        | Class::ClientRefused
        | Class::RateLimited
        | Class::UserQuota
        | Class::CursorExpired
        | Class::PageExpired
        | Class::Gone
        | Class::Transient
        | Class::Permanent
        | Class::BadAnswer
        | Class::Internal => Fate::Failed(None),
    }
}

/// The wait after a failure: an eighth of the time for which the stream has been failing, so that streams recover soon after an outage ends, whatever its
/// cause, and permanent failures are retried ever more rarely. Never shorter than the server's hint.
fn wait_after(class: Class, failing_for: Duration, hint: Option<Duration>) -> Duration {
    /// With a cron line that runs each minute, a stream that failed at the end of an outage of some minutes is polled again within 90 seconds.
    const SOON: Duration = Duration::from_secs(20);
    const MINUTE: Duration = Duration::from_secs(60);
    const HOUR: Duration = Duration::from_secs(60 * 60);
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    let (min, max) = match class {
        Class::RateLimited | Class::Transient | Class::Internal | Class::Settings | Class::LeaseLost | Class::TokenStale => {
            (SOON, HOUR)
        }
        Class::UserQuota => (SOON, 6 * HOUR),
        Class::ScopeMissing | Class::ApiDisabled | Class::Gone | Class::AuthRevoked => (SOON, DAY),
        Class::Permanent | Class::PageExpired | Class::BadAnswer => (SOON, DAY),
        // `accounts.ask_at` determines when the endpoint is called.
        Class::ClientRefused => (10 * MINUTE, HOUR),
        // Too many full passes in one day.
        Class::CursorExpired => (HOUR, DAY),
        // The end of the quota's day is tracked separately, and `streams::turn_off` determines when a service is tried again.
        Class::DailyQuota | Class::ServiceOff | Class::NotGranted => (HOUR, DAY),
    };
    (failing_for / 8).clamp(min, max).max(hint.unwrap_or_default())
}

/// Stores the failure of a stream that could not be polled; returns how the poll ended.
pub async fn store<S: Source>(shared: &Shared<S>, row: &StreamRow, failure: Failure) -> PollEnd {
    let pool = &shared.context.pool;
    let failing_for = Duration::try_from_secs_f64(row.failing_for).unwrap_or_default();
    let fate = fate(&failure, !row.resource.is_empty(), failing_for, shared.wind_down.is_cancelled());
    match fate {
        Fate::Interrupted => return PollEnd::Interrupted,
        Fate::Paused => return PollEnd::Paused(failure),
        Fate::Off => {
            log::info!(stream = row.id, user:% = row.user_id, class:% = failure.class; "nothing to sync: {}", failure.message)
        }
        Fate::Kept | Fate::Failed(_) => shared.digest.failed("stream failed", &Stream::of(row), &failure),
    }
    let stored = match fate {
        _ if shared.dry_run => Ok(()),
        Fate::Off => streams::turn_off(pool, shared.run, row.id, &failure).await,
        Fate::Failed(state) => postpone(shared, row, &failure, failing_for, state).await,
        Fate::Interrupted | Fate::Paused | Fate::Kept => Ok(()),
    };
    if let Err(error) = stored {
        shared.digest.failed("could not store the failure", &Stream::of(row), &error.into());
    }
    if fate == Fate::Off { PollEnd::Off(failure) } else { PollEnd::Failed(failure) }
}

async fn postpone<S: Source>(
    shared: &Shared<S>,
    row: &StreamRow,
    failure: &Failure,
    failing_for: Duration,
    state: Option<StreamState>,
) -> anyhow::Result<()> {
    let Shared { context, run, .. } = shared;
    let wait = wait_after(failure.class, failing_for, failure.retry_after);
    let wait = pace::jittered(wait, context.settings.pace.jitter, rand::random()).as_secs_f64();
    if failure.class == Class::UserQuota {
        streams::postpone(&context.pool, S::TABLES.service, row.user_id, wait).await?;
    }
    streams::fail(&context.pool, *run, row.id, failure, wait, state).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_its_consequence() {
        for class in Class::ALL {
            let fate =
                |listed, age, winding_down| fate(&Failure::new(class, "why"), listed, Duration::from_secs(age), winding_down);
            let expected = match class {
                Class::DailyQuota => Fate::Paused,
                _ if class.is_off() => Fate::Off,
                Class::LeaseLost | Class::Settings => Fate::Kept,
                Class::ScopeMissing | Class::ApiDisabled => Fate::Failed(Some(StreamState::Stopped)),
                _ => Fate::Failed(None),
            };
            let old = if class == Class::Gone { Fate::Failed(Some(StreamState::Removed)) } else { expected };
            let all = [fate(true, 3_599, false), fate(true, 3_600, false), fate(false, 3_600, false), fate(true, 0, true)];
            assert_eq!(all, [expected, old, expected, expected], "{class}");
        }
    }

    #[test]
    fn a_cancelled_statement_fails_only_a_continuing_run() {
        let failure = Failure { reason: CANCELLED.into(), ..Failure::new(Class::Internal, "cancelled") };
        assert_eq!(fate(&failure, true, Duration::ZERO, true), Fate::Interrupted);
        assert_eq!(fate(&failure, true, Duration::ZERO, false), Fate::Failed(None));
    }

    #[test]
    fn a_failure_waits_longer_each_time_and_at_least_as_long_as_asked() {
        let wait = |class, seconds| wait_after(class, Duration::from_secs(seconds), None).as_secs();
        assert_eq!([0, 60, 600, 86_400].map(|age| wait(Class::Transient, age)), [20, 20, 75, 3_600]);
        assert_eq!([0, 600, 30 * 86_400].map(|age| wait(Class::ApiDisabled, age)), [20, 75, 86_400]);
        let hint = Duration::from_secs(7200);
        assert_eq!(wait_after(Class::RateLimited, Duration::ZERO, Some(hint)), hint);
    }

    /// A cron line that runs each minute, and an outage that ends at any second of the first seven minutes.
    #[test]
    fn after_minutes_of_trouble_polls_are_at_most_ninety_seconds_late() {
        let jitter = crate::config::Pace::default().jitter;
        for ends in 1..=420 {
            let (mut began, mut due) = (None, 0.0);
            let healed = (0..).map(|minute| f64::from(minute) * 60.0).find(|now| {
                if *now < due || *now >= f64::from(ends) {
                    return *now >= due;
                }
                let age = Duration::from_secs_f64(now - *began.get_or_insert(*now));
                due = now + pace::jittered(wait_after(Class::TokenStale, age, None), jitter, 1.0).as_secs_f64();
                false
            });
            let late = healed.expect("a minute") - f64::from(ends);
            assert!(late <= 90.0, "{late} s late after {ends} s");
        }
    }

    #[test]
    fn a_permanent_failure_is_retried_fewer_than_seventy_times_on_its_first_day() {
        for class in [Class::Transient, Class::ApiDisabled, Class::Permanent] {
            let (mut tries, mut age) = (0, Duration::ZERO);
            while age < Duration::from_secs(86_400) {
                tries += 1;
                age += wait_after(class, age, None).max(Duration::from_secs(60));
            }
            assert!(tries < 70, "{class}: {tries}");
        }
    }
}
