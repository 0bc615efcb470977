//! Runs of jobs that are of no service, with a row in the run tables whatever becomes of them.

use std::convert::Infallible;

use serde::Serialize;
use uuid::Uuid;

use crate::db::explained;
use crate::db::runs::{self, Progress};
use crate::engine::Context;
use crate::error::Exit;
use crate::telemetry::healthchecks::Check;

/// A job that is of no service.
#[derive(Debug, Clone, Copy)]
pub(super) struct StandaloneJob {
    /// As the run tables call it: `db prune`.
    pub name: &'static str,
    /// A schedule runs it: whoever watches over it by health checks is told.
    pub is_announced: bool,
}

/// Does the work of a job, with a row that says how it went; `exit` and `line`: what the process ends with then, and what went wrong.
///
/// # Errors
/// Those of the work, or that its end could not be recorded. A row that cannot be begun, as by a role that only reads, keeps nobody from the work.
pub(super) async fn recorded<T: Serialize>(
    context: &Context,
    job: StandaloneJob,
    work: impl Future<Output = anyhow::Result<T>>,
    exit: impl Fn(&T) -> Exit,
    line: impl Fn(&T) -> Option<String>,
) -> anyhow::Result<T> {
    let (run, lease) = (Uuid::now_v7(), context.settings.engine.lease);
    let check = match job.is_announced {
        true => Check::begin(&context.settings.healthchecks, &context.http, job.name, run),
        false => Check::none(),
    };
    let begun = runs::begin(&context.pool, run, job.name, lease.as_secs_f64()).await;
    if let Err(error) = &begun {
        log::warn!("the run of `{}` is not recorded: {error:#}", job.name);
    }
    // Side by side: a heartbeat may wait for a connection, and the work that holds them all must go on meanwhile.
    let mut done = tokio::select! {
        done = work => done,
        never = beat(context, run), if begun.is_ok() => match never {},
    };
    if begun.is_ok() {
        let (status, error, summary) = match &done {
            Ok(told) => {
                let status = if exit(told) == Exit::Done { "completed" } else { "partial" };
                (status, line(told), serde_json::to_value(told)?)
            }
            Err(error) => ("failed", Some(format!("{error:#}")), serde_json::Value::Null),
        };
        if let Err(error) = runs::end(&context.pool, run, status, error.as_deref(), &summary).await {
            done = done.and(Err(explained(error)));
        }
    }
    check.end(&done, exit, line).await;
    done
}

/// Says three times in a lease that the run lives.
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
