//! Reads messages by their ids: metadata of each, and the whole message where it matters. Knows no database.

use data_encoding::BASE64URL_NOPAD;
use futures_util::future::join_all;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::message::{Change, Resource, Whole, decode};
use super::{Gmail, mail};
use crate::db::items::Poison;
use crate::engine::{Calls, Item};
use crate::error::{Class, Failure};
use crate::google::{self, Endpoint, whole};

/// Larger messages do not share a request: one of them broken off breaks the others.
const SMALL: u64 = 256 << 10;
/// What `Gmail::memory` is counted in.
const MIB: u64 = 1 << 20;
const METADATA_FIELDS: &str = "id,threadId,labelIds,historyId,internalDate,snippet,sizeEstimate,payload(headers)";

#[derive(Deserialize)]
struct Raw {
    raw: String,
}

/// Asks for messages, many at once; those that are gone by now are left out.
pub async fn messages(gmail: &Gmail, calls: &Calls, ids: &[String]) -> Result<(Vec<Item<Change>>, Vec<Poison>), Failure> {
    let (mut items, mut poison) = (Vec::with_capacity(ids.len()), Vec::new());
    for ids in ids.chunks(gmail.at_once) {
        calls.pay(gmail.message_cost, ids.len()).await?;
        for answer in join_all(ids.iter().map(|id| message(gmail, calls, id))).await {
            match answer? {
                Some(Ok(item)) => items.push(item),
                Some(Err(bad)) => poison.push(bad),
                None => {}
            }
        }
    }
    Ok((items, poison))
}

async fn message(gmail: &Gmail, calls: &Calls, id: &str) -> Result<Option<Result<Item<Change>, Poison>>, Failure> {
    let mut url = gmail.url(&["messages", id])?;
    url.query_pairs_mut().append_pair("format", "metadata").append_pair("fields", METADATA_FIELDS);
    let asked = calls.make_paid(gmail.message_cost, || async {
        let answer =
            gmail.together.get(Endpoint::Gmail, "messages.get", &calls.credential, google::SCOPE_GMAIL, url.clone()).await;
        whole::<Box<RawValue>>("messages.get", &answer?)
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
        true => Whole {
            note: Some(format!("{size} bytes, more than gmail.whole_max_size: text and attachments were not read")),
            ..Whole::default()
        },
        false => match there(Box::pin(body(gmail, calls, id, size)).await)? {
            Some(read) => read,
            None => return Ok(None),
        },
    };
    Ok(Some(with_whole(&item.raw, read)))
}

/// The whole message, read at once: it is not kept. Bounded are the messages in memory together.
async fn body(gmail: &Gmail, calls: &Calls, id: &str, size: u64) -> Result<Whole, Failure> {
    let mebibytes = u32::try_from(size / MIB + 1).unwrap_or(u32::MAX).min(super::MEMORY);
    let _memory = gmail.memory.acquire_many(mebibytes).await.map_err(|_| Failure::new(Class::Internal, "the run is closed"))?;
    let mut url = gmail.url(&["messages", id])?;
    url.query_pairs_mut().append_pair("format", "raw").append_pair("fields", "raw");
    let (credential, scope) = (&calls.credential, google::SCOPE_GMAIL);
    calls
        .make(gmail.message_cost, || async {
            let answer = match size < SMALL {
                true => gmail.together.get(Endpoint::Gmail, "messages.get", credential, scope, url.clone()).await,
                false => gmail.google.get("messages.get", credential, scope, url.clone()).await,
            };
            let Raw { raw } = whole("messages.get", &answer?)?;
            // Padding comes and goes.
            let message = BASE64URL_NOPAD.decode(raw.trim_end_matches('=').as_bytes()).map_err(|error| {
                Failure::new(Class::Transient, format!("messages.get: the raw message is no base64url: {error}"))
            })?;
            let mail::Mail { text, attachments, kind, note, .. } = mail::of_message(&message);
            Ok(Whole { text, attachments, kind, note })
        })
        .await
}

fn with_whole(metadata: &RawValue, read: Whole) -> Result<Item<Change>, Poison> {
    let mut resource: Resource =
        serde_json::from_str(metadata.get()).map_err(|error| Poison::of(metadata, format!("not a message: {error}")))?;
    resource.whole = Some(read);
    decode(resource.to_raw()?)
}

/// A message that the history named can be gone by now: that is no failure.
fn there<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.class == Class::Gone => Ok(None),
        Err(failure) => Err(failure),
    }
}
