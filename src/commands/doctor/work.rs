//! Checks that the work gets done: failures, quota, channels, outbox and quarantine.

use super::{Findings, jobs};
use crate::commands::metrics::seconds_text;
use crate::commands::remedies;
use crate::config::Settings;
use crate::db::classify::queue;
use crate::db::overview::Overview;
use crate::db::{Pool, health};
use crate::error::Class;
use crate::services::calendar::instances::roll;
use crate::services::gmail::labels;
use crate::services::{classify, registry};

/// Waiting time of an event, in seconds, above which delivery is considered stuck.
const OUTBOX_STUCK: f64 = 3600.0;
/// Maximum normal length of a first pass, in seconds. The largest mailboxes take a few days at Google's quota for one user.
const MAX_FIRST_PASS: f64 = 7.0 * 24.0 * 3600.0;
/// Used share of a quota above which it is reported.
const QUOTA_WARN: f64 = 0.8;

pub fn check(overview: &Overview, settings: &Settings, findings: &mut Findings) {
    jobs::check(overview, settings, findings);
    failing(overview, settings, findings);
    channels(overview, settings, findings);
    outbox(overview, settings, findings);
    unread(overview, findings);
    for held in &overview.quarantine {
        findings.warn(
            "quarantine",
            format!(
                "{}: {} items could not be applied, the oldest since {}",
                held.service,
                held.items,
                held.oldest_at.format("%F")
            ),
            "see the reasons in `syncctl items list`; after an upgrade run `syncctl items retry`",
        );
    }
    if overview.quarantine.is_empty() {
        findings.ok("quarantine", "empty");
    }
}

/// Reports events with an unreadable recurrence rule: their meetings get no bots.
fn unread(overview: &Overview, findings: &mut Findings) {
    let unread = &overview.unread;
    if unread.events > 0 {
        findings.warn(
            "events",
            format!(
                "calendar: {} events of {} users were only partly read; {} are recurring meetings whose rule cannot be parsed",
                unread.events, unread.users, unread.series
            ),
            "`SELECT user_id, event_id, unread FROM calendar_events WHERE unread IS NOT NULL` (`syncctl db psql`) lists them; please report these rules",
        );
    }
}

/// Reports failing streams: a failure above the share `engine.refused_share` of a service's streams, otherwise a warning.
fn failing(overview: &Overview, settings: &Settings, findings: &mut Findings) {
    // Revoked accounts are reported with the credentials.
    for failing in overview.failing.iter().filter(|failing| failing.service.is_some()) {
        let service = failing.service.as_deref().unwrap_or_default();
        let message = failing.message.as_deref().unwrap_or_default();
        let text =
            format!("{service}: {} streams of {} owners fail: {}: {message}", failing.streams, failing.owners, failing.class);
        let remedy = remedies::of_failing(failing, settings).unwrap_or_else(|| "read the message".into());
        let of = overview.services.iter().find(|one| one.service == service).map_or(0, |one| one.streams);
        // Temporary failures do not indicate a configuration error.
        let is_temporary = matches!(Class::from_name(&failing.class), Some(Class::Transient | Class::RateLimited));
        if !is_temporary && failing.streams as f64 > settings.engine.refused_share * of as f64 {
            findings.fail("streams", format!("{text} (of {of} streams)"), remedy)
        } else {
            findings.warn("streams", text, remedy)
        }
    }
    for service in overview.services.iter().filter(|service| service.degraded > 0) {
        findings.warn(
            "streams",
            format!("{}: {} streams are degraded: their cursors keep expiring", service.service, service.degraded),
            Class::CursorExpired.remedy(),
        );
    }
    for service in overview.services.iter().filter(|service| service.oldest_unfinished_seconds > MAX_FIRST_PASS) {
        let age = seconds_text(service.oldest_unfinished_seconds);
        findings.warn(
            "streams",
            format!("{}: a stream has been in its first pass for {age}", service.service),
            "`syncctl sync explain USER` shows its progress and what it waits for",
        );
    }
    if overview.failing.is_empty() {
        findings.ok("streams", "none fails");
    }
}

fn channels(overview: &Overview, settings: &Settings, findings: &mut Findings) {
    const CHECK: &str = "channels";
    for channels in &overview.channels {
        let service = &channels.service;
        let repair =
            format!("`syncctl {service} renew-webhooks`; if it recurs, nothing reaches `syncctl webhook serve` at push.address");
        if channels.silent > 0 {
            findings.warn(
                CHECK,
                format!("{service}: {} of {} do not announce changes that polls find", channels.silent, channels.live),
                repair.clone(),
            );
        }
        if channels.refused > 0 {
            findings.warn(
                CHECK,
                format!("{service}: Google refuses {} (`syncctl channels list` shows why)", channels.refused),
                repair.clone(),
            );
        }
        if channels.ending > 0 {
            findings.warn(
                CHECK,
                format!("{service}: {} of {} expire within the hour and are not renewed", channels.ending, channels.live),
                format!("run `syncctl {service} renew-watches` hourly (crontab.example)"),
            );
        }
        if channels.silent + channels.refused + channels.ending == 0 {
            findings.ok(CHECK, format!("{service}: {} live", channels.live));
        }
    }
    if overview.channels.is_empty() && !settings.push.address.is_empty() {
        findings.warn(
            CHECK,
            "push.address is set, but there are no channels",
            "run `syncctl calendar renew-watches` and `syncctl drive renew-watches`",
        );
    }
}

fn outbox(overview: &Overview, settings: &Settings, findings: &mut Findings) {
    const CHECK: &str = "outbox";
    let outbox = &overview.outbox;
    let before = findings.0.len();
    let is_set = |name: &str| settings.outbox.targets.iter().any(|target| target.name == name);
    for target in outbox.targets.iter().filter(|target| is_set(&target.target)) {
        let name = &target.target;
        if target.failures > 0 {
            let error = target.last_error.as_deref().unwrap_or("no message");
            findings.warn(
                CHECK,
                format!("{name} failed {} times in a row: {error}", target.failures),
                "check the receiver, and the target's url and secret in the settings",
            );
        }
        if target.dead > 0 {
            findings.warn(
                CHECK,
                format!("{} events for {name} were given up", target.dead),
                "see `syncctl outbox list --state dead`, then run `syncctl deliver --dead`",
            );
        }
        if let Some(age) = target.oldest_seconds.filter(|age| *age > OUTBOX_STUCK) {
            let message = format!("{} events wait for {name}, the oldest for {}", target.pending, seconds_text(age));
            findings.warn(CHECK, message, "run `syncctl deliver` every minute (crontab.example)");
        }
    }
    if settings.outbox.targets.is_empty() {
        findings.ok(CHECK, format!("no target is set; {} events are kept for the first one", outbox.new_events));
    } else if findings.0.len() == before {
        findings.ok(CHECK, format!("{} wait", outbox.pending()));
    }
}

/// Reports documents waiting for classification while it is off. They are classified once it is on.
pub async fn classification(pool: &Pool, settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    if settings.classify.enabled {
        return Ok(());
    }
    let waiting = queue::waiting(pool).await?;
    if waiting > 0 {
        findings.warn(
            classify::SERVICE,
            format!("{waiting} documents are waiting for classification, but classify.enabled is false"),
            "set classify.enabled=true and run `syncctl classify cron`; if it is off for good, ignore this: waiting documents do no harm",
        );
    }
    Ok(())
}

/// Reports calendars whose instances are not rolled on, so that agendas miss future events.
pub async fn instances(pool: &Pool, settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    const CHECK: &str = "instances";
    let behind = roll::behind(pool, &settings.calendar).await?;
    if behind > 0 {
        let message = format!("calendar_instances of {behind} calendars are incomplete or end too early: agendas miss events");
        findings.warn(CHECK, message, "run `syncctl calendar roll-instances` daily (crontab.example)");
    } else {
        findings.ok(CHECK, "calendar_instances reach far enough");
    }
    Ok(())
}

/// Reports mailboxes whose labels have not been listed for a day, so that their names may be outdated. Mail is not affected.
pub async fn labels(pool: &Pool, findings: &mut Findings) -> anyhow::Result<()> {
    const CHECK: &str = "labels";
    let labels::Unlisted { mailboxes, example } = labels::unlisted(pool).await?;
    let Some(labels::Example { email, since, class, message }) = example else {
        findings.ok(CHECK, "those of every mailbox can be listed");
        return Ok(());
    };
    let remedy = Class::from_name(&class).map_or("read the message", Class::remedy);
    findings.warn(
        CHECK,
        format!(
            "{mailboxes} mailboxes could not list their labels for more than a day: names of labels may be missing or outdated; \
             {email} since {}: {message}",
            since.format("%F %R UTC")
        ),
        format!("{remedy}; they are listed again every hour"),
    );
    Ok(())
}

/// Checks what is left of the quotas, by project.
pub async fn quota(pool: &Pool, settings: &Settings, findings: &mut Findings) -> anyhow::Result<()> {
    const CHECK: &str = "quota";
    let spent = health::quota(pool).await?;
    let mut good = 0;
    for spent in &spent {
        let (service, project) = (&spent.service, &spent.project);
        let Some(limits) = registry::find(service).map(|service| (service.limits)(&settings.quota)) else { continue };
        let share = |units: i64, limit: u64| units as f64 / limit as f64;
        let (day, minute) = (share(spent.day, limits.per_day), share(spent.minute, limits.project_per_minute));
        if let Some((until, why)) = &spent.paused {
            findings.fail(
                CHECK,
                format!("{service}, project {project}: paused until {}: {why}", until.format("%F %R UTC")),
                Class::DailyQuota.remedy(),
            );
        } else if day > QUOTA_WARN {
            findings.warn(
                CHECK,
                format!("{service}, project {project}: {:.0} % of the day's units are spent", day * 100.0),
                Class::DailyQuota.remedy(),
            );
        } else if minute > QUOTA_WARN {
            findings.warn(
                CHECK,
                format!(
                    "{service}, project {project}: {:.0} % of a minute's units were spent in the last minute",
                    minute * 100.0
                ),
                Class::RateLimited.remedy(),
            );
        } else {
            good += 1;
        }
    }
    if good == spent.len() {
        findings.ok(
            CHECK,
            if good == 0 { "nothing spent today".into() } else { format!("more than a fifth is left of each of {good}") },
        );
    }
    Ok(())
}
