//! Reports jobs to monitoring services. Never fails a job. Independent of the engine and the database.

pub mod healthchecks;
mod metrics;
mod otlp;
mod traces;

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::http;
use crate::state::RunStatus;

/// A finished run.
pub struct Run<'a> {
    pub job: &'a str,
    pub id: Uuid,
    pub began: SystemTime,
    /// As in the run tables.
    pub elapsed: Duration,
    /// As in the run tables.
    pub status: RunStatus,
    pub exit_code: u8,
    pub error: Option<String>,
    pub counts: Vec<Count>,
    /// Classes of the failures, with the number of each.
    pub errors: Vec<(&'static str, u64)>,
}

/// A quantity counted by a run.
pub struct Count {
    /// The name of the metric, and of the span's attribute: `syncctl.streams`.
    pub name: &'static str,
    /// Its unit in OpenTelemetry's notation: `{stream}`.
    pub unit: &'static str,
    pub about: &'static str,
    pub value: u64,
}

impl Run<'_> {
    /// `error.type` of the semantic conventions: the first class, or the fallback for an error without one.
    fn error_type(&self) -> Option<&'static str> {
        self.errors.first().map(|(class, _)| *class).or_else(|| self.error.as_ref().map(|_| "_OTHER"))
    }
}

/// Sends a run to the OpenTelemetry collector named by `OTEL_EXPORTER_OTLP_ENDPOINT`, as a span and as metrics, concurrently. Never fails the job: problems
/// are logged.
pub async fn export(http: &http::Client, run: &Run<'_>) {
    tokio::join!(traces::export(http, run), metrics::export(http, run));
}
