//! The services: one folder each, one line each in the registry. No folder knows another.

pub mod calendar;

/// What `accounts` must know of a service to bring a new user in.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    /// `streams.service`
    pub service: &'static str,
    /// The stream that every user has; it brings up the others.
    pub root_kind: &'static str,
    /// The least OAuth scope that does.
    pub scope: &'static str,
}

/// Every service.
pub const REGISTRY: [Registered; 1] = [calendar::REGISTERED];

/// The scopes that a token must carry.
pub fn scopes() -> Vec<&'static str> {
    REGISTRY.iter().map(|service| service.scope).collect()
}
