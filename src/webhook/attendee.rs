//! Attendee notifications: signature, idempotency key, and bot id. No database access.

use anyhow::Context as _;
use axum::http::HeaderMap;
use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use sha2::Sha256;

use super::writer::Arrived;
use super::{Outcome, is_key, text};

/// The signing key.
pub struct Key(Hmac<Sha256>);

impl Key {
    /// Decodes the secret from base64, as Attendee displays it. `None` if no secret is set.
    pub fn new(secret: &SecretString) -> anyhow::Result<Option<Self>> {
        let secret = secret.expose_secret();
        if secret.is_empty() {
            return Ok(None);
        }
        let key = BASE64.decode(secret.as_bytes()).context("decoding webhook.attendee_secret")?;
        Ok(Some(Self(Hmac::new_from_slice(&key).context("using webhook.attendee_secret")?)))
    }

    /// Verifies and parses a notification.
    pub fn read(&self, headers: &HeaderMap, body: &[u8]) -> Result<Arrived, Outcome> {
        let signature = text(headers, "x-webhook-signature").ok_or(Outcome::Refused)?;
        let signature = BASE64.decode(signature.as_bytes()).map_err(|_| Outcome::Refused)?;
        let mut payload: Value = serde_json::from_slice(body).map_err(|_| Outcome::Malformed)?;
        payload.sort_all_objects();
        let signs = |bytes: &[u8]| self.0.clone().chain_update(bytes).verify_slice(&signature).is_ok();
        // Attendee signs the sorted, compact form. If reserializing would change numbers, it also sends that form.
        if !signs(payload.to_string().as_bytes()) && !signs(body) {
            return Err(Outcome::Refused);
        }
        let key = payload["idempotency_key"].as_str().filter(|key| is_key(key)).ok_or(Outcome::Malformed)?;
        let bot = payload["bot_id"].as_str().filter(|bot| is_key(bot)).map(str::to_owned);
        Ok(Arrived::Attendee { key: key.to_owned(), bot })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_covers_the_sorted_compact_form() {
        let secret = SecretString::from(BASE64.encode(b"key"));
        let key = Key::new(&secret).expect("a key").expect("a key");
        let signed = r#"{"bot_id":"bot_1","data":{"a":"ä","b":[{"x":1.5,"y":null}]},"idempotency_key":"k1"}"#;
        let signature = BASE64.encode(&key.0.clone().chain_update(signed.as_bytes()).finalize().into_bytes());
        let mut headers = HeaderMap::new();
        headers.insert("x-webhook-signature", signature.parse().expect("a header"));
        let sent = r#"{ "idempotency_key": "k1", "bot_id": "bot_1", "data": {"b": [{"y": null, "x": 1.5}], "a": "\u00e4"} }"#;
        assert!(
            matches!(key.read(&headers, sent.as_bytes()), Ok(Arrived::Attendee { key, bot: Some(bot) }) if key == "k1" && bot == "bot_1")
        );
        let forged = sent.replace("k1", "k2");
        assert!(matches!(key.read(&headers, forged.as_bytes()), Err(Outcome::Refused)));
    }
}
