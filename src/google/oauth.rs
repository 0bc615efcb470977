//! Access tokens from Google's token endpoint, for the two kinds of credentials that syncctl takes.

use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls_platform_verifier::ConfigVerifierExt as _;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;
use yup_oauth2::authenticator::ServiceAccountAuthenticator;
use yup_oauth2::client::CustomHyperClientBuilder;
use yup_oauth2::error::{AuthError, AuthErrorCode};

use super::{Client, Host, classify};
use crate::error::{Class, Failure};
use crate::http::without_addresses;

/// Credentials as Google's tools write them, with the subject of a delegation beside them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Credentials {
    /// A person's grant to an OAuth client.
    AuthorizedUser {
        /// OAuth client.
        client_id: String,
        /// Its secret.
        client_secret: String,
        /// The grant.
        refresh_token: String,
        /// Token endpoint; absent: Google's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token_uri: Option<String>,
    },
    /// A service account that acts for people of its domain.
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

    /// The Google project whose quota the calls count against: a client id begins with its number.
    pub fn project(&self) -> String {
        match self {
            Self::AuthorizedUser { client_id, .. } => client_id.split(['-', '.']).next().unwrap_or(client_id).to_owned(),
            Self::ServiceAccount { key } => key.get("project_id").and_then(|id| id.as_str()).unwrap_or("unknown").to_owned(),
        }
    }

    /// What is missing or malformed, before anything is stored.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::AuthorizedUser { client_id, refresh_token, token_uri, .. } => {
                if client_id.is_empty() || refresh_token.is_empty() {
                    return Some("client_id and refresh_token must not be empty".into());
                }
                token_uri.as_deref().and_then(not_an_address)
            }
            Self::ServiceAccount { key } => {
                for field in ["client_email", "private_key", "token_uri"] {
                    if key.get(field).and_then(|value| value.as_str()).is_none_or(str::is_empty) {
                        return Some(format!("a service account key needs {field}"));
                    }
                }
                key.get("token_uri").and_then(|uri| uri.as_str()).and_then(not_an_address)
            }
        }
    }
}

fn not_an_address(uri: &str) -> Option<String> {
    match Url::parse(uri) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => None,
        _ => Some(format!("token_uri is not an http(s) address: {uri:?}")),
    }
}

/// A fresh access token.
pub struct AccessToken {
    /// The bearer token.
    pub secret: SecretString,
    /// How long it lives.
    pub lives: Duration,
}

/// Asks the credential's token endpoint for an access token. `subject`: the person a service account acts for. `age`: for how long the
/// credential is known here, which says why a grant may have died.
///
/// # Errors
/// `AuthRevoked` when the endpoint refuses the grant, `Transient` or `RateLimited` when another try may do.
pub async fn refresh(
    client: &Client,
    credentials: &Credentials,
    subject: &str,
    scopes: &[&str],
    age: Duration,
) -> Result<AccessToken, Failure> {
    match credentials {
        Credentials::AuthorizedUser { client_id, client_secret, refresh_token, token_uri } => {
            let url = match token_uri {
                Some(uri) => Url::parse(uri).map_err(|_| Failure::new(Class::AuthRevoked, "token_uri is not an address"))?,
                None => client.default_token_uri().map_err(Failure::from)?,
            };
            // Not yup-oauth2 here: its refresh hard-wires or hides the endpoint's answer, and invalid_grant must be told from a bad minute.
            let form = [
                ("grant_type", "refresh_token"),
                ("client_id", client_id.as_str()),
                ("client_secret", client_secret.as_str()),
                ("refresh_token", refresh_token.as_str()),
            ];
            let (status, retry_after, body) = client.post_form("token", url, &form).await?;
            token_of(status, retry_after.as_deref(), &body, age)
        }
        Credentials::ServiceAccount { key } => service_account(client, key, subject, scopes).await,
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default = "an_hour")]
    expires_in: u64,
}

fn an_hour() -> u64 {
    3600
}

fn token_of(status: u16, retry_after: Option<&str>, body: &[u8], age: Duration) -> Result<AccessToken, Failure> {
    if status == 200 {
        // A cut answer is no verdict on the grant.
        let granted: Granted = serde_json::from_slice(body)
            .map_err(|_| Failure::new(Class::Transient, "token: the answer was cut or is no token"))?;
        return Ok(AccessToken {
            secret: SecretString::from(granted.access_token),
            lives: Duration::from_secs(granted.expires_in),
        });
    }
    match serde_json::from_slice::<AuthError>(body) {
        Ok(error) if (400..500).contains(&status) && status != 429 => Err(refused(&error, grant_hint(&error.error, age))),
        _ => {
            let failure = classify("token", status, retry_after, body, chrono::Utc::now());
            // Only the endpoint's own verdict condemns a grant.
            let class = if failure.class == Class::RateLimited { Class::RateLimited } else { Class::Transient };
            Err(Failure { class, ..failure })
        }
    }
}

fn refused(error: &AuthError, hint: &str) -> Failure {
    let said = error.error_description.as_deref().map(|said| format!(" ({})", without_addresses(said))).unwrap_or_default();
    Failure::new(Class::AuthRevoked, format!("token: {}{said}: {hint}", error.error.as_str()))
}

/// Grants of a consent screen in "Testing" live a week; a day more, because nobody looks at the very moment.
const TESTING: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// What to do about a person's grant that is refused, by its age.
fn grant_hint(error: &AuthErrorCode, age: Duration) -> &'static str {
    match error.as_str() {
        "invalid_grant" if age < TESTING => {
            "the grant ended within 8 days of the consent. If the OAuth consent screen is in \"Testing\", Google ends every grant after 7 days: publish it, then `syncctl accounts login` again. Otherwise the user revoked it"
        }
        "invalid_grant" => {
            "the grant has ended: the user revoked it, it was not used for 6 months, the password was changed (which ends grants for Gmail), or over 100 newer ones pushed it out; `syncctl accounts login` again"
        }
        "invalid_client" => "the OAuth client id or secret is wrong; log in or import the account again",
        _ => "the token endpoint refused the credentials",
    }
}

/// What to do about a service account that is refused.
fn key_hint(error: &AuthErrorCode) -> &'static str {
    match error.as_str() {
        "unauthorized_client" => {
            "the service account may not act for this user; allow its client id and the scopes under domain-wide delegation, then `syncctl accounts check`"
        }
        "invalid_grant" => {
            "the user does not exist any more, or the key was deleted; `syncctl accounts check` once that is mended"
        }
        _ => "the token endpoint refused the service account",
    }
}

/// Whether Google refuses the time at which this machine asks, which says nothing of the key and of those whom it acts for: other hosts do well.
fn is_of_another_time(error: &AuthError) -> bool {
    error.error_description.as_deref().is_some_and(|said| said.contains("reasonable timeframe"))
}

fn wrong_clock(error: &AuthError) -> Failure {
    let said = error.error_description.as_deref().map(without_addresses).unwrap_or_default();
    Failure::new(Class::Permanent, format!("token: this machine's clock is wrong: set it by the network's time ({said})"))
}

/// Ends a person's grant at Google, with everything that was allowed to the same client. False: Google knew it no more.
///
/// # Errors
/// `Transient` or `RateLimited`: it may still live.
pub async fn revoke(client: &Client, refresh_token: &str) -> Result<bool, Failure> {
    let url = client.url(Host::OAuth, &["revoke"])?;
    let (status, retry_after, body) = client.post_form("revoke", url, &[("token", refresh_token)]).await?;
    match serde_json::from_slice::<AuthError>(&body) {
        _ if status == 200 => Ok(true),
        Ok(error) if status == 400 && matches!(error.error.as_str(), "invalid_token" | "invalid_grant") => Ok(false),
        _ => Err(classify("revoke", status, retry_after.as_deref(), &body, chrono::Utc::now())),
    }
}

async fn service_account(
    client: &Client,
    key: &serde_json::Map<String, serde_json::Value>,
    subject: &str,
    scopes: &[&str],
) -> Result<AccessToken, Failure> {
    let key: yup_oauth2::ServiceAccountKey = serde_json::from_value(serde_json::Value::Object(key.clone()))
        .map_err(|error| Failure::new(Class::AuthRevoked, format!("the service account key is malformed: {error}")))?;
    let tls = rustls::ClientConfig::with_platform_verifier()
        .map_err(|error| Failure::new(Class::Internal, format!("loading root certificates: {error}")))?;
    let connector: hyper_rustls::HttpsConnector<HttpConnector> =
        hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build(connector);
    let authenticator = ServiceAccountAuthenticator::with_client(key, CustomHyperClientBuilder::from(http))
        .subject(subject)
        .build()
        .await
        .map_err(|error| Failure::new(Class::AuthRevoked, format!("the service account key cannot be used: {error}")))?;
    let transient = |what: &str| Failure::new(Class::Transient, format!("token: {what}"));
    let token = tokio::time::timeout(client.timeout(), authenticator.token(scopes))
        .await
        .map_err(|_| transient("timed out"))?
        .map_err(|error| match error {
            yup_oauth2::Error::AuthError(error) if is_of_another_time(&error) => wrong_clock(&error),
            yup_oauth2::Error::AuthError(error) => refused(&error, key_hint(&error.error)),
            yup_oauth2::Error::JSONError(_) => transient("the answer was cut or is no token"),
            error => transient(&error.to_string()),
        })?;
    let secret = token.token().ok_or_else(|| transient("the answer holds no token"))?;
    let lives = token
        .expiration_time()
        .and_then(|at| Duration::try_from(at - time::OffsetDateTime::now_utc()).ok())
        .unwrap_or(Duration::from_secs(an_hour()));
    Ok(AccessToken { secret: SecretString::from(secret.to_owned()), lives })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dead(age: Duration) -> String {
        let body = br#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#;
        token_of(400, None, body, age).err().expect("refused").message
    }

    #[test]
    fn a_grant_that_died_young_hints_at_a_consent_screen_in_testing_and_an_old_one_does_not() {
        let day = Duration::from_secs(24 * 60 * 60);
        assert!(dead(7 * day).contains("\"Testing\""), "{}", dead(7 * day));
        let old = dead(8 * day);
        assert!(!old.contains("Testing") && old.contains("6 months") && old.contains("password"), "{old}");
    }
}
