//! Google's HTTP: a client, error bodies, the token endpoint. No database access; independent of any service.

mod assertion;
mod batch;
mod batcher;
mod channel;
mod client;
pub mod consent;
pub mod directory;
pub mod endpoint;
mod failure;
mod keys;
mod list;
pub mod oauth;
pub mod rs256;
pub mod verdict;

pub use batch::Endpoint;
pub use batcher::Batcher;
pub use channel::{Ask, Watched, expiration};
pub use client::{Client, Host};
pub use failure::classify;
pub use keys::Keys;
pub use list::List;

pub use crate::http::parse_json;

/// Parses bytes as the response to a batch of eight calls, for `crate::fuzz`.
pub(crate) fn read_any_batch(input: &[u8]) {
    let (kind, body) = input.split_at(input.iter().position(|byte| *byte == b'\n').unwrap_or(0));
    let answers = batch::decode(&String::from_utf8_lossy(kind), body.trim_ascii_start(), 8).unwrap_or_default();
    for (status, retry_after, body) in answers.into_iter().flatten() {
        std::hint::black_box(classify("batch", status, retry_after.as_deref(), &body, chrono::Utc::now()));
    }
}

/// Parses bytes as a token endpoint's response, as the address of one, and as keys of all kinds, for `crate::fuzz`.
pub(crate) fn read_any_token(input: &[u8]) {
    for (status, whose) in [(200, verdict::Whose::Person), (400, verdict::Whose::Person), (403, verdict::Whose::Domain)] {
        std::hint::black_box(oauth::granted((status, None, input), whose, verdict::GrantHistory::default()).is_ok());
    }
    let text = String::from_utf8_lossy(input);
    std::hint::black_box((
        endpoint::allowed(&text, None, &[]).is_ok(),
        endpoint::is_token(&text),
        consent::App::parse(&text).is_ok(),
    ));
    std::hint::black_box(serde_json::from_slice::<jsonwebtoken::jwk::JwkSet>(input).is_ok());
    if let Ok(key) = serde_json::from_slice::<yup_oauth2::ServiceAccountKey>(input) {
        std::hint::black_box(assertion::signed(&key, "ann@example.com", &["scope"], 0).is_ok());
    }
}
