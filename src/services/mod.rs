//! The services: one folder each, one line each in the registry. No folder knows another.

pub mod calendar;
pub mod drive;

use crate::config::Settings;

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
}

/// Every service.
pub const REGISTRY: [Registered; 2] = [calendar::REGISTERED, drive::REGISTERED];

/// The scopes that a token must carry: those of the services that are enabled.
pub fn scopes(settings: &Settings) -> Vec<&'static str> {
    REGISTRY.iter().filter(|service| (service.enabled)(settings)).map(|service| service.scope).collect()
}
