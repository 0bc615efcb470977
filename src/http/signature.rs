//! Signatures of a body and of its signing time: our own, as sent by the outbox and accepted by the webhook receiver, and that of Standard Webhooks.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// The header that carries the signature.
pub const HEADER: &str = "X-Syncctl-Signature";
/// Maximum difference in seconds between the signature's time and ours.
const MAX_SKEW: u64 = 300;

/// `t=<unix seconds>,v1=<hex of HMAC-SHA256 over "t.body">`.
pub fn sign(secret: &str, at: i64, body: &[u8]) -> String {
    // HMAC accepts a key of any length.
    let Some(mac) = mac(secret, at, body) else { return String::new() };
    format!("t={at},v1={}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

/// The value of the header `webhook-signature` of Standard Webhooks: `v1,<base64 of HMAC-SHA256 over "id.t.body">`.
pub fn standard(key: &[u8], id: &str, at: i64, body: &[u8]) -> String {
    // HMAC accepts a key of any length.
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    let mac = mac.chain_update(format!("{id}.{at}.")).chain_update(body);
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

/// Whether the signature belongs to this body and secret, and was made at most five minutes before or after `now`, in seconds since 1970.
pub fn holds(secret: &str, signature: &str, body: &[u8], now: i64) -> bool {
    let mut fields = signature.split(',').filter_map(|field| field.trim().split_once('='));
    let (Some(("t", at)), Some(("v1", hex)), None) = (fields.next(), fields.next(), fields.next()) else { return false };
    let (Ok(at), Ok(code)) = (at.parse::<i64>(), HEXLOWER.decode(hex.to_ascii_lowercase().as_bytes())) else { return false };
    at.abs_diff(now) <= MAX_SKEW && mac(secret, at, body).is_some_and(|mac| mac.verify_slice(&code).is_ok())
}

fn mac(secret: &str, at: i64, body: &[u8]) -> Option<Hmac<Sha256>> {
    let mac = Hmac::new_from_slice(secret.as_bytes()).ok()?;
    Some(mac.chain_update(format!("{at}.")).chain_update(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_match_a_standard_hmac() {
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
        let expected = "t=1700000000,v1=a438e398bfafc57e4396bb7fc2304422f0f768e965d073ca313cb52e22e6ad03";
        assert_eq!(sign("key", 1_700_000_000, br#"{"a":1}"#), expected);
    }

    #[test]
    fn a_standard_signature_is_that_of_the_specifications_libraries() {
        // The example of the libraries' own tests.
        let key = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("base64");
        let signature = standard(&key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn signatures_of_another_body_secret_or_time_are_refused() {
        let (at, body) = (1_700_000_000, br#"{"a":1}"#);
        let signature = sign("key", at, body);
        assert!(holds("key", &signature, body, at + 300) && holds("key", &signature, body, at - 300));
        assert!(holds("key", &signature.to_ascii_uppercase().replace("T=", "t=").replace("V1=", "v1="), body, at));
        assert!(!holds("key", &signature, body, at + 301) && !holds("key", &signature, body, at - 301));
        assert!(!holds("other", &signature, body, at) && !holds("key", &signature, br#"{"a":2}"#, at));
        let moved = signature.replace("t=17", "t=18");
        for wrong in
            ["", "t=,v1=", "v1=00,t=1", "t=1700000000", "t=1700000000,v1=zz", moved.as_str(), "t=9223372036854775808,v1=00"]
        {
            assert!(!holds("key", wrong, body, at), "{wrong}");
        }
        assert!(!holds("key", &format!("{signature},{signature}"), body, at));
        assert!(!holds("key", &format!("t={},v1=00", i64::MIN), body, at));
    }
}
