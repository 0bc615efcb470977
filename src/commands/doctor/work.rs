//! Whether the work is done: jobs that should run, what fails, quota, channels, outbox and quarantine.

use std::collections::BTreeSet;

use super::Findings;
use crate::commands::metrics::seconds_text;
use crate::commands::{remedies, scheduled};
use crate::config::Settings;
use crate::db::overview::{JobState, Overview};
use crate::db::{Pool, health};
use crate::error::Class;

/// A job that did not run for so many times its usual pause is late; a host may be down for a moment.
const LATE: f64 = 3.0;
const GRACE: f64 = 300.0;
const HOUR: f64 = 3600.0;
const JOBS: &str = "jobs";
const TIMER: &str = "look at the crontab or the timers (crontab.example, systemd/), and at the mail of cron or the journal";
/// Events that wait longer are not just on their way.
const OUTBOX_LONG: f64 = HOUR;
/// From this share of a quota on it is told.
const MUCH: f64 = 0.8;

pub fn check(overview: &Overview, settings: &Settings, found: &mut Findings) {
    jobs(overview, settings, found);
    failing(overview, settings, found);
    channels(overview, settings, found);
    outbox(overview, settings, found);
    unread(overview, found);
    for held in &overview.quarantine {
        found.warn(
            "quarantine",
            format!(
                "{}: {} items could not be applied, the oldest since {}",
                held.service,
                held.items,
                held.oldest_at.format("%F")
            ),
            "`syncctl items list` says why; after an upgrade `syncctl items retry`",
        );
    }
    if overview.quarantine.is_empty() {
        found.ok("quarantine", "empty");
    }
}

/// Where a rule cannot be read, a user waits for a bot that does not come.
fn unread(overview: &Overview, found: &mut Findings) {
    let unread = &overview.unread;
    if unread.events > 0 {
        found.warn(
            "events",
            format!(
                "calendar: {} events of {} users were read in part; {} are recurring meetings whose rule cannot be read",
                unread.events, unread.users, unread.series
            ),
            "`SELECT user_id, event_id, unread FROM calendar_events WHERE unread IS NOT NULL` (`syncctl db psql`) lists them; please report these rules",
        );
    }
}

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
    jobs
}

fn jobs(overview: &Overview, settings: &Settings, found: &mut Findings) {
    let expected = expected(overview, settings);
    let scheduled: Vec<String> =
        scheduled::jobs(settings).into_iter().filter(|job| expected.iter().all(|(name, _)| name != job)).collect();
    // How those went that other hosts may schedule counts too. What a person did by hand was told to that person, and is no alarm for weeks.
    let mut judged: BTreeSet<String> = scheduled::called_for(settings);
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
            _ if job.is_dead => {
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
            _ => {}
        }
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
    let (name, age) = (&job.job, seconds_text(job.age_seconds));
    match job.age_seconds > most {
        true => found.fail(JOBS, format!("`{name}` last ran {age} ago{}", usually(job)), TIMER),
        false => found.ok(JOBS, format!("`{name}` ran {age} ago: {}", job.status)),
    }
}

fn usually(job: &JobState) -> String {
    job.usual_seconds.map_or_else(String::new, |usual| format!(", usually every {}", seconds_text(usual)))
}

fn failing(overview: &Overview, settings: &Settings, found: &mut Findings) {
    // Revoked accounts are told of with the credentials.
    for failing in overview.failing.iter().filter(|failing| failing.service.is_some()) {
        let service = failing.service.as_deref().unwrap_or_default();
        let message = failing.message.as_deref().unwrap_or_default();
        let text =
            format!("{service}: {} streams of {} owners fail: {}: {message}", failing.streams, failing.owners, failing.class);
        found.warn("streams", text, remedies::of_failing(failing, settings).unwrap_or_else(|| "read the message".into()));
    }
    for service in overview.services.iter().filter(|service| service.degraded > 0) {
        found.warn(
            "streams",
            format!("{}: {} streams are degraded: their cursors expire again and again", service.service, service.degraded),
            Class::CursorExpired.remedy(),
        );
    }
    if overview.failing.is_empty() {
        found.ok("streams", "none fails");
    }
}

fn channels(overview: &Overview, settings: &Settings, found: &mut Findings) {
    const CHECK: &str = "channels";
    for channels in &overview.channels {
        let service = &channels.service;
        let mend =
            format!("`syncctl {service} renew-webhooks`; if it recurs, nothing reaches `syncctl webhook serve` at push.address");
        if channels.silent > 0 {
            found.warn(
                CHECK,
                format!("{service}: {} of {} announce nothing of what polls find", channels.silent, channels.live),
                mend.clone(),
            );
        }
        if channels.refused > 0 {
            found.warn(
                CHECK,
                format!("{service}: Google refuses {} (`syncctl channels list` says why)", channels.refused),
                mend.clone(),
            );
        }
        if channels.ending > 0 {
            found.warn(
                CHECK,
                format!("{service}: {} of {} end within the hour and are not renewed", channels.ending, channels.live),
                format!("`syncctl {service} renew-watches`, hourly in the crontab"),
            );
        }
        if channels.silent + channels.refused + channels.ending == 0 {
            found.ok(CHECK, format!("{service}: {} live", channels.live));
        }
    }
    if overview.channels.is_empty() && !settings.push.address.is_empty() {
        found.warn(
            CHECK,
            "push.address is set and there is no channel",
            "`syncctl calendar renew-watches` and `syncctl drive renew-watches`",
        );
    }
}

fn outbox(overview: &Overview, settings: &Settings, found: &mut Findings) {
    const CHECK: &str = "outbox";
    let outbox = &overview.outbox;
    let before = found.0.len();
    let is_set = |name: &str| settings.outbox.targets.iter().any(|target| target.name == name);
    for target in outbox.targets.iter().filter(|target| is_set(&target.target)) {
        let name = &target.target;
        if target.failures > 0 {
            let error = target.last_error.as_deref().unwrap_or("no message");
            found.warn(
                CHECK,
                format!("{name} failed {} times in a row: {error}", target.failures),
                "look at the receiver, and at the target's url and secret in the settings",
            );
        }
        if target.dead > 0 {
            found.warn(
                CHECK,
                format!("{} events for {name} were given up", target.dead),
                "`syncctl outbox list --state dead`, then `syncctl deliver --dead`",
            );
        }
        if let Some(age) = target.oldest_seconds.filter(|age| *age > OUTBOX_LONG) {
            let message = format!("{} events wait for {name}, the oldest for {}", target.pending, seconds_text(age));
            found.warn(CHECK, message, "run `syncctl deliver` every minute (crontab.example)");
        }
    }
    if settings.outbox.targets.is_empty() {
        found.ok(CHECK, format!("no target is set; {} events are kept for the first one", outbox.new_events));
    } else if found.0.len() == before {
        found.ok(CHECK, format!("{} wait", outbox.pending()));
    }
}

/// What is left of the quotas, by project.
pub async fn quota(pool: &Pool, settings: &Settings, found: &mut Findings) -> anyhow::Result<()> {
    const CHECK: &str = "quota";
    let spent = health::quota(pool).await?;
    let mut well = 0;
    for spent in &spent {
        let (service, project) = (&spent.service, &spent.project);
        let limits = settings.quota.limits(service);
        let share = |units: i64, limit: u64| units as f64 / limit as f64;
        let (day, minute) = (share(spent.day, limits.per_day), share(spent.minute, limits.project_per_minute));
        if let Some((until, why)) = &spent.paused {
            found.fail(
                CHECK,
                format!("{service}, project {project}: Google said to stop until {}: {why}", until.format("%F %R UTC")),
                Class::DailyQuota.remedy(),
            );
        } else if day > MUCH {
            found.warn(
                CHECK,
                format!("{service}, project {project}: {:.0} % of the day's units are spent", day * 100.0),
                Class::DailyQuota.remedy(),
            );
        } else if minute > MUCH {
            found.warn(
                CHECK,
                format!(
                    "{service}, project {project}: {:.0} % of a minute's units were spent in the last minute",
                    minute * 100.0
                ),
                Class::RateLimited.remedy(),
            );
        } else {
            well += 1;
        }
    }
    if well == spent.len() {
        found.ok(
            CHECK,
            if well == 0 { "nothing is spent today".into() } else { format!("more than a fifth is left of each of {well}") },
        );
    }
    Ok(())
}
