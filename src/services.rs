//! The services: one folder and one registry entry each. Services do not depend on each other.

pub mod attendee;
pub mod calendar;
pub mod classify;
pub mod drive;
pub mod gmail;

use google_apis_common::GetToken;

use crate::config::Settings;
use crate::db::classify::classified::CLASSIFIED;
use crate::db::classify::offers::UNDECIDED;
use crate::error::{Class, Failure};
use crate::google::{self, Host};

/// What `accounts` needs to know about a service to add a user.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    /// `streams.service`
    pub service: &'static str,
    /// Kind of the stream that every user has. It creates the others.
    pub root_kind: &'static str,
    /// The narrowest OAuth scope that suffices.
    pub scope: &'static str,
    /// Whether the settings enable it.
    pub enabled: fn(&Settings) -> bool,
    /// SQL that lists when its streams changed, for `db::change_times`.
    pub change_times: &'static str,
    /// A cheap call that shows whether access is granted.
    pub probe: Probe,
}

/// A GET request that every user of a service may make. Its response identifies the user.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// Google's name for the method.
    pub method: &'static str,
    pub host: Host,
    pub path: &'static [&'static str],
    pub fields: &'static str,
    /// JSON pointer to the user's address in the response.
    pub address: &'static str,
}

impl Probe {
    /// Makes the call and returns the address of the token's owner.
    ///
    /// # Errors
    /// Returns the failures of `google::Client::get`, and a permanent failure if the response contains no address.
    pub async fn probe(&self, google: &google::Client, token: &dyn GetToken, scope: &str) -> Result<String, Failure> {
        let mut url = google.url(self.host, self.path)?;
        url.query_pairs_mut().append_pair("fields", self.fields);
        let body = google.get(self.method, token, scope, url).await?;
        let answer: serde_json::Value = google::parse_json(self.method, &body)?;
        let address = answer.pointer(self.address).and_then(|address| address.as_str()).filter(|address| address.contains('@'));
        address.map(str::to_owned).ok_or_else(|| {
            Failure::new(Class::Permanent, format!("{}: the response has no address at {}", self.method, self.address))
        })
    }
}

/// All Google services.
pub static REGISTRY: [Registered; 3] = [calendar::REGISTERED, drive::REGISTERED, gmail::REGISTERED];

/// The services that the settings enable.
pub fn enabled(settings: &Settings) -> impl Iterator<Item = &'static Registered> {
    REGISTRY.iter().filter(|service| (service.enabled)(settings))
}

/// The types of all outbox events.
pub fn event_types() -> Vec<&'static str> {
    [drive::EVENTS.as_slice(), &gmail::EVENTS, &attendee::EVENTS, &[CLASSIFIED, UNDECIDED]].concat()
}

/// The OAuth scopes that a token needs.
pub fn scopes(settings: &Settings) -> Vec<&'static str> {
    enabled(settings).map(|service| service.scope).collect()
}
