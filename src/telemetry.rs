//! Jobs, told to who watches over them. Nothing here ever fails a job. Knows no engine and no database.

pub mod healthchecks;
mod metrics;
mod otlp;
mod traces;

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::http;

/// A run that is over.
pub struct Run<'a> {
    pub job: &'a str,
    pub id: Uuid,
    pub began: SystemTime,
    /// As the run tables say it.
    pub elapsed: Duration,
    /// As the run tables say it.
    pub status: &'a str,
    pub exit_code: u8,
    pub error: Option<String>,
    pub counts: Vec<Count>,
    /// Classes of the failures, and how many there were of each.
    pub errors: Vec<(&'static str, u64)>,
}

/// Something that a run counted.
pub struct Count {
    /// The name of the metric, and of the span's attribute: `syncctl.streams`.
    pub name: &'static str,
    /// What one of it is, as OpenTelemetry writes units: `{stream}`.
    pub unit: &'static str,
    pub about: &'static str,
    pub value: u64,
}

impl Run<'_> {
    /// `error.type` of the semantic conventions: the first class, or what they have for an error that has none.
    fn error_type(&self) -> Option<&'static str> {
        self.errors.first().map(|(class, _)| *class).or_else(|| self.error.as_ref().map(|_| "_OTHER"))
    }
}

/// Sends a run to the collector of OpenTelemetry that `OTEL_EXPORTER_OTLP_ENDPOINT` names, as a span and as metrics, both at the same time.
/// Never fails the job: problems are logged.
pub async fn export(http: &http::Client, run: &Run<'_>) {
    tokio::join!(traces::export(http, run), metrics::export(http, run));
}
