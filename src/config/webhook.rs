//! Webhook intake settings: authentication of senders and connection limits.

use std::net::SocketAddr;
use std::time::Duration;

use data_encoding::BASE64;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

/// Notifications accepted by `syncctl webhook serve`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Maximum number of concurrent connections. Further ones are closed immediately.
    pub max_connections: u32,
    /// Maximum number of concurrent connections per client address (IPv6: per /64). Behind a proxy, all of them come from the proxy.
    pub max_connections_per_address: u32,
    /// Maximum lifetime of a connection. Requests in progress are finished.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub connection_life: Duration,
    /// Address for `/healthz` and `/metrics`, such as 127.0.0.1:9091. Empty: the address for notifications.
    pub status_listen: String,
    /// How long notifications are kept to detect duplicate deliveries.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub keep: Duration,
    /// Gmail: audience of the Pub/Sub tokens, as set in the push subscription. Empty: tokens are not accepted.
    pub oidc_audience: String,
    /// Gmail: service account of the Pub/Sub tokens.
    pub oidc_email: String,
    /// URL of Google's public keys for these tokens.
    pub keys_url: String,
    /// Gmail: alternatively, a secret in the push address, as `?token=`. Empty: not accepted.
    #[serde(serialize_with = "super::secrets::mask")]
    #[schemars(with = "String")]
    pub gmail_token: SecretString,
    /// Attendee: webhook secret, in base64 as Attendee displays it. Empty: its notifications are not accepted.
    #[serde(serialize_with = "super::secrets::mask")]
    #[schemars(with = "String")]
    pub attendee_secret: SecretString,
    /// Classification: key with which programs sign their decisions on undecided documents. Empty: no `document.undecided` events are sent and
    /// no decisions are accepted.
    #[serde(serialize_with = "super::secrets::mask")]
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
    /// Whether programs receive events for undecided documents and may decide on them.
    pub fn lets_programs_decide(&self) -> bool {
        !self.classify_secret.expose_secret().is_empty()
    }

    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
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
            // Any service account can obtain a token for any audience.
            (
                self.oidc_audience.is_empty() || !self.oidc_email.is_empty(),
                "webhook.oidc_email",
                "set if webhook.oidc_audience is set: the service account of the push subscription",
            ),
            (Url::parse(&self.keys_url).is_ok_and(|url| url.has_host()), "webhook.keys_url", "an http or https URL"),
            (token.is_empty() || token.len() >= 16, "webhook.gmail_token", "16 characters or more"),
            (BASE64.decode(self.attendee_secret.expose_secret().as_bytes()).is_ok(), "webhook.attendee_secret", "base64"),
            (classify.is_empty() || classify.len() >= 16, "webhook.classify_secret", "16 characters or more"),
        ]
    }
}
