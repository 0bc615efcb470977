//! A run's row and lock, and the notification that it begins.

use super::spec::Job;
use crate::config::Settings;
use crate::db::lease_holder;
use crate::db::runs::{self, Look, Opened, Opening, Tables};
use crate::engine::{Context, Report};
use crate::state::RunStatus;
use crate::telemetry::healthchecks::{self, Check};

/// Writes the run's row and takes its lock; if another run holds the job, the report names it.
pub(super) async fn open(
    context: &Context,
    tables: Tables,
    job: &Job,
    exclusive: bool,
    look: Option<Look<'_>>,
    report: &mut Report,
    check: &mut Check,
) -> anyhow::Result<Opened> {
    let Settings { engine, healthchecks, .. } = &*context.settings;
    let run = report.execution_id;
    let opening = Opening { run, job: &job.name, exclusive, lease: engine.lease.as_secs_f64(), look };
    let opened = runs::open(&context.pool, tables, &opening).await?;
    if !opened.is_ours {
        report.status = RunStatus::Skipped;
        let who = lease_holder::of_job(&context.pool, &job.name).await?.map(|who| format!(": {who}")).unwrap_or_default();
        let why = format!("another run of `{}` holds the job; this one was skipped{who}", job.name);
        if job.is_for_everybody() {
            healthchecks::skipped(healthchecks, &context.http, &job.name, run, &why).await;
        }
        report.error = Some(why);
    } else if job.is_for_everybody() {
        *check = Check::begin(healthchecks, &context.http, &job.name, run);
    }
    Ok(opened)
}
