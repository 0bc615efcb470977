//! What a run tells a collector of traces.

use std::time::SystemTime;

use uuid::Uuid;

use super::Report;
use crate::error::Exit;
use crate::telemetry::traces::Run;

/// The span of a run, however it ended.
pub(super) fn span<'a>(job: &'a str, id: Uuid, began: SystemTime, ended: &'a anyhow::Result<Report>) -> Run<'a> {
    match ended {
        Ok(report) => Run {
            job,
            id,
            began,
            status: &report.status,
            exit_code: report.exit() as u8,
            error: report.error_message().filter(|_| report.status != "skipped"),
            counts: counts(report),
            error_classes: report.errors.keys().copied().collect(),
        },
        Err(error) => Run {
            job,
            id,
            began,
            status: "failed",
            exit_code: Exit::of(error) as u8,
            error: Some(format!("{error:#}")),
            counts: Vec::new(),
            error_classes: Vec::new(),
        },
    }
}

fn counts(report: &Report) -> Vec<(&'static str, u64)> {
    let changed = report.changes.values().map(super::Counts::changes).sum();
    vec![
        ("syncctl.users", report.total_users as u64),
        ("syncctl.users.failed", report.failed_users as u64),
        ("syncctl.streams", report.streams),
        ("syncctl.streams.idle", report.idle_streams),
        ("syncctl.streams.failed", report.failed_streams),
        ("syncctl.rows.changed", changed),
        ("syncctl.api_calls", report.api_calls),
        ("syncctl.quota_units", report.quota_units),
        ("syncctl.retries", report.retries),
        ("syncctl.resyncs", report.resyncs),
        ("syncctl.quarantined", report.quarantined),
    ]
}
