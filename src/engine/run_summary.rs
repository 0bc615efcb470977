//! The figures of a run for an OpenTelemetry collector.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use super::Report;
use crate::error::Exit;
use crate::state::RunStatus;
use crate::telemetry::{Count, Run};

/// Summarizes a run, however it ended.
pub(super) fn run<'a>(job: &'a str, id: Uuid, began: SystemTime, ended: &'a anyhow::Result<Report>) -> Run<'a> {
    match ended {
        Ok(report) => Run {
            job,
            id,
            began,
            elapsed: Duration::from_millis(report.elapsed_ms),
            status: report.status,
            exit_code: report.exit() as u8,
            error: report.error_message().filter(|_| report.status != RunStatus::Skipped),
            counts: counts(report),
            errors: report.errors.iter().map(|(class, errors)| (*class, errors.count)).collect(),
        },
        Err(error) => Run {
            job,
            id,
            began,
            elapsed: began.elapsed().unwrap_or_default(),
            status: RunStatus::Failed,
            exit_code: Exit::of(error) as u8,
            error: Some(format!("{error:#}")),
            counts: Vec::new(),
            errors: Vec::new(),
        },
    }
}

fn counts(report: &Report) -> Vec<Count> {
    let changed = report.changes.values().map(super::Counts::changes).sum();
    let count = |name, unit, about, value| Count { name, unit, about, value };
    vec![
        count("syncctl.users", "{user}", "Users whose streams were polled", report.total_users as u64),
        count("syncctl.users.failed", "{user}", "Users with a stream that failed", report.failed_users as u64),
        count("syncctl.streams", "{stream}", "Streams polled", report.streams),
        count("syncctl.streams.idle", "{stream}", "Streams polled without changes", report.idle_streams),
        count("syncctl.streams.failed", "{stream}", "Streams that failed", report.failed_streams),
        count("syncctl.rows.changed", "{row}", "Rows created, updated or deleted", changed),
        count("syncctl.api_calls", "{call}", "Responses received from the provider", report.api_calls),
        count("syncctl.quota_units", "{unit}", "Quota units spent", report.quota_units),
        count("syncctl.retries", "{retry}", "Calls that were retried", report.retries),
        count("syncctl.resyncs", "{resync}", "Full passes after an expired cursor", report.resyncs),
        count("syncctl.quarantined", "{item}", "Items quarantined", report.quarantined),
    ]
}
