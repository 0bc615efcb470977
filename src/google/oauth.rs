//! Fetches access tokens from Google's token endpoint, for the two kinds of credentials that syncctl accepts.

use std::time::Duration;

use chrono::Utc;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;
use yup_oauth2::ServiceAccountKey;
use yup_oauth2::error::AuthError;

use super::verdict::{self, GrantHistory, Whose};
use super::{Client, Host, assertion, classify, endpoint};
use crate::error::{Class, Failure};

/// Credentials as written by Google's tools; the subject of a delegation is stored separately.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Credentials {
    /// A user's grant to an OAuth client.
    AuthorizedUser {
        /// OAuth client.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// The grant.
        refresh_token: String,
        /// Token endpoint; absent for Google's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_uri: Option<String>,
    },
    /// A service account that acts for users of its domain.
    ServiceAccount {
        /// The key file's other fields.
        #[serde(flatten)]
        key: serde_json::Map<String, serde_json::Value>,
    },
}

impl Credentials {
    /// `accounts.kind`
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AuthorizedUser { .. } => "authorized_user",
            Self::ServiceAccount { .. } => "service_account",
        }
    }

    /// The Google project whose quota the calls count against: a client id begins with the project's number.
    pub fn project(&self) -> String {
        match self {
            Self::AuthorizedUser { client_id, .. } => client_id.split(['-', '.']).next().unwrap_or(client_id).to_owned(),
            Self::ServiceAccount { key } => key.get("project_id").and_then(|id| id.as_str()).unwrap_or("unknown").to_owned(),
        }
    }

    /// The client id that an administrator enters to allow a service account to act for users; `None` for a user's credentials, or a key without one.
    pub fn client_id(&self) -> Option<String> {
        match self {
            Self::AuthorizedUser { .. } => None,
            Self::ServiceAccount { key } => key.get("client_id").and_then(|id| id.as_str()).map(str::to_owned),
        }
    }

    /// Checks the credentials before anything is stored; returns what is missing, malformed or not allowed.
    pub fn problem(&self, client: &Client) -> Option<String> {
        let not_allowed = |uri: &str| client.token_endpoint(uri).err();
        match self {
            Self::AuthorizedUser { client_id, refresh_token, token_uri, .. } => {
                if client_id.is_empty() || refresh_token.is_empty() {
                    return Some("client_id and refresh_token must not be empty".into());
                }
                token_uri.as_deref().and_then(not_allowed)
            }
            Self::ServiceAccount { key } => {
                for field in ["client_email", "private_key", "token_uri"] {
                    if key.get(field).and_then(|value| value.as_str()).is_none_or(str::is_empty) {
                        return Some(format!("a service account key needs {field}"));
                    }
                }
                key.get("token_uri").and_then(|uri| uri.as_str()).and_then(not_allowed)
            }
        }
    }
}

/// A fresh access token.
pub struct AccessToken {
    /// The bearer token.
    pub secret: SecretString,
    /// Lifetime of the token.
    pub lives: Duration,
    /// The scopes of a user's grant, separated by spaces, if the endpoint names them.
    pub granted: Option<String>,
}

/// Requests an access token from the credential's token endpoint. `subject`: the user that a service account acts for. `known`: the history of the
/// credential, which explains why a grant may have ended and whether a refusal is permanent.
///
/// # Errors
/// Returns `AuthRevoked` if the endpoint permanently refuses the grant, `ClientRefused` if it may still be allowed, and `Transient` or `RateLimited` if the
/// response says nothing about the grant.
pub async fn refresh(
    client: &Client,
    credentials: &Credentials,
    subject: &str,
    scopes: &[&str],
    known: GrantHistory,
) -> Result<AccessToken, Failure> {
    // Not with yup-oauth2's flows: they hide the endpoint's status, and open their own connections, which ignore the proxy.
    match credentials {
        Credentials::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => {
            let url = match token_uri {
                Some(uri) => address(client, uri)?,
                None => client.default_token_uri().map_err(Failure::from)?,
            };
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", client_id.as_str()),
                ("client_secret", client_secret.as_str()),
                ("refresh_token", refresh_token.as_str()),
            ];
            token(client, url, &form, Whose::Person, known).await
        }
        Credentials::ServiceAccount { key } => {
            let key: ServiceAccountKey = serde_json::from_value(serde_json::Value::Object(key.clone()))
                .map_err(|error| unusable(&format!("the service account key is malformed: {error}")))?;
            let assertion = assertion::signed(&key, subject, scopes, Utc::now().timestamp())
                .map_err(|why| unusable(&format!("the service account key cannot be used: {why}")))?;
            let form = [("grant_type", assertion::GRANT_TYPE), ("assertion", assertion.as_str())];
            token(client, address(client, &key.token_uri)?, &form, Whose::Domain, known).await
        }
    }
}

/// Also checks credentials that were stored under other settings, or by a version that allowed any endpoint.
fn address(client: &Client, uri: &str) -> Result<Url, Failure> {
    client.token_endpoint(uri).map_err(|why| unusable(&format!("{why}; fix that, then run `syncctl accounts check --all`")))
}

/// The failure of credentials that cannot work at any endpoint.
fn unusable(what: &str) -> Failure {
    Failure::new(Class::AuthRevoked, what)
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default = "an_hour")]
    expires_in: u64,
    scope: Option<String>,
}

fn an_hour() -> u64 {
    3600
}

/// Maximum lifetime assumed for a token, in seconds.
const LONGEST: u64 = 24 * 60 * 60;

async fn token(
    client: &Client,
    url: Url,
    form: &[(&str, &str)],
    whose: Whose,
    known: GrantHistory,
) -> Result<AccessToken, Failure> {
    let (status, retry_after, body) = client.post_form("token", url, form).await?;
    granted((status, retry_after.as_deref(), &body), whose, known)
}

/// The token in a response: status, `Retry-After` and body.
pub(super) fn granted(answer: (u16, Option<&str>, &[u8]), whose: Whose, known: GrantHistory) -> Result<AccessToken, Failure> {
    let (status, _, body) = answer;
    if status != 200 {
        return Err(verdict::verdict(answer, whose, known));
    }
    // A truncated response is not a verdict on the grant.
    let granted: Granted = serde_json::from_slice(body)
        .map_err(|_| Failure::new(Class::Transient, "token: the response was truncated or is not a token"))?;
    if !endpoint::is_token(&granted.access_token) {
        return Err(Failure::new(Class::Transient, "token: the access token in the endpoint's response is not valid (RFC 6750)"));
    }
    let lives = Duration::from_secs(granted.expires_in.min(LONGEST));
    let scopes = granted.scope.filter(|_| whose == Whose::Person);
    Ok(AccessToken { secret: SecretString::from(granted.access_token), lives, granted: scopes })
}

/// Revokes a user's grant at Google, with everything that was allowed to the same client. False if Google no longer knew it.
///
/// # Errors
/// Returns `Transient` or `RateLimited` if the grant may still be valid.
pub async fn revoke(client: &Client, refresh_token: &str) -> Result<bool, Failure> {
    let url = client.url(Host::OAuth, &["revoke"])?;
    let (status, retry_after, body) = client.post_form("revoke", url, &[("token", refresh_token)]).await?;
    match serde_json::from_slice::<AuthError>(&body) {
        _ if status == 200 => Ok(true),
        Ok(error) if status == 400 && matches!(error.error.as_str(), "invalid_token" | "invalid_grant") => Ok(false),
        _ => Err(classify("revoke", status, retry_after.as_deref(), &body, chrono::Utc::now())),
    }
}
