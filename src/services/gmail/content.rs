//! The content of a message that is read completely: its text and attachments, from the raw message. No database access.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::attachments::Kept;
use super::attachments::memory::Held;
use super::message::{Change, Content, Resource, item};
use super::{BATCH, Gmail, SCOPE, mail};
use crate::db::items::Poison;
use crate::engine::{Calls, Item};
use crate::error::{Class, Failure};
use crate::google::parse_json;

/// Larger messages are not batched: a response that breaks off would take the others with it.
const MAX_BATCHED_SIZE: u64 = 256 << 10;
/// The unit of `Gmail::memory`.
const MIB: u64 = 1 << 20;

#[derive(Deserialize)]
struct Raw {
    raw: String,
}

/// Fetches and parses the complete message, which is not kept. The total size of such messages in memory is bounded.
pub async fn fetch(gmail: &Gmail, calls: &Calls, id: &str, size: u64) -> Result<Content, Failure> {
    let mebibytes = u32::try_from(size / MIB + 1).unwrap_or(u32::MAX).min(super::MEMORY_MIB);
    let mut url = gmail.url(&["messages", id])?;
    url.query_pairs_mut().append_pair("format", "raw").append_pair("fields", "raw");
    let (credential, scope) = (&calls.credential, SCOPE);
    calls
        .make(gmail.message_cost, || async {
            // Acquired for each attempt, so that a mailbox that backs off holds no memory.
            let memory = gmail.memory.acquire_many(mebibytes).await;
            let _memory = memory.map_err(|_| Failure::new(Class::Internal, "the run is closed"))?;
            let answer = if size < MAX_BATCHED_SIZE {
                gmail.batcher.get(BATCH, "messages.get", credential, scope, url.clone()).await
            } else {
                gmail.google.get("messages.get", credential, scope, url.clone()).await
            };
            let Raw { raw } = parse_json("messages.get", &answer?)?;
            let message = bytes_of(&raw)?;
            let read = mail::content(&message, Kept::by(&gmail.settings));
            let mail::Content { text, html, attachments, files, kind, note, eight_bit_headers } = read;
            Ok(Content { text, html, attachments, files, kind, note, headers: eight_bit_headers })
        })
        .await
}

/// Decodes base64url leniently: with or without padding, in either alphabet, with line breaks.
fn bytes_of(raw: &str) -> Result<Vec<u8>, Failure> {
    // Gmail's format.
    if let Ok(bytes) = BASE64URL_NOPAD.decode(raw.trim_end_matches('=').as_bytes()) {
        return Ok(bytes);
    }
    let url_safe = |byte: u8| match byte {
        b'+' => Some(b'-'),
        b'/' => Some(b'_'),
        b'=' => None,
        byte if byte.is_ascii_whitespace() => None,
        byte => Some(byte),
    };
    let text: Vec<u8> = raw.bytes().filter_map(url_safe).collect();
    // A truncated response would not be valid JSON, so this error is permanent.
    let wrong = |error| Failure::new(Class::Permanent, format!("messages.get: the raw message is not base64url: {error}"));
    BASE64URL_NOPAD.decode(&text).map_err(wrong)
}

/// Adds the content to the metadata of a message. `held`: the memory taken for the contents of its attachments.
pub fn added(metadata: &RawValue, read: Content, held: Option<Held>) -> Result<Item<Change>, Poison> {
    let mut resource: Resource =
        serde_json::from_str(metadata.get()).map_err(|error| Poison::of(metadata, format!("not a message: {error}")))?;
    let notes = [resource.headers_note(), read.note.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("; ");
    resource.content = Some(Content { note: Some(notes).filter(|notes| !notes.is_empty()), ..read });
    let raw = resource.to_raw()?;
    let mut item = item(resource, raw)?;
    if let Change::Message(message) = &mut item.change {
        message.held = held;
        message.fit_memory();
    }
    Ok(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_message_is_read_in_each_alphabet_with_or_without_padding_and_line_ends() {
        for raw in ["_-8-Pw", "_-8-Pw==", "/+8+Pw==", "_-8-\r\nPw"] {
            assert_eq!(bytes_of(raw).expect(raw), [0xff, 0xef, 0x3e, 0x3f], "{raw}");
        }
        assert_eq!(bytes_of("_-8-P").expect_err("a character too few").class, Class::Permanent);
    }
}
