//! Gmail notifications pushed by Pub/Sub: authentication and mailbox. No database access.

use axum::http::HeaderMap;
use data_encoding::{BASE64, BASE64URL};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::oidc::Verifier;
use super::writer::Arrived;
use super::{Outcome, is_key, text};
use crate::config::Webhook;

/// Authentication of Pub/Sub.
pub struct Authorization {
    token: Option<SecretString>,
    verifier: Option<Verifier>,
}

impl Authorization {
    /// From the settings. Without a secret and an audience, all requests are refused.
    pub fn new(settings: &Webhook) -> Self {
        Self {
            token: Some(settings.gmail_token.clone()).filter(|token| !token.expose_secret().is_empty()),
            verifier: (!settings.oidc_audience.is_empty())
                .then(|| Verifier::new(&settings.keys_url, &settings.oidc_audience, &settings.oidc_email)),
        }
    }

    /// Checks the secret in the query, or Google's token in the header.
    pub async fn check(&self, query: Option<&str>, headers: &HeaderMap) -> Result<(), Outcome> {
        let given = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()).find(|(name, _)| name == "token");
        if let (Some(token), Some((_, given))) = (&self.token, given) {
            // Compare hashes, which have equal length, so that timing does not reveal the length of the secret.
            let (ours, theirs) = (Sha256::digest(token.expose_secret().as_bytes()), Sha256::digest(given.as_bytes()));
            return if ours.ct_eq(&theirs).into() { Ok(()) } else { Err(Outcome::Refused) };
        }
        let bearer = text(headers, "authorization").and_then(bearer).ok_or(Outcome::Refused)?;
        self.verifier.as_ref().ok_or(Outcome::Refused)?.check(bearer).await
    }
}

/// The token of an authorization header. The scheme is case-insensitive (RFC 9110, 11.1) and followed by any number of spaces.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' '))
}

#[derive(Deserialize)]
struct Push {
    message: Message,
    subscription: String,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    data: String,
    #[serde(rename = "messageId")]
    id: String,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "emailAddress")]
    address: String,
}

/// Parses a push.
pub fn read(body: &[u8]) -> Result<Arrived, Outcome> {
    let push: Push = serde_json::from_slice(body).map_err(|_| Outcome::Malformed)?;
    let data = push.message.data.as_bytes();
    // Google documents base64url but sends plain base64.
    let data = BASE64.decode(data).or_else(|_| BASE64URL.decode(data)).map_err(|_| Outcome::Malformed)?;
    let data: Data = serde_json::from_slice(&data).map_err(|_| Outcome::Malformed)?;
    if ![&push.subscription, &push.message.id, &data.address].into_iter().all(|text| is_key(text)) {
        return Err(Outcome::Malformed);
    }
    Ok(Arrived::Mail { subscription: push.subscription, id: push.message.id, address: data.address.to_lowercase() })
}
