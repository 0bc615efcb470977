//! The OpenID tokens by which Pub/Sub shows who it is, and the keys to check them with.

use std::sync::LazyLock;

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

const KEY_ID: &str = "sim-oidc";

static KEY: LazyLock<Option<RsaKeyPair>> = LazyLock::new(|| {
    let text: String = SERVICE_ACCOUNT_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    RsaKeyPair::from_pkcs8(&BASE64.decode(text.as_bytes()).ok()?).ok()
});

/// A token of this service account for this audience, good for an hour.
pub fn token(audience: &str, email: &str, now: DateTime<Utc>) -> Option<String> {
    let encode = |part: Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let head = encode(json!({ "alg": "RS256", "kid": KEY_ID, "typ": "JWT" }));
    let claims = encode(json!({ "iss": "https://accounts.google.com", "aud": audience, "azp": "1", "sub": "1", "email": email,
        "email_verified": true, "iat": now.timestamp(), "exp": now.timestamp() + 3_600 }));
    let signed = format!("{head}.{claims}");
    let key = KEY.as_ref()?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
    Some(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
}

/// `GET /oauth2/v3/certs`
pub fn certs() -> Response {
    let keys: Vec<Value> = KEY.iter().map(jwk).collect();
    ([(header::CACHE_CONTROL, "public, max-age=22000, must-revalidate, no-transform")], Json(json!({ "keys": keys })))
        .into_response()
}

fn jwk(key: &RsaKeyPair) -> Value {
    let parts = PublicKeyComponents::<Vec<u8>>::from(key.public());
    json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": KEY_ID, "n": BASE64URL_NOPAD.encode(&parts.n),
        "e": BASE64URL_NOPAD.encode(&parts.e) })
}
