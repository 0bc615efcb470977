//! The OpenID tokens that authenticate Pub/Sub, and their public keys.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use axum::Json;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};

use crate::oauth::SERVICE_ACCOUNT_KEY;

const NEXT_KEY: &str = include_str!("../../data/next-key.pem");

/// Used in turn.
static PAIRS: LazyLock<Vec<RsaKeyPair>> =
    LazyLock::new(|| [SERVICE_ACCOUNT_KEY, NEXT_KEY].into_iter().filter_map(pair).collect());

fn pair(pem: &str) -> Option<RsaKeyPair> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    RsaKeyPair::from_pkcs8(&BASE64.decode(text.as_bytes()).ok()?).ok()
}

/// The current key, and how often it was requested.
#[derive(Default)]
pub struct Keys {
    turn: AtomicUsize,
    asked: AtomicU64,
}

impl Keys {
    /// Replaces the key; returns the new ID.
    pub fn rotate(&self) -> String {
        self.turn.fetch_add(1, Ordering::Relaxed);
        self.id()
    }

    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    fn id(&self) -> String {
        format!("sim-oidc-{}", self.turn.load(Ordering::Relaxed))
    }

    fn pair(&self) -> Option<&'static RsaKeyPair> {
        PAIRS.get(self.turn.load(Ordering::Relaxed) % PAIRS.len().max(1))
    }
}

/// A token of this service account for this audience, valid for an hour.
pub fn token(keys: &Keys, audience: &str, email: &str, now: DateTime<Utc>) -> Option<String> {
    let encode = |part: Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let head = encode(json!({ "alg": "RS256", "kid": keys.id(), "typ": "JWT" }));
    let claims = encode(json!({ "iss": "https://accounts.google.com", "aud": audience, "azp": "1", "sub": "1", "email": email,
        "email_verified": true, "iat": now.timestamp(), "exp": now.timestamp() + 3_600 }));
    let signed = format!("{head}.{claims}");
    let key = keys.pair()?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
    Some(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// `GET /oauth2/v3/certs`
pub fn certs(keys: &Keys) -> Response {
    keys.asked.fetch_add(1, Ordering::Relaxed);
    let keys: Vec<Value> = keys.pair().into_iter().map(|pair| jwk(&keys.id(), pair)).collect();
    ([(header::CACHE_CONTROL, "public, max-age=22000, must-revalidate, no-transform")], Json(json!({ "keys": keys })))
        .into_response()
}

fn jwk(id: &str, key: &RsaKeyPair) -> Value {
    let parts = PublicKeyComponents::<Vec<u8>>::from(key.public());
    json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": id, "n": BASE64URL_NOPAD.encode(&parts.n),
        "e": BASE64URL_NOPAD.encode(&parts.e) })
}
