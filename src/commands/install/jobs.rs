//! Which jobs the settings call for. Pure.

use crate::config::Settings;

use super::super::any_service;

/// Whether a job is there for those who have a use for it, and started by no schedule that is installed.
pub(super) fn offered(command: &str) -> bool {
    // `sync` stands in place of jobs that are started.
    matches!(command.split_whitespace().next(), Some("metrics" | "sync"))
}

/// Whether a schedule should have this job; `command` is what stands after `syncctl`.
pub(super) fn wanted(settings: &Settings, command: &str) -> bool {
    let announced = |service: &str| match service {
        "gmail" => !settings.push.gmail_topic.is_empty(),
        service => !settings.push.address_of(service).is_empty(),
    };
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        _ if offered(command) => false,
        ["deliver", ..] => !settings.outbox.targets.is_empty(),
        ["webhook", ..] => takes_notifications(settings) || ["calendar", "gmail"].into_iter().any(announced),
        ["classify", ..] => settings.classify.enabled,
        [service, verb, ..] => {
            let enabled = any_service::services(settings).into_iter().all(|(name, enabled)| name != *service || enabled);
            enabled && (!matches!(*verb, "renew-watches" | "renew-webhooks") || announced(service))
        }
        _ => true,
    }
}

/// Whether somebody other than Google's channels calls.
fn takes_notifications(settings: &Settings) -> bool {
    use secrecy::ExposeSecret as _;
    !settings.webhook.attendee_secret.expose_secret().is_empty() || settings.webhook.lets_programs_decide()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_is_not_scheduled() {
        let mut settings = Settings::default();
        assert!(wanted(&settings, "gmail cron") && wanted(&settings, "attendee cron") && wanted(&settings, "db prune"));
        assert!(wanted(&settings, "report --html page.html") && offered("metrics --since 1h"));
        for not in [
            "metrics --since 1h",
            "sync cron",
            "gmail renew-watches",
            "calendar renew-webhooks",
            "webhook drain",
            "webhook serve",
            "deliver",
        ] {
            assert!(!wanted(&settings, not), "{not}");
        }
        settings.push.address = "https://sync.example.com".into();
        settings.gmail.enabled = false;
        settings.push.gmail_topic = "projects/p/topics/t".into();
        for so in ["calendar renew-watches", "drive renew-webhooks", "webhook serve"] {
            assert!(wanted(&settings, so), "{so}");
        }
        assert!(!wanted(&settings, "gmail cron") && !wanted(&settings, "gmail renew-watches"));
    }
}
