//! RS256 for JSON Web Tokens with ring, which the binary contains anyway for TLS; the library's own choices are aws-lc or a second RSA implementation.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::signature::{self, Signer, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use sha2::{Digest as _, Sha256};

/// Lets `jsonwebtoken` sign and verify in this process. Must be called before either.
pub fn install() {
    static PROVIDER: CryptoProvider =
        CryptoProvider { signer_factory: signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };
    // The only provider of this process; it is not an error if it is already installed.
    let _ = PROVIDER.install_default();
}

struct Private(Arc<RsaKeyPair>);

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    match (algorithm, parsed(key.as_bytes())) {
        (Algorithm::RS256, Ok(pair)) => Ok(Box::new(Private(pair))),
        (Algorithm::RS256, Err(error)) => Err(error),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

/// The key pair of a private key in DER. Checking a key takes half as long as signing with it, and all users of a domain have the same one.
fn parsed(der: &[u8]) -> Result<Arc<RsaKeyPair>, Error> {
    static PARSED: Mutex<BTreeMap<[u8; 32], Arc<RsaKeyPair>>> = Mutex::new(BTreeMap::new());
    const MAX_KEYS: usize = 64;
    let digest: [u8; 32] = Sha256::digest(der).into();
    let mut pairs = PARSED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pair) = pairs.get(&digest) {
        return Ok(Arc::clone(pair));
    }
    // Google writes PKCS #8; a key converted by other tools may be PKCS #1.
    let pair = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
    let pair = Arc::new(pair.map_err(|rejected| ErrorKind::InvalidRsaKey(rejected.to_string()))?);
    if pairs.len() >= MAX_KEYS {
        pairs.clear();
    }
    pairs.insert(digest, Arc::clone(&pair));
    Ok(pair)
}

impl Signer<Vec<u8>> for Private {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let mut signed = vec![0; self.0.public().modulus_len()];
        let done = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signed);
        done.map(|()| signed).map_err(|_| signature::Error::new())
    }
}

impl JwtSigner for Private {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

struct Public {
    n: Vec<u8>,
    e: Vec<u8>,
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    match (algorithm, key.kind()) {
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => Ok(Box::new(Public { n: n.clone(), e: e.clone() })),
        _ => Err(ErrorKind::InvalidAlgorithm.into()),
    }
}

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        let key = RsaPublicKeyComponents { n: &self.n, e: &self.e };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}
