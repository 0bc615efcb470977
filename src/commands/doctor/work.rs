//! Whether the work is done: what fails, quota, channels, outbox and quarantine.

use super::{Findings, jobs};
use crate::commands::metrics::seconds_text;
use crate::commands::remedies;
use crate::config::Settings;
use crate::db::classify::queue;
use crate::db::overview::Overview;
use crate::db::{Pool, health};
use crate::error::Class;

/// Events that wait longer are not just on their way.
const OUTBOX_LONG: f64 = 3600.0;
/// The largest mailboxes take a few days, at Google's quota for one user.
const FIRST_PASS_LONG: f64 = 7.0 * 24.0 * 3600.0;
/// From this share of a quota on it is told.
const MUCH: f64 = 0.8;

pub fn check(overview: &Overview, settings: &Settings, found: &mut Findings) {
    jobs::check(overview, settings, found);
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

/// Above the share of `engine.refused_share` of a service's streams something is wrong, and not only to be looked at.
fn failing(overview: &Overview, settings: &Settings, found: &mut Findings) {
    // Revoked accounts are told of with the credentials.
    for failing in overview.failing.iter().filter(|failing| failing.service.is_some()) {
        let service = failing.service.as_deref().unwrap_or_default();
        let message = failing.message.as_deref().unwrap_or_default();
        let text =
            format!("{service}: {} streams of {} owners fail: {}: {message}", failing.streams, failing.owners, failing.class);
        let remedy = remedies::of_failing(failing, settings).unwrap_or_else(|| "read the message".into());
        let of = overview.services.iter().find(|one| one.service == service).map_or(0, |one| one.streams);
        // What passes by itself is no fault of the set-up.
        let passes = matches!(Class::from_name(&failing.class), Some(Class::Transient | Class::RateLimited));
        match !passes && failing.streams as f64 > settings.engine.refused_share * of as f64 {
            true => found.fail("streams", format!("{text} ({of} streams in all)"), remedy),
            false => found.warn("streams", text, remedy),
        }
    }
    for service in overview.services.iter().filter(|service| service.degraded > 0) {
        found.warn(
            "streams",
            format!("{}: {} streams are degraded: their cursors expire again and again", service.service, service.degraded),
            Class::CursorExpired.remedy(),
        );
    }
    for service in overview.services.iter().filter(|service| service.oldest_unfinished_seconds > FIRST_PASS_LONG) {
        let age = seconds_text(service.oldest_unfinished_seconds);
        found.warn(
            "streams",
            format!("{}: a stream has been in its first pass for {age}", service.service),
            "`syncctl sync explain USER` says how far it has come and what it waits for",
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

/// Documents wait for a classification that is off, until it is on: all that came since are judged then.
pub async fn classification(pool: &Pool, settings: &Settings, found: &mut Findings) -> anyhow::Result<()> {
    if settings.classify.enabled {
        return Ok(());
    }
    let waiting = queue::waiting(pool).await?;
    if waiting > 0 {
        found.warn(
            "classify",
            format!("{waiting} documents wait to be judged, and classify.enabled is false"),
            "set classify.enabled=true and run `syncctl classify cron`; where it is off for good, nothing: each document waits once",
        );
    }
    Ok(())
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
                format!("{service}, project {project}: paused until {}: {why}", until.format("%F %R UTC")),
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
