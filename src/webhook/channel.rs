//! Notifications of Google's channels (Calendar, Drive): all in headers, no body. Pure.

use axum::http::HeaderMap;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::writer::Arrived;
use super::{Outcome, text};

/// Reads what a channel says; whether it may, the writer finds out.
pub fn read(service: &str, headers: &HeaderMap) -> Result<Arrived, Outcome> {
    let header = |name| text(headers, name).ok_or(Outcome::Malformed);
    let (id, number, state) = (header("x-goog-channel-id")?, header("x-goog-message-number")?, header("x-goog-resource-state")?);
    header("x-goog-resource-id")?;
    if number.is_empty() || number.len() > 20 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Outcome::Malformed);
    }
    // Ours all have a token; none at all is a wrong one.
    let token = text(headers, "x-goog-channel-token").ok_or(Outcome::Refused)?;
    Ok(Arrived::Channel {
        // Whoever made up an id learns no more than whoever guessed one.
        id: Uuid::try_parse(id).map_err(|_| Outcome::Unknown)?,
        service: service.to_owned(),
        token_hash: Sha256::digest(token.as_bytes()).into(),
        number: number.to_owned(),
        // Whatever else it is called (`exists`, `update`, `trash`, …), it is a change.
        change: state != "sync",
    })
}
