//! The assertion with which a service account requests a token on behalf of a user of its domain (RFC 7523, Google's "server to server" guide).

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;
use yup_oauth2::ServiceAccountKey;

use super::rs256;

/// `grant_type` of a request with an assertion.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Maximum lifetime that Google accepts, in seconds.
const MAX_LIFETIME: i64 = 3600;

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    scope: String,
    /// The token endpoint named in the key.
    aud: &'a str,
    iat: i64,
    exp: i64,
}

/// A signed assertion for `subject`, as of `now` in seconds since 1970.
///
/// # Errors
/// Returns why the key cannot sign.
pub fn signed(key: &ServiceAccountKey, subject: &str, scopes: &[&str], now: i64) -> Result<String, String> {
    rs256::install();
    let private = PrivateKeyDer::from_pem_slice(key.private_key.as_bytes()).map_err(|_| "private_key is not PEM")?;
    let header = Header { kid: key.private_key_id.clone(), ..Header::new(Algorithm::RS256) };
    let claims = Claims {
        iss: &key.client_email,
        sub: subject,
        scope: scopes.join(" "),
        aud: &key.token_uri,
        iat: now,
        exp: now + MAX_LIFETIME,
    };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_rsa_der(private.secret_der())).map_err(|error| error.to_string())
}
