//! Reads messages by their ids: the metadata of each, and the complete message if needed. No database access.

use data_encoding::BASE64URL_NOPAD;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::list::{LIST_COST, LIST_FIELDS, Listed};
use super::message::{Change, Content, HistoryChange, Resource, decode, item};
use super::{BATCH, Gmail, SCOPE, detect, mail};
use crate::db::items::Poison;
use crate::engine::{Calls, Item};
use crate::error::{Class, Failure};
use crate::google::parse_json;

/// Larger messages are not batched: a response that breaks off would take the others with it.
const MAX_BATCHED_SIZE: u64 = 256 << 10;
/// The unit of `Gmail::memory`.
const MIB: u64 = 1 << 20;
const METADATA_FIELDS: &str = "id,threadId,labelIds,historyId,internalDate,snippet,sizeEstimate,payload(headers)";

#[derive(Deserialize)]
struct Raw {
    raw: String,
}

/// Maximum number of messages read before they are stored, which bounds what a killed run loses.
pub const MAX_MESSAGES: usize = 100;
/// Maximum number of messages quarantined if the mailbox has no others to compare with.
const MAX_WITHOUT_OTHERS: usize = 3;
/// Number of other messages of the mailbox that are requested to see whether any can be read.
const OTHERS: usize = 3;

/// The result of requesting messages.
#[derive(Default)]
pub struct Read {
    pub items: Vec<Item<Change>>,
    /// Messages that cannot be decoded, or that Google does not return.
    pub poison: Vec<Poison>,
    /// Messages not requested yet or not answered, in their order.
    pub rest: Vec<String>,
    /// Why requests in the rest were not answered.
    pub stopped: Option<Failure>,
}

/// Fetches the first 100 messages, or as many as the booked quota allows, concurrently. Messages that no longer exist are left out. A message
/// that Google does not return despite retries is poison, provided that Google returns others.
///
/// # Errors
/// Returns a failure if it cannot be determined whether other messages can be read.
pub async fn messages(gmail: &Gmail, calls: &Calls, ids: &[String]) -> Result<Read, Failure> {
    let max = calls.booked().map_or(MAX_MESSAGES, |units| gmail.affordable(units));
    let (now, later) = ids.split_at(ids.len().min(max));
    let Requested { mut read, answered, failed, .. } = request(gmail, calls, now).await;
    if !failed.is_empty() {
        if answered >= failed.len() || others_can_be_read(gmail, calls, &failed).await? {
            read.poison.extend(failed.iter().map(|(id, failure)| Poison::unfetched(id, failure)))
        } else {
            // The failure is not specific to these messages.
            read.rest.extend(failed.iter().map(|(id, _)| id.clone()));
            read.stopped = read.stopped.or(failed.into_iter().next().map(|(_, failure)| failure));
        }
    }
    read.rest.extend_from_slice(later);
    Ok(read)
}

/// Retries messages that could not be fetched. One that no longer exists is a deletion.
///
/// # Errors
/// Returns a failure if no message was answered, for a reason that is not specific to them.
pub async fn refetch(gmail: &Gmail, calls: &Calls, ids: &[String]) -> Result<(Vec<Item<Change>>, Vec<Poison>), Failure> {
    let Requested { read: Read { mut items, mut poison, stopped, .. }, answered, gone, failed } =
        request(gmail, calls, ids).await;
    if let (Some(failure), 0, true) = (stopped, answered, failed.is_empty()) {
        return Err(failure);
    }
    poison.extend(failed.iter().map(|(id, failure)| Poison::unfetched(id, failure)));
    for id in gone {
        match (Resource { id, history_change: Some(HistoryChange::Deleted), ..Resource::default() }).to_raw().and_then(decode) {
            Ok(item) => items.push(item),
            Err(bad) => poison.push(bad),
        }
    }
    Ok((items, poison))
}

/// The outcome of requests, before failures are attributed to messages.
#[derive(Default)]
struct Requested {
    read: Read,
    /// The number of messages that Google answered: read, undecodable or gone.
    answered: usize,
    gone: Vec<String>,
    /// Messages that were refused or failed in every attempt, with the failure.
    failed: Vec<(String, Failure)>,
}

async fn request(gmail: &Gmail, calls: &Calls, ids: &[String]) -> Requested {
    let mut requested = Requested::default();
    let mut remaining = ids;
    while !remaining.is_empty() && requested.read.stopped.is_none() {
        let (wave, after) = remaining.split_at(remaining.len().min(gmail.concurrency).min(calls.width()));
        if let Err(failure) = calls.pay(gmail.message_cost, wave.len()).await {
            requested.read.stopped = Some(failure);
            break;
        }
        remaining = after;
        for (id, answer) in wave.iter().zip(join_all(wave.iter().map(|id| calls.on(id, message(gmail, calls, id)))).await) {
            requested.answered += usize::from(answer.is_ok());
            match answer {
                Ok(Some(Ok(item))) => requested.read.items.push(item),
                Ok(Some(Err(bad))) => requested.read.poison.push(bad),
                Ok(None) => requested.gone.push(id.clone()),
                Err(failure) if matches!(failure.class, Class::Permanent | Class::Transient) && !failure.of_token => {
                    requested.failed.push((id.clone(), failure));
                }
                // Quota, token, scope: not specific to a message.
                Err(failure) => {
                    requested.read.rest.push(id.clone());
                    requested.read.stopped.get_or_insert(failure);
                }
            }
        }
    }
    requested.read.rest.extend_from_slice(remaining);
    requested
}

/// Whether Google returns other messages of this mailbox. If there are none, only a few messages count as poison: an outage must not
/// quarantine a whole mailbox.
async fn others_can_be_read(gmail: &Gmail, calls: &Calls, failed: &[(String, Failure)]) -> Result<bool, Failure> {
    let mut url = gmail.url(&["messages"])?;
    url.query_pairs_mut()
        .append_pair("maxResults", &(failed.len() + 4 * OTHERS).to_string())
        .append_pair("includeSpamTrash", "true")
        .append_pair("fields", LIST_FIELDS);
    let listed = calls.make(LIST_COST, async || {
        let answer = gmail.google.get("messages.list", &calls.credential, SCOPE, url.clone()).await;
        parse_json::<Listed>("messages.list", &answer?)
    });
    let listed = match listed.await {
        Ok(listed) => listed.messages.into_iter().map(|message| message.id),
        Err(failure) if failure.class == Class::Transient => return Ok(false),
        Err(failure) => return Err(failure),
    };
    let others: Vec<String> = listed.filter(|id| !failed.iter().any(|(bad, _)| bad == id)).take(OTHERS).collect();
    if others.is_empty() {
        return Ok(failed.len() <= MAX_WITHOUT_OTHERS);
    }
    Ok(request(gmail, calls, &others).await.answered > 0)
}

async fn message(gmail: &Gmail, calls: &Calls, id: &str) -> Result<Option<Result<Item<Change>, Poison>>, Failure> {
    if calls.is_deadly(id) {
        return Ok(Some(Err(Poison::deadly(id))));
    }
    let mut url = gmail.url(&["messages", id])?;
    url.query_pairs_mut().append_pair("format", "metadata").append_pair("fields", METADATA_FIELDS);
    let response = calls.make_paid(gmail.message_cost, || async {
        let answer = gmail.batcher.get(BATCH, "messages.get", &calls.credential, SCOPE, url.clone()).await;
        parse_json::<Box<RawValue>>("messages.get", &answer?)
    });
    let Some(raw) = unless_gone(response.await)? else { return Ok(None) };
    let item = match decode(raw) {
        Ok(item) => item,
        Err(bad) => return Ok(Some(Err(bad))),
    };
    let Change::Message(message) = &item.change else { return Ok(Some(Ok(item))) };
    if !gmail.needs_content(&message.mail) {
        return Ok(Some(Ok(item)));
    }
    let size = message.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    let read = if size > gmail.settings.whole_max_size {
        Content {
            note: Some(format!("{size} bytes, more than gmail.whole_max_size: text and attachments were not read")),
            ..Content::default()
        }
    } else {
        match unless_gone(Box::pin(body(gmail, calls, id, size)).await)? {
            Some(read) => read,
            None => return Ok(None),
        }
    };
    let notes =
        [read.note.clone(), detect::addresses(&message.mail.recipients, &gmail.pattern).1.then(|| detect::CUT.to_owned())];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    Ok(Some(with_content(&item.raw, Content { note: (!notes.is_empty()).then(|| notes.join("; ")), ..read })))
}

/// Fetches and parses the complete message, which is not kept. The total size of such messages in memory is bounded.
async fn body(gmail: &Gmail, calls: &Calls, id: &str, size: u64) -> Result<Content, Failure> {
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
            let mail::Content { text, attachments, kind, note, eight_bit_headers } = mail::content(&message);
            Ok(Content { text, attachments, kind, note, headers: eight_bit_headers })
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

fn with_content(metadata: &RawValue, read: Content) -> Result<Item<Change>, Poison> {
    let mut resource: Resource =
        serde_json::from_str(metadata.get()).map_err(|error| Poison::of(metadata, format!("not a message: {error}")))?;
    let notes = [resource.headers_note(), read.note.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("; ");
    resource.content = Some(Content { note: Some(notes).filter(|notes| !notes.is_empty()), ..read });
    let raw = resource.to_raw()?;
    item(resource, raw)
}

/// Converts `Class::Gone` to `None`: a message in the history may no longer exist.
fn unless_gone<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.class == Class::Gone => Ok(None),
        Err(failure) => Err(failure),
    }
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
