//! Checks that the expected jobs run, and how their last runs ended.

use std::collections::BTreeSet;

use super::Findings;
use crate::commands::installed_schedules;
use crate::commands::metrics::seconds_text;
use crate::config::Settings;
use crate::db::overview::{JobState, Overview};
use crate::error::Class;
use crate::services::registry;
use crate::state::RunStatus;

/// A job is late after this multiple of its usual pause, plus `GRACE` seconds for a host that is down briefly.
const LATE: f64 = 3.0;
const GRACE: f64 = 300.0;
const HOUR: f64 = 3600.0;
const JOBS: &str = "jobs";
const TIMER: &str = "check the crontab or the timers (crontab.example, systemd/), and cron's mail or the journal";

/// Returns the jobs that the settings require, with the maximum pause between two runs in seconds, used if no usual pause is known.
fn expected(overview: &Overview, settings: &Settings) -> Vec<(String, f64)> {
    let has = |service: &str| overview.services.iter().any(|one| one.service == service);
    let mut jobs = Vec::new();
    for service in registry::SERVICES.iter().filter(|service| (service.enabled)(settings) && has(service.name)) {
        let hourly = std::iter::once(&"cron").chain(service.jobs);
        jobs.extend(hourly.map(|verb| (format!("{} {verb}", service.name), HOUR)));
        if !service.push_address(&settings.push).is_empty() {
            jobs.push((format!("{} renew-watches", service.name), 24.0 * HOUR));
        }
    }
    jobs
}

pub fn check(overview: &Overview, settings: &Settings, findings: &mut Findings) {
    let expected = expected(overview, settings);
    let scheduled: Vec<String> =
        installed_schedules::jobs(settings).into_iter().filter(|job| expected.iter().all(|(name, _)| name != job)).collect();
    // Also judge jobs that other hosts may schedule. Manual runs are left out: their result was printed then, and should not raise an alarm
    // for weeks.
    let mut judged: BTreeSet<String> = installed_schedules::required(settings);
    judged.extend(expected.iter().map(|(name, _)| name.clone()).chain(scheduled.iter().cloned()));
    for (name, pause) in &expected {
        match overview.jobs.iter().find(|job| job.job == *name) {
            None => findings.fail(JOBS, format!("`{name}` has never run"), TIMER),
            Some(job) => late(job, *pause, findings),
        }
    }
    for name in &scheduled {
        match overview.jobs.iter().find(|job| job.job == *name) {
            // A warning only: it may have been scheduled just now.
            None => findings.warn(JOBS, format!("`{name}` is scheduled on this machine, and has never run"), TIMER),
            Some(job) => late(job, pause(name), findings),
        }
    }
    for job in overview.jobs.iter().filter(|job| judged.contains(&job.job)) {
        let name = &job.job;
        let error = job.error.as_deref().unwrap_or("no message");
        match job.status {
            RunStatus::Abandoned => died(job, findings),
            _ if job.is_dead => died(job, findings),
            RunStatus::Failed => findings.fail(
                JOBS,
                format!("the last run of `{name}` failed: {error}"),
                "read the message; `syncctl status` shows what fails",
            ),
            RunStatus::Partial => {
                findings.warn(JOBS, format!("the last run of `{name}` partly failed: {error}"), "see the failures below")
            }
            RunStatus::Paused => {
                findings.warn(JOBS, format!("the last run of `{name}` polled no user: {error}"), Class::DailyQuota.remedy())
            }
            RunStatus::Running | RunStatus::Completed | RunStatus::Skipped => {}
        }
        endless(job, settings, findings);
    }
}

fn died(job: &JobState, findings: &mut Findings) {
    findings.warn(
        JOBS,
        format!("a run of `{}` on {} died", job.job, job.host),
        "none needed: the next run closes it; if it recurs, look for the out-of-memory killer",
    );
}

/// Describes the running runs of the job, and how many were skipped because of them.
fn others(job: &JobState) -> String {
    let running = job.running.iter();
    let mut text: String =
        running.map(|run| format!("; one runs on {}, pid {}, for {}", run.host, run.pid, seconds_text(run.seconds))).collect();
    if job.skipped_since > 0 {
        text.push_str(&format!("; {} skipped since", job.skipped_since));
    }
    text
}

/// Reports runs that exceed `engine.max_duration`: something blocks them, and they block all later runs.
fn endless(job: &JobState, settings: &Settings, findings: &mut Findings) {
    let max = settings.engine.max_duration.as_secs_f64();
    for run in job.running.iter().filter(|run| max > 0.0 && run.seconds > max + GRACE) {
        findings.warn(
            JOBS,
            format!("a run of `{}` on {}, pid {}, has been running for {}", job.job, run.host, run.pid, seconds_text(run.seconds)),
            "a run should end by itself after engine.max_duration: check what it waits for in `pg_stat_activity`, or end the process",
        );
    }
}

/// Returns the maximum pause between two runs of a job scheduled here, in seconds, as in crontab.example; used if no usual pause is known.
fn pause(name: &str) -> f64 {
    match name.rsplit(' ').next().unwrap_or_default() {
        "deliver" | "drain" | "cron" | "schedule" => HOUR,
        "prune" | "report" | "renew-watches" | "renew-webhooks" => 25.0 * HOUR,
        "verify" => 8.0 * 24.0 * HOUR,
        _ => f64::INFINITY,
    }
}

/// Reports whether a job ran recently enough, measured by its usual pause.
fn late(job: &JobState, pause: f64, findings: &mut Findings) {
    let max = job.usual_seconds.map_or(pause, |usual| LATE * usual + GRACE);
    let (name, age, others) = (&job.job, seconds_text(job.age_seconds), others(job));
    if job.age_seconds > max && job.running.is_empty() {
        findings.fail(JOBS, format!("`{name}` last ran {age} ago{}{others}", usually(job)), TIMER)
    } else {
        findings.ok(JOBS, format!("`{name}` ran {age} ago: {}{others}", job.status))
    }
}

fn usually(job: &JobState) -> String {
    job.usual_seconds.map_or_else(String::new, |usual| format!(", usually every {}", seconds_text(usual)))
}
