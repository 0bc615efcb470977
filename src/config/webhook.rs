//! Settings of the webhook intake: who may announce changes, and how much it takes on. Knows no network.

use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::BASE64;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::expose;

/// What `syncctl webhook serve` takes.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Connections at once; further ones are closed as they come.
    pub max_connections: u32,
    /// Connections of one address at once (IPv6: of one /64). Behind a proxy all of them are the proxy's.
    pub max_connections_per_address: u32,
    /// How long a connection lives; requests in hand are finished.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub connection_life: Duration,
    /// Address on which `/healthz` and `/metrics` are served, such as 127.0.0.1:9091; empty: where notifications are.
    pub status_listen: String,
    /// How long a notification is remembered, so that a second delivery of it does nothing.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub keep: Duration,
    /// Gmail: what Pub/Sub's tokens are issued for, as the push subscription says; empty: tokens are not accepted.
    pub oidc_audience: String,
    /// Gmail: the service account that Pub/Sub signs as.
    pub oidc_email: String,
    /// Where Google's keys for such tokens are.
    pub keys_url: String,
    /// Gmail: a secret in the push address instead, as `?token=`; empty: not accepted.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    pub gmail_token: SecretString,
    /// Attendee: its webhook secret, in base64 as it shows it; empty: nothing is accepted.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    pub attendee_secret: SecretString,
    /// Classification: the key by which programs sign what they decide of undecided documents (`document.undecided`); empty: none is told of them.
    #[serde(serialize_with = "expose")]
    #[schemars(with = "String")]
    pub classify_secret: SecretString,
}

impl Default for Webhook {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_connections_per_address: 256,
            connection_life: Duration::from_secs(super::MINUTE),
            status_listen: String::new(),
            keep: Duration::from_secs(7 * super::DAY),
            oidc_audience: String::new(),
            oidc_email: String::new(),
            keys_url: "https://www.googleapis.com/oauth2/v3/certs".into(),
            gmail_token: SecretString::default(),
            attendee_secret: SecretString::default(),
            classify_secret: SecretString::default(),
        }
    }
}

impl Webhook {
    /// Whether programs are told of documents that stay undecided, and may decide on them.
    pub fn lets_programs_decide(&self) -> bool {
        !self.classify_secret.expose_secret().is_empty()
    }

    /// Bounds that types cannot say: whether each holds, its key, and what it must be.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 9] {
        let token = self.gmail_token.expose_secret();
        let classify = self.classify_secret.expose_secret();
        [
            ((1..=100_000).contains(&self.max_connections), "webhook.max_connections", "1 to 100000"),
            (self.max_connections_per_address >= 1, "webhook.max_connections_per_address", "1 or more"),
            (self.connection_life >= Duration::from_secs(1), "webhook.connection_life", "1s or more"),
            (
                self.status_listen.is_empty() || self.status_listen.parse::<SocketAddr>().is_ok(),
                "webhook.status_listen",
                "an address and a port, such as 127.0.0.1:9091",
            ),
            // Anybody's service account may have a token for any audience.
            (
                self.oidc_audience.is_empty() || !self.oidc_email.is_empty(),
                "webhook.oidc_email",
                "set where webhook.oidc_audience is: the service account of the push subscription",
            ),
            (Url::parse(&self.keys_url).is_ok_and(|url| url.has_host()), "webhook.keys_url", "an http or https URL"),
            (token.is_empty() || token.len() >= 16, "webhook.gmail_token", "16 characters or more"),
            (BASE64.decode(self.attendee_secret.expose_secret().as_bytes()).is_ok(), "webhook.attendee_secret", "base64"),
            (classify.is_empty() || classify.len() >= 16, "webhook.classify_secret", "16 characters or more"),
        ]
    }
}
