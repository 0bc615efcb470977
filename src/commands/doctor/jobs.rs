//! Whether the jobs run that should, and how they went last.

use std::collections::BTreeSet;

use super::Findings;
use crate::commands::installed_schedules;
use crate::commands::metrics::seconds_text;
use crate::config::Settings;
use crate::db::overview::{JobState, Overview};
use crate::error::Class;

/// A job that did not run for so many times its usual pause is late; a host may be down for a moment.
const LATE: f64 = 3.0;
const GRACE: f64 = 300.0;
const HOUR: f64 = 3600.0;
const JOBS: &str = "jobs";
const TIMER: &str = "look at the crontab or the timers (crontab.example, systemd/), and at the mail of cron or the journal";

/// A job that the settings ask for, and the longest pause between two of its runs where nothing is known of it.
fn expected(overview: &Overview, settings: &Settings) -> Vec<(String, f64)> {
    let google = [("calendar", settings.calendar.enabled), ("drive", settings.drive.enabled), ("gmail", settings.gmail.enabled)];
    let has = |service: &str| overview.services.iter().any(|one| one.service == service);
    let mut jobs = Vec::new();
    for (service, _) in google.iter().filter(|(service, enabled)| *enabled && has(service)) {
        jobs.push((format!("{service} cron"), HOUR));
        let announced = if *service == "gmail" { settings.push.gmail_topic.clone() } else { settings.push.address_of(service) };
        if !announced.is_empty() {
            jobs.push((format!("{service} renew-watches"), 24.0 * HOUR));
        }
    }
    if has("attendee") {
        jobs.extend([("attendee cron".to_owned(), HOUR), ("attendee schedule".to_owned(), HOUR)]);
    }
    if settings.classify.enabled && has("classify") {
        jobs.push(("classify cron".to_owned(), HOUR));
    }
    jobs
}

pub fn check(overview: &Overview, settings: &Settings, found: &mut Findings) {
    let expected = expected(overview, settings);
    let scheduled: Vec<String> =
        installed_schedules::jobs(settings).into_iter().filter(|job| expected.iter().all(|(name, _)| name != job)).collect();
    // How those went that other hosts may schedule counts too. What a person did by hand was told to that person, and is no alarm for weeks.
    let mut judged: BTreeSet<String> = installed_schedules::called_for(settings);
    judged.extend(expected.iter().map(|(name, _)| name.clone()).chain(scheduled.iter().cloned()));
    for (name, pause) in &expected {
        match overview.jobs.iter().find(|job| job.job == *name) {
            None => found.fail(JOBS, format!("`{name}` has never run"), TIMER),
            Some(job) => late(job, *pause, found),
        }
    }
    for name in &scheduled {
        match overview.jobs.iter().find(|job| job.job == *name) {
            // It may have been scheduled just now.
            None => found.warn(JOBS, format!("`{name}` is scheduled on this machine, and has never run"), TIMER),
            Some(job) => late(job, pause(name), found),
        }
    }
    for job in overview.jobs.iter().filter(|job| judged.contains(&job.job)) {
        let name = &job.job;
        let error = job.error.as_deref().unwrap_or("no message");
        match job.status.as_str() {
            _ if job.is_dead || job.status == "abandoned" => {
                found.warn(
                    JOBS,
                    format!("a run of `{name}` on {} died", job.host),
                    "nothing: the next run closes it; if it recurs, look for the out-of-memory killer",
                );
            }
            "failed" => found.fail(
                JOBS,
                format!("the last run of `{name}` failed: {error}"),
                "read the message; `syncctl status` shows what fails",
            ),
            "partial" => found.warn(JOBS, format!("the last run of `{name}` failed in part: {error}"), "see what fails, below"),
            "paused" => found.warn(JOBS, format!("the last run of `{name}` polled nobody: {error}"), Class::DailyQuota.remedy()),
            _ => {}
        }
        endless(job, settings, found);
    }
}

/// Those that work, and those that were skipped because of them.
fn beside(job: &JobState) -> String {
    let running = job.running.iter();
    let mut text: String =
        running.map(|run| format!("; one runs on {}, pid {}, for {}", run.host, run.pid, seconds_text(run.seconds))).collect();
    if job.skipped_since > 0 {
        text.push_str(&format!("; {} skipped since", job.skipped_since));
    }
    text
}

/// A run winds down in time, unless something holds it up: then it holds up all others.
fn endless(job: &JobState, settings: &Settings, found: &mut Findings) {
    let most = settings.engine.max_duration.as_secs_f64();
    for run in job.running.iter().filter(|run| most > 0.0 && run.seconds > most + GRACE) {
        found.warn(
            JOBS,
            format!("a run of `{}` on {}, pid {}, goes on for {}", job.job, run.host, run.pid, seconds_text(run.seconds)),
            "a run ends by itself after engine.max_duration: look what it waits for in `pg_stat_activity`, or end the process",
        );
    }
}

/// The longest pause between two runs of a job that is scheduled here, in seconds, where nothing is known of it: as in crontab.example.
fn pause(name: &str) -> f64 {
    match name.rsplit(' ').next().unwrap_or_default() {
        "deliver" | "drain" | "cron" | "schedule" => HOUR,
        "prune" | "report" | "renew-watches" | "renew-webhooks" => 25.0 * HOUR,
        "verify" => 8.0 * 24.0 * HOUR,
        _ => f64::INFINITY,
    }
}

/// Whether a job ran lately, by its own measure.
fn late(job: &JobState, pause: f64, found: &mut Findings) {
    let most = job.usual_seconds.map_or(pause, |usual| LATE * usual + GRACE);
    let (name, age, beside) = (&job.job, seconds_text(job.age_seconds), beside(job));
    match job.age_seconds > most && job.running.is_empty() {
        true => found.fail(JOBS, format!("`{name}` last ran {age} ago{}{beside}", usually(job)), TIMER),
        false => found.ok(JOBS, format!("`{name}` ran {age} ago: {}{beside}", job.status)),
    }
}

fn usually(job: &JobState) -> String {
    job.usual_seconds.map_or_else(String::new, |usual| format!(", usually every {}", seconds_text(usual)))
}
