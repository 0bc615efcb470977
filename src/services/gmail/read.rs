//! Reads messages by their ids: metadata of each, and the whole message where it matters. Knows no database.

use data_encoding::BASE64URL_NOPAD;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::fetch::{LIST_COST, LIST_FIELDS, Listed};
use super::message::{Change, Content, HistoryChange, Resource, decode, item};
use super::{Gmail, detect, mail};
use crate::db::items::Poison;
use crate::engine::{Calls, Item};
use crate::error::{Class, Failure};
use crate::google::{self, Endpoint, parse_json};

/// Larger messages do not share a request: one of them broken off breaks the others.
const SMALL: u64 = 256 << 10;
/// What `Gmail::memory` is counted in.
const MIB: u64 = 1 << 20;
const METADATA_FIELDS: &str = "id,threadId,labelIds,historyId,internalDate,snippet,sizeEstimate,payload(headers)";

#[derive(Deserialize)]
struct Raw {
    raw: String,
}

/// Messages read of a page before they are stored: a run that is killed loses no more.
pub const AT_MOST: usize = 100;
/// Messages that are put aside although no other one of the mailbox could be read: it has none.
const FEW: usize = 3;
/// Other messages of the mailbox that are asked for to see whether any can be read.
const OTHERS: usize = 3;

/// What came of messages that were asked for.
#[derive(Default)]
pub struct Read {
    pub items: Vec<Item<Change>>,
    /// What cannot be decoded, and what Google does not give.
    pub poison: Vec<Poison>,
    /// Not asked for yet, or not answered, in their order.
    pub rest: Vec<String>,
    /// Why some of the rest were not answered.
    pub stopped: Option<Failure>,
}

/// Asks for the first hundred messages, or as many as the quota at hand allows, many at once; those that are gone by now are left out. One that Google does not give, however often it is
/// asked, is poison, as long as it gives others.
///
/// # Errors
/// Nothing could be read.
pub async fn messages(gmail: &Gmail, calls: &Calls, ids: &[String]) -> Result<Read, Failure> {
    let most = calls.booked().map_or(AT_MOST, |units| gmail.affordable(units));
    let (now, later) = ids.split_at(ids.len().min(most));
    let Asked { mut read, answered, failed, .. } = request(gmail, calls, now).await;
    if !failed.is_empty() {
        match answered >= failed.len() || others_can_be_read(gmail, calls, &failed).await? {
            true => read.poison.extend(failed.iter().map(|(id, failure)| Poison::unfetched(id, failure))),
            // It is Google's trouble, not theirs.
            false => {
                read.rest.extend(failed.iter().map(|(id, _)| id.clone()));
                read.stopped = read.stopped.or(failed.into_iter().next().map(|(_, failure)| failure));
            }
        }
    }
    read.rest.extend_from_slice(later);
    Ok(read)
}

/// Asks again for messages that could not be fetched; one that is gone by now is a deletion.
///
/// # Errors
/// None of them was answered, for a reason that is not theirs.
pub async fn refetch(gmail: &Gmail, calls: &Calls, ids: &[String]) -> Result<(Vec<Item<Change>>, Vec<Poison>), Failure> {
    let Asked { read: Read { mut items, mut poison, stopped, .. }, answered, gone, failed } = request(gmail, calls, ids).await;
    if let (Some(failure), 0, true) = (stopped, answered, failed.is_empty()) {
        return Err(failure);
    }
    poison.extend(failed.iter().map(|(id, failure)| Poison::unfetched(id, failure)));
    for id in gone {
        match (Resource { id, told: Some(HistoryChange::Deleted), ..Resource::default() }).to_raw().and_then(decode) {
            Ok(item) => items.push(item),
            Err(bad) => poison.push(bad),
        }
    }
    Ok((items, poison))
}

/// What came of messages, before anybody is blamed.
#[derive(Default)]
struct Asked {
    read: Read,
    /// How many Google answered: read, undecodable or gone.
    answered: usize,
    gone: Vec<String>,
    /// Those that were refused or failed for as long as they were tried, and what it said.
    failed: Vec<(String, Failure)>,
}

async fn request(gmail: &Gmail, calls: &Calls, ids: &[String]) -> Asked {
    let mut asked = Asked::default();
    let mut left = ids;
    while !left.is_empty() && asked.read.stopped.is_none() {
        let (wave, after) = left.split_at(left.len().min(gmail.at_once).min(calls.width()));
        if let Err(failure) = calls.pay(gmail.message_cost, wave.len()).await {
            asked.read.stopped = Some(failure);
            break;
        }
        left = after;
        for (id, answer) in wave.iter().zip(join_all(wave.iter().map(|id| calls.on(id, message(gmail, calls, id)))).await) {
            asked.answered += usize::from(answer.is_ok());
            match answer {
                Ok(Some(Ok(item))) => asked.read.items.push(item),
                Ok(Some(Err(bad))) => asked.read.poison.push(bad),
                Ok(None) => asked.gone.push(id.clone()),
                Err(failure) if matches!(failure.class, Class::Permanent | Class::Transient) && !failure.of_token => {
                    asked.failed.push((id.clone(), failure));
                }
                // Quota, token, scope: no message is to blame.
                Err(failure) => {
                    asked.read.rest.push(id.clone());
                    asked.read.stopped.get_or_insert(failure);
                }
            }
        }
    }
    asked.read.rest.extend_from_slice(left);
    asked
}

/// Whether Google gives other messages of this mailbox while it does not give these. Without another one only few are to blame: an outage must not
/// put a whole mailbox aside.
async fn others_can_be_read(gmail: &Gmail, calls: &Calls, failed: &[(String, Failure)]) -> Result<bool, Failure> {
    let mut url = gmail.url(&["messages"])?;
    url.query_pairs_mut()
        .append_pair("maxResults", &(failed.len() + 4 * OTHERS).to_string())
        .append_pair("includeSpamTrash", "true")
        .append_pair("fields", LIST_FIELDS);
    let listed = calls.make(LIST_COST, async || {
        let answer = gmail.google.get("messages.list", &calls.credential, google::SCOPE_GMAIL, url.clone()).await;
        parse_json::<Listed>("messages.list", &answer?)
    });
    let listed = match listed.await {
        Ok(listed) => listed.messages.into_iter().map(|message| message.id),
        Err(failure) if failure.class == Class::Transient => return Ok(false),
        Err(failure) => return Err(failure),
    };
    let others: Vec<String> = listed.filter(|id| !failed.iter().any(|(bad, _)| bad == id)).take(OTHERS).collect();
    if others.is_empty() {
        return Ok(failed.len() <= FEW);
    }
    Ok(request(gmail, calls, &others).await.answered > 0)
}

async fn message(gmail: &Gmail, calls: &Calls, id: &str) -> Result<Option<Result<Item<Change>, Poison>>, Failure> {
    if calls.is_deadly(id) {
        return Ok(Some(Err(Poison::deadly(id))));
    }
    let mut url = gmail.url(&["messages", id])?;
    url.query_pairs_mut().append_pair("format", "metadata").append_pair("fields", METADATA_FIELDS);
    let asked = calls.make_paid(gmail.message_cost, || async {
        let answer =
            gmail.batcher.get(Endpoint::Gmail, "messages.get", &calls.credential, google::SCOPE_GMAIL, url.clone()).await;
        parse_json::<Box<RawValue>>("messages.get", &answer?)
    });
    let Some(raw) = there(asked.await)? else { return Ok(None) };
    let item = match decode(raw) {
        Ok(item) => item,
        Err(bad) => return Ok(Some(Err(bad))),
    };
    let Change::Message(message) = &item.change else { return Ok(Some(Ok(item))) };
    if !gmail.wants_whole(&message.mail) {
        return Ok(Some(Ok(item)));
    }
    let size = message.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    let read = match size > gmail.settings.whole_max_size {
        true => Content {
            note: Some(format!("{size} bytes, more than gmail.whole_max_size: text and attachments were not read")),
            ..Content::default()
        },
        false => match there(Box::pin(body(gmail, calls, id, size)).await)? {
            Some(read) => read,
            None => return Ok(None),
        },
    };
    let notes =
        [read.note.clone(), detect::addresses(&message.mail.recipients, &gmail.pattern).1.then(|| detect::CUT.to_owned())];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    Ok(Some(with_whole(&item.raw, Content { note: (!notes.is_empty()).then(|| notes.join("; ")), ..read })))
}

/// The whole message, read at once: it is not kept. Bounded are the messages in memory together.
async fn body(gmail: &Gmail, calls: &Calls, id: &str, size: u64) -> Result<Content, Failure> {
    let mebibytes = u32::try_from(size / MIB + 1).unwrap_or(u32::MAX).min(super::MEMORY);
    let mut url = gmail.url(&["messages", id])?;
    url.query_pairs_mut().append_pair("format", "raw").append_pair("fields", "raw");
    let (credential, scope) = (&calls.credential, google::SCOPE_GMAIL);
    calls
        .make(gmail.message_cost, || async {
            // Taken by each try anew: a mailbox that rests keeps no memory from the others.
            let memory = gmail.memory.acquire_many(mebibytes).await;
            let _memory = memory.map_err(|_| Failure::new(Class::Internal, "the run is closed"))?;
            let answer = match size < SMALL {
                true => gmail.batcher.get(Endpoint::Gmail, "messages.get", credential, scope, url.clone()).await,
                false => gmail.google.get("messages.get", credential, scope, url.clone()).await,
            };
            let Raw { raw } = parse_json("messages.get", &answer?)?;
            let message = bytes_of(&raw)?;
            let mail::Content { text, attachments, kind, note, eight_bit_headers } = mail::content(&message);
            Ok(Content { text, attachments, kind, note, headers: eight_bit_headers })
        })
        .await
}

/// The message in base64url, as decoders elsewhere read it too: padding comes and goes, and so do the other alphabet and line ends.
fn bytes_of(raw: &str) -> Result<Vec<u8>, Failure> {
    // As Gmail writes it.
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
    // A cut answer is no whole JSON: what is wrong here stays wrong.
    let wrong = |error| Failure::new(Class::Permanent, format!("messages.get: the raw message is no base64url: {error}"));
    BASE64URL_NOPAD.decode(&text).map_err(wrong)
}

fn with_whole(metadata: &RawValue, read: Content) -> Result<Item<Change>, Poison> {
    let mut resource: Resource =
        serde_json::from_str(metadata.get()).map_err(|error| Poison::of(metadata, format!("not a message: {error}")))?;
    let notes = [resource.headers_note(), read.note.as_deref()].into_iter().flatten().collect::<Vec<_>>().join("; ");
    resource.whole = Some(Content { note: Some(notes).filter(|notes| !notes.is_empty()), ..read });
    let raw = resource.to_raw()?;
    item(resource, raw)
}

/// A message that the history named can be gone by now: that is no failure.
fn there<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
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
