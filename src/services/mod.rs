//! The services: one folder each, one line each in the registry. No folder knows another.

pub mod attendee;
pub mod calendar;
pub mod drive;
pub mod gmail;

use crate::config::Settings;
use crate::google::Host;

/// What `accounts` must know of a service to bring a new user in.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    /// `streams.service`
    pub service: &'static str,
    /// The stream that every user has; it brings up the others.
    pub root_kind: &'static str,
    /// The least OAuth scope that does.
    pub scope: &'static str,
    /// Whether the settings want it.
    pub enabled: fn(&Settings) -> bool,
    /// Lists when its streams changed, for `db::change_times`.
    pub change_times: &'static str,
    /// A cheap call that shows whether the service may be used.
    pub probe: Probe,
}

/// A GET that every user of a service may make.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// As Google names the method.
    pub method: &'static str,
    pub host: Host,
    pub path: &'static [&'static str],
}

/// Every service.
pub static REGISTRY: [Registered; 3] = [calendar::REGISTERED, drive::REGISTERED, gmail::REGISTERED];

/// The services that the settings want.
pub fn enabled(settings: &Settings) -> impl Iterator<Item = &'static Registered> {
    REGISTRY.iter().filter(|service| (service.enabled)(settings))
}

/// The scopes that a token must carry.
pub fn scopes(settings: &Settings) -> Vec<&'static str> {
    enabled(settings).map(|service| service.scope).collect()
}
