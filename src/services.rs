//! The services: one folder each, one line each in the registry. No folder knows another.

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

/// A GET that every user of a service may make, whose answer says who they are.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    /// As Google names the method.
    pub method: &'static str,
    pub host: Host,
    pub path: &'static [&'static str],
    pub fields: &'static str,
    /// Where in the answer the address stands, as a JSON pointer.
    pub address: &'static str,
}

impl Probe {
    /// Makes the call; answers whose token it is.
    ///
    /// # Errors
    /// As `google::Client::get`.
    pub async fn probe(&self, google: &google::Client, token: &dyn GetToken, scope: &str) -> Result<String, Failure> {
        let mut url = google.url(self.host, self.path)?;
        url.query_pairs_mut().append_pair("fields", self.fields);
        let body = google.get(self.method, token, scope, url).await?;
        let answer: serde_json::Value = google::parse_json(self.method, &body)?;
        let address = answer.pointer(self.address).and_then(|address| address.as_str()).filter(|address| address.contains('@'));
        address.map(str::to_owned).ok_or_else(|| {
            Failure::new(Class::Permanent, format!("{}: the answer has no address at {}", self.method, self.address))
        })
    }
}

/// Every service.
pub static REGISTRY: [Registered; 3] = [calendar::REGISTERED, drive::REGISTERED, gmail::REGISTERED];

/// The services that the settings want.
pub fn enabled(settings: &Settings) -> impl Iterator<Item = &'static Registered> {
    REGISTRY.iter().filter(|service| (service.enabled)(settings))
}

/// The types of all events that go to the outbox.
pub fn event_types() -> Vec<&'static str> {
    [drive::EVENTS.as_slice(), &gmail::EVENTS, &attendee::EVENTS, &[CLASSIFIED, UNDECIDED]].concat()
}

/// The scopes that a token must carry.
pub fn scopes(settings: &Settings) -> Vec<&'static str> {
    enabled(settings).map(|service| service.scope).collect()
}
