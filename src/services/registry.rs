//! The registry: one line per service. Commands read it instead of naming services.

use super::Registered;
use super::attendee::Attendee;
use super::calendar::Calendar;
use super::classify::Classify;
use super::drive::Drive;
use super::entry::Entry;
use super::gmail::Gmail;
use crate::config::{EventTypes, Settings};
use crate::error::Fault;

/// All services, in the order in which they are run and printed.
pub static SERVICES: [Entry; 5] = [
    Entry::of::<Calendar>().verified::<Calendar>().watched::<Calendar>(),
    Entry::of::<Drive>().verified::<Drive>().watched::<Drive>(),
    Entry::of::<Gmail>().verified::<Gmail>().watched::<Gmail>(),
    Entry::of::<Attendee>().verified::<Attendee>(),
    Entry::of::<Classify>(),
];

/// The service of this name, such as `streams.service`.
pub fn find(name: &str) -> Option<&'static Entry> {
    SERVICES.iter().find(|service| service.name == name)
}

/// The service of a job, such as `calendar cron`.
pub fn of_job(job: &str) -> Option<&'static Entry> {
    job.split(' ').next().and_then(find)
}

/// The service whose streams these are.
///
/// # Errors
/// Returns a settings `Fault` if there is none: another version wrote the rows.
pub fn of_streams(name: &str) -> Result<&'static Entry, Fault> {
    find(name).ok_or_else(|| Fault::settings(format!("streams of {name}: this version has no such service")))
}

/// The names of the services that `is` selects.
pub fn names(is: impl Fn(&Entry) -> bool) -> Vec<&'static str> {
    SERVICES.iter().filter(|service| is(service)).map(|service| service.name).collect()
}

/// The services whose streams belong to accounts at Google.
pub fn of_google() -> impl Iterator<Item = &'static Entry> {
    SERVICES.iter().filter(|service| service.google.is_some())
}

/// What accounts need to know about each of Google's services.
pub fn registered() -> impl Iterator<Item = &'static Registered> {
    SERVICES.iter().filter_map(|service| service.google.as_ref())
}

/// The same, of those that the settings enable.
pub fn enabled(settings: &Settings) -> impl Iterator<Item = &'static Registered> {
    SERVICES.iter().filter(|service| (service.enabled)(settings)).filter_map(|service| service.google.as_ref())
}

/// The types of all outbox events.
pub fn event_types() -> Vec<EventTypes> {
    SERVICES.iter().map(|service| service.events).collect()
}

/// The OAuth scopes that a token needs.
pub fn scopes(settings: &Settings) -> Vec<&'static str> {
    enabled(settings).map(|service| service.scope).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Limits, Quota, QuotaProfile, of_passes};
    use crate::db::{erasure, retention};

    fn limits(service: &str, quota: &Quota) -> Limits {
        (find(service).expect("a service").limits)(quota)
    }

    #[test]
    fn each_profile_has_its_own_limits_and_a_setting_beats_both() {
        let new = Quota::default();
        let old = Quota { profile: QuotaProfile::Legacy, ..Quota::default() };
        let gmail = |quota: &Quota| (limits("gmail", quota).user_per_minute, limits("gmail", quota).per_day);
        assert_eq!(gmail(&new), (6_000, 80_000_000));
        assert_eq!(gmail(&old), (15_000, u64::MAX));
        for service in ["calendar", "drive"] {
            assert_eq!(limits(service, &new), limits(service, &old));
            assert_eq!(limits(service, &new).user_concurrency, 0);
        }
        assert_eq!(limits("gmail", &old).user_concurrency, 25);
        let seven = Limits { user_per_minute: 7, ..Limits::default() };
        let set = Quota { gmail: seven, attendee: seven, ..old.clone() };
        assert_eq!(limits("gmail", &set), Limits { user_per_minute: 7, ..limits("gmail", &old) });
        assert_eq!(limits("attendee", &set).user_per_minute, u64::MAX, "projects have no users");
    }

    #[test]
    fn the_run_tables_of_every_service_are_pruned_and_their_summaries_lose_erased_users() {
        for service in &SERVICES {
            for table in ["results", "metrics", "summaries"].map(|kind| format!("{}_cron_{kind}", service.name)) {
                assert!(retention::RULES.iter().any(|rule| rule.table == table), "no rule in db::retention for {table}");
            }
            let summaries = format!("{}_cron_summaries", service.name);
            assert!(erasure::SUMMARIES.contains(&summaries.as_str()), "{summaries} is missing in db::erasure");
        }
    }

    #[test]
    fn the_first_word_of_an_event_type_names_its_service() {
        let first = |kind: &'static str| kind.split('.').next();
        for (at, service) in SERVICES.iter().enumerate() {
            let others = SERVICES.iter().enumerate().filter(|(other, _)| *other != at);
            let others: Vec<&str> = others.flat_map(|(_, other)| other.events.all()).collect();
            for kind in service.events.all() {
                assert!(!others.iter().any(|other| first(other) == first(kind)), "{kind}: another service has such a type");
            }
            let both = service.events.opt_in.iter().filter(|kind| service.events.standard.contains(kind));
            assert_eq!(both.count(), 0, "{}", service.name);
        }
    }

    #[test]
    fn every_setting_of_passes_exists() {
        let settings = Settings::default();
        for service in &SERVICES {
            let values = of_passes(&settings, service.pass_settings).expect("settings");
            assert_eq!(values.len(), service.pass_settings.len(), "{}: {values:?}", service.name);
        }
    }

    #[test]
    fn names_are_unique_and_an_unknown_one_is_an_error() {
        let mut known = names(|_| true);
        known.sort_unstable();
        known.dedup();
        assert_eq!(known.len(), SERVICES.len());
        assert!(of_streams("drive").is_ok_and(|service| service.name == "drive"));
        assert!(of_streams("tasks").is_err_and(|fault| fault.message.contains("no such service")));
    }
}
