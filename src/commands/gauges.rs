//! How everything stands, in figures and without anybody's name: what `metrics` and `report` tell of this moment.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::db::overview::{self, JobState, Overview};
use crate::db::quota::Pause;
use crate::engine::Context;

/// The figures.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// By the database's clock.
    pub at: DateTime<Utc>,
    pub jobs: Vec<Job>,
    pub streams: Vec<Streams>,
    pub accounts_failing: Vec<Failing>,
    /// Without those that were ended on purpose.
    pub accounts: i64,
    pub accounts_refused: i64,
    /// Ended here, on purpose.
    pub accounts_ended: i64,
    /// Projects whose quota of the day is used up.
    pub quota_paused: Vec<Pause>,
    pub outbox: Outbox,
    pub database_bytes: i64,
}

/// A job, and how it went last.
#[derive(Debug, Serialize)]
pub struct Job {
    /// `calendar cron`
    pub job: String,
    /// Of the newest run that was not skipped; it may still work.
    pub last_started_at: DateTime<Utc>,
    /// Of the newest run that has ended and was not skipped.
    pub last_status: String,
    /// `None`: none has ended.
    pub last_seconds: Option<f64>,
    /// When a run ended last that was `completed`; `None`: none ever did.
    pub last_success_at: Option<DateTime<Utc>>,
    /// For how long the oldest run has been at work that is.
    pub running_seconds: Option<f64>,
    /// Runs since the last one that was not skipped.
    pub skipped: i64,
}

/// The streams of a service.
#[derive(Debug, Serialize)]
pub struct Streams {
    pub service: String,
    /// Those that are polled.
    pub streams: i64,
    pub due: i64,
    /// How long the one that is due for longest has been; 0 when none is.
    pub oldest_due_seconds: f64,
    /// How long the oldest stream has been here that has not ended its first pass; 0 when all have.
    pub oldest_first_pass_seconds: f64,
    pub failing: i64,
    /// Items of theirs in quarantine.
    pub quarantined: i64,
}

/// Users, or projects at Attendee, that fail for one reason.
#[derive(Debug, Serialize)]
pub struct Failing {
    pub class: String,
    /// `all`: the accounts as a whole are not called.
    pub service: String,
    pub accounts: i64,
}

/// Events for the outside that have not gone out.
#[derive(Debug, Serialize)]
pub struct Outbox {
    /// Deliveries that wait, and events that are not assigned to targets yet.
    pub pending: i64,
    /// Deliveries that are given up.
    pub dead: i64,
    /// Since the oldest of what waits was written; 0 when nothing does.
    pub oldest_seconds: f64,
}

/// Reads them.
pub async fn read(context: &Context) -> anyhow::Result<Figures> {
    let silent_after = i32::try_from(context.settings.push.silent_after).unwrap_or(i32::MAX);
    Ok(of(overview::read(&context.pool, silent_after).await?))
}

fn of(overview: Overview) -> Figures {
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
