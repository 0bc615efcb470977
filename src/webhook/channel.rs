//! Notifications of Google's channels (Calendar, Drive), which consist of headers only. Pure.

use axum::http::HeaderMap;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::writer::Arrived;
use super::{Outcome, text};

/// Parses a channel notification. The writer checks its token.
pub fn read(service: &str, headers: &HeaderMap) -> Result<Arrived, Outcome> {
    let header = |name| text(headers, name).ok_or(Outcome::Malformed);
    let (id, number, state) = (header("x-goog-channel-id")?, header("x-goog-message-number")?, header("x-goog-resource-state")?);
    header("x-goog-resource-id")?;
    if number.is_empty() || number.len() > 20 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Outcome::Malformed);
    }
    // All our channels have a token, so a missing one is wrong.
    let token = text(headers, "x-goog-channel-token").ok_or(Outcome::Refused)?;
    Ok(Arrived::Channel {
        // Same response as for a well-formed unknown id.
        id: Uuid::try_parse(id).map_err(|_| Outcome::Unknown)?,
        service: service.to_owned(),
        token_hash: Sha256::digest(token.as_bytes()).into(),
        number: number.to_owned(),
        // All other states (`exists`, `update`, `trash`, …) are changes.
        change: state != "sync",
    })
}
