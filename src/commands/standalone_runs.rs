//! Runs jobs that belong to no service, and records them in the run tables.

use std::convert::Infallible;

use serde::Serialize;
use uuid::Uuid;

use crate::db::explained;
use crate::db::runs::{self, Progress};
use crate::engine::Context;
use crate::error::Exit;
use crate::state::RunStatus;
use crate::telemetry::healthchecks::Check;

/// A job that belongs to no service.
#[derive(Debug, Clone, Copy)]
pub(super) struct StandaloneJob {
    /// Name in the run tables, such as `db prune`.
    pub name: &'static str,
    /// Whether to report the run to health checks, as for a scheduled job.
    pub is_announced: bool,
}

/// Runs a job and records its result. `exit` and `line` map the result to the exit code and an error message.
///
/// # Errors
/// Returns the error of the work, or an error if its end could not be recorded. If its begin cannot be recorded, for example with a
/// read-only role, the work runs anyway.
pub(super) async fn recorded<T: Serialize>(
    context: &Context,
    job: StandaloneJob,
    work: impl Future<Output = anyhow::Result<T>>,
    exit: impl Fn(&T) -> Exit,
    line: impl Fn(&T) -> Option<String>,
) -> anyhow::Result<T> {
    let (run, lease) = (Uuid::now_v7(), context.settings.engine.lease);
    let check =
        if job.is_announced { Check::begin(&context.settings.healthchecks, &context.http, job.name, run) } else { Check::none() };
    let begun = runs::begin(&context.pool, run, job.name, lease.as_secs_f64()).await;
    if let Err(error) = &begun {
        log::warn!("the run of `{}` is not recorded: {error:#}", job.name);
    }
    // Concurrently: a heartbeat may wait for a connection while the work, which holds them all, must continue.
    let mut done = tokio::select! {
        done = work => done,
        never = beat(context, run), if begun.is_ok() => match never {},
    };
    if begun.is_ok() {
        let (status, error, summary) = match &done {
            Ok(result) => {
                let status = if exit(result) == Exit::Done { RunStatus::Completed } else { RunStatus::Partial };
                (status, line(result), serde_json::to_value(result)?)
            }
            Err(error) => (RunStatus::Failed, Some(format!("{error:#}")), serde_json::Value::Null),
        };
        if let Err(error) = runs::end(&context.pool, run, status, error.as_deref(), &summary).await {
            done = done.and(Err(explained(error)));
        }
    }
    check.end(&done, exit, line).await;
    done
}

/// Writes the run's heartbeat three times per lease.
async fn beat(context: &Context, run: Uuid) -> Infallible {
    let lease = context.settings.engine.lease;
    let mut beats = tokio::time::interval(lease / 3);
    beats.tick().await;
    loop {
        beats.tick().await;
        if let Err(error) = runs::heartbeat(&context.pool, run, lease.as_secs_f64(), &[], &Progress::default()).await {
            log::warn!("heartbeat not written: {error:#}");
        }
    }
}
