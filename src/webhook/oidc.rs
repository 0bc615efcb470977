//! Identity tokens of Google: whether one was signed by Google, for us, as the account that pushes. Knows no request.

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Verifier as Verifies};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;

use super::Outcome;
use crate::google::Keys;

/// What a token must say.
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
    /// Tokens for this audience, of this service account.
    pub fn new(keys_url: &str, audience: &str, email: &str) -> Self {
        static PROVIDER: CryptoProvider = CryptoProvider {
            signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
            verifier_factory: rsa,
            key_utils: KeyUtils::new_unimplemented(),
        };
        // The only one of this process: that it is there already is no failure.
        let _ = PROVIDER.install_default();
        let mut validation = Validation::new(Algorithm::RS256);
        validation.set_audience(&[audience]);
        validation.set_issuer(&["https://accounts.google.com", "accounts.google.com"]);
        validation.set_required_spec_claims(&["exp", "aud", "iss"]);
        Self { keys: Keys::at(keys_url), validation, email: email.to_owned() }
    }

    /// Checks a token.
    pub async fn check(&self, token: &str) -> Result<(), Outcome> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| Outcome::Refused)?;
        let id = header.kid.filter(|_| header.alg == Algorithm::RS256).ok_or(Outcome::Refused)?;
        let key = self.keys.find(&id).await.map_err(|_| Outcome::Unavailable)?;
        let key = DecodingKey::from_jwk(&key.ok_or(Outcome::Refused)?).map_err(|_| Outcome::Refused)?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &self.validation).map_err(|_| Outcome::Refused)?.claims;
        match claims.email_verified && claims.email == self.email {
            true => Ok(()),
            false => Err(Outcome::Refused),
        }
    }
}

/// RS256 by ring, which is in the binary for TLS; the library's own choices are aws-lc or a second RSA.
struct Rs256 {
    n: Vec<u8>,
    e: Vec<u8>,
}

fn rsa(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => Ok(Box::new(Rs256 { n: n.clone(), e: e.clone() })),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

impl Verifies<Vec<u8>> for Rs256 {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Rs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}
