//! Determines which jobs the settings require. Pure.

use crate::config::Settings;
use crate::services::registry;

/// Whether a job is optional: installed, but not started by any schedule.
pub(super) fn is_optional(command: &str) -> bool {
    // `sync` replaces jobs that are started.
    matches!(command.split_whitespace().next(), Some("metrics" | "sync"))
}

/// Whether a schedule should include this job. `command` is the command line after `syncctl`.
pub(super) fn is_required(settings: &Settings, command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        _ if is_optional(command) => false,
        ["deliver", ..] => !settings.outbox.targets.is_empty(),
        ["webhook", ..] => {
            let mut addresses = registry::SERVICES.iter().map(|service| service.push_address(&settings.push));
            takes_notifications(settings) || addresses.any(|address| !address.is_empty())
        }
        [service, verb, ..] => registry::find(service).is_none_or(|service| {
            let needs_address = matches!(*verb, "renew-watches" | "renew-webhooks");
            (service.enabled)(settings) && (!needs_address || !service.push_address(&settings.push).is_empty())
        }),
        _ => true,
    }
}

/// Whether callers other than Google's channels send notifications.
fn takes_notifications(settings: &Settings) -> bool {
    use secrecy::ExposeSecret as _;
    !settings.webhook.attendee_secret.expose_secret().is_empty() || settings.webhook.lets_programs_decide()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disabled_jobs_are_not_scheduled() {
        let mut settings = Settings::default();
        assert!(
            is_required(&settings, "gmail cron") && is_required(&settings, "attendee cron") && is_required(&settings, "db prune")
        );
        assert!(is_required(&settings, "report --html page.html") && is_optional("metrics --since 1h"));
        for not in [
            "metrics --since 1h",
            "sync cron",
            "gmail renew-watches",
            "calendar renew-webhooks",
            "webhook drain",
            "webhook serve",
            "deliver",
        ] {
            assert!(!is_required(&settings, not), "{not}");
        }
        settings.push.address = "https://sync.example.com".into();
        settings.gmail.enabled = false;
        settings.push.gmail_topic = "projects/p/topics/t".into();
        for required in ["calendar renew-watches", "drive renew-webhooks", "webhook serve"] {
            assert!(is_required(&settings, required), "{required}");
        }
        assert!(!is_required(&settings, "gmail cron") && !is_required(&settings, "gmail renew-watches"));
    }
}
