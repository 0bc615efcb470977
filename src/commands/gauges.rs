//! The current state as figures without personal data, for `metrics` and `report`.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::db::overview::{self, JobState, Overview};
use crate::db::quota::Pause;
use crate::engine::Context;
use crate::services::calendar::instances::roll;
use crate::services::{calendar, gmail, registry};
use crate::state::RunStatus;

/// The figures.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Time of the reading, by the database's clock.
    pub at: DateTime<Utc>,
    pub jobs: Vec<Job>,
    pub streams: Vec<Streams>,
    pub behind: Vec<Behind>,
    pub accounts_failing: Vec<Failing>,
    /// Number of accounts, except those ended on purpose.
    pub accounts: i64,
    pub accounts_refused: i64,
    /// Accounts ended on purpose with syncctl.
    pub accounts_ended: i64,
    /// Projects whose daily quota is used up.
    pub quota_paused: Vec<Pause>,
    pub outbox: Outbox,
    pub database_bytes: i64,
}

/// A job and the result of its last run.
#[derive(Debug, Serialize)]
pub struct Job {
    /// `calendar cron`
    pub job: String,
    /// Start of the newest run that was not skipped; it may still be running.
    pub last_started_at: DateTime<Utc>,
    /// Status of the newest run that has ended and was not skipped.
    pub last_status: RunStatus,
    /// Duration of that run; `None` if no run has ended.
    pub last_seconds: Option<f64>,
    /// End of the last `completed` run; `None` if there was none.
    pub last_success_at: Option<DateTime<Utc>>,
    /// Age of the oldest running run.
    pub running_seconds: Option<f64>,
    /// Number of runs skipped since the last one that was not.
    pub skipped: i64,
}

/// The streams of a service.
#[derive(Debug, Serialize)]
pub struct Streams {
    pub service: String,
    /// Number of polled streams.
    pub streams: i64,
    pub due: i64,
    /// How long the longest-overdue stream has been due; 0 if no stream is due.
    pub oldest_due_seconds: f64,
    /// Age of the oldest stream that has not finished its first pass; 0 if all have.
    pub oldest_first_pass_seconds: f64,
    pub failing: i64,
    /// Their items in quarantine.
    pub quarantined: i64,
}

/// Streams of which a part is not up to date although their polls succeed.
#[derive(Debug, Serialize)]
pub struct Behind {
    pub service: &'static str,
    /// `instances`: occurrences are not all computed, or end too early. `labels`: labels could not be listed for a day.
    pub part: &'static str,
    pub streams: i64,
}

/// Users, or projects at Attendee, that fail for one reason.
#[derive(Debug, Serialize)]
pub struct Failing {
    pub class: String,
    /// Service; `all` if the account as a whole is not called.
    pub service: String,
    pub accounts: i64,
}

/// Outgoing events that have not been delivered.
#[derive(Debug, Serialize)]
pub struct Outbox {
    /// Pending deliveries, and events not yet assigned to targets.
    pub pending: i64,
    /// Deliveries that were given up.
    pub dead: i64,
    /// Age of the oldest waiting event; 0 if none is waiting.
    pub oldest_seconds: f64,
}

/// Reads the figures.
pub async fn read(context: &Context) -> anyhow::Result<Figures> {
    let silent_after = i32::try_from(context.settings.push.silent_after).unwrap_or(i32::MAX);
    let overview = overview::read(&context.pool, &registry::names(|_| true), silent_after).await?;
    let instances = roll::behind(&context.pool, &context.settings.calendar).await?;
    let labels = gmail::labels::unlisted(&context.pool).await?.mailboxes;
    let behind = vec![
        Behind { service: calendar::REGISTERED.service, part: "instances", streams: instances },
        Behind { service: gmail::REGISTERED.service, part: "labels", streams: labels },
    ];
    Ok(of(overview, behind))
}

fn of(overview: Overview, behind: Vec<Behind>) -> Figures {
    let quarantined: BTreeMap<String, i64> = overview.quarantine.into_iter().map(|of| (of.service, of.items)).collect();
    let streams = overview.services.into_iter().map(|of| Streams {
        streams: of.streams,
        due: of.due,
        oldest_due_seconds: of.oldest_due_seconds,
        oldest_first_pass_seconds: of.oldest_unfinished_seconds,
        failing: of.failing,
        quarantined: quarantined.get(&of.service).copied().unwrap_or(0),
        service: of.service,
    });
    let failing = overview.failing.into_iter().map(|of| Failing {
        class: of.class,
        service: of.service.unwrap_or_else(|| "all".into()),
        accounts: of.owners,
    });
    let outbox = Outbox {
        pending: overview.outbox.pending(),
        dead: overview.outbox.dead(),
        oldest_seconds: overview.outbox.oldest_seconds.unwrap_or(0.0),
    };
    Figures {
        at: overview.at,
        jobs: overview.jobs.into_iter().map(|job| job_of(job, overview.at)).collect(),
        streams: streams.collect(),
        behind,
        accounts_failing: failing.collect(),
        accounts: overview.accounts.of,
        accounts_refused: overview.accounts.accounts,
        accounts_ended: overview.accounts_ended,
        quota_paused: overview.paused,
        outbox,
        database_bytes: overview.database.bytes,
    }
}

fn job_of(job: JobState, at: DateTime<Utc>) -> Job {
    let ago = |seconds: f64| at - TimeDelta::microseconds((seconds * 1e6).round() as i64);
    Job {
        job: job.job,
        last_started_at: ago(job.age_seconds),
        last_status: job.status,
        last_seconds: job.seconds,
        last_success_at: job.success_age_seconds.map(ago),
        running_seconds: job.running.first().map(|run| run.seconds),
        skipped: job.skipped_since,
    }
}
