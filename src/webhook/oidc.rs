//! Verification of Google identity tokens: signature, audience and service account.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

use super::Outcome;
use crate::google::{Keys, rs256};

/// Verifies tokens.
pub struct Verifier {
    keys: Keys,
    validation: Validation,
    email: String,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    email: String,
    #[serde(default)]
    email_verified: bool,
}

impl Verifier {
    /// Accepts tokens for this audience from this service account.
    pub fn new(keys_url: &str, audience: &str, email: &str) -> Self {
        rs256::install();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&["https://accounts.google.com", "accounts.google.com"]);
        // Reject tokens before their `nbf` time, if they have one.
        validation.validate_nbf = true;
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        Self { keys: Keys::at(keys_url), validation, email: email.to_owned() }
    }

    /// Verifies a token.
    pub async fn check(&self, token: &str) -> Result<(), Outcome> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Outcome::Refused)?;
        let id = header.kid.filter(|_| header.alg == Algorithm::RS256).ok_or(Outcome::Refused)?;
        let key = self.keys.find(&id).await.map_err(|_| Outcome::Unavailable)?;
        let key = DecodingKey::from_jwk(&key.ok_or(Outcome::Refused)?).map_err(|_| Outcome::Refused)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation).map_err(|_| Outcome::Refused)?.claims;
        if claims.email_verified && claims.email == self.email { Ok(()) } else { Err(Outcome::Refused) }
    }
}

/// Parses an untrusted token, for `crate::fuzz`.
pub(super) fn read_any(token: &str) -> bool {
    rs256::install();
    let key = DecodingKey::from_rsa_raw_components(&[0xa5; 256], &[1, 0, 1]);
    jsonwebtoken::decode_header(token).is_ok()
        && jsonwebtoken::decode::<Claims>(token, &key, &Validation::new(Algorithm::RS256)).is_ok()
}
