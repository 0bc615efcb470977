//! Reads messages by their ids: the metadata of each, and the complete message if needed. No database access.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde_json::value::RawValue;

use super::attachments::memory::PageContents;
use super::list::{LIST_COST, LIST_FIELDS, Listed};
use super::message::{Change, Content, HistoryChange, Resource, decode};
use super::{BATCH, Gmail, SCOPE, content, detect};
use crate::db::items::Poison;
use crate::engine::{Calls, Item};
use crate::error::{Class, Failure};
use crate::google::parse_json;

const METADATA_FIELDS: &str = "id,threadId,labelIds,historyId,internalDate,snippet,sizeEstimate,payload(headers)";

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
    /// Sizes in bytes of those of the rest whose attachments have to wait for memory.
    pub sizes: BTreeMap<String, u64>,
    /// Why requests in the rest were not answered.
    pub stopped: Option<Failure>,
}

/// Fetches the first 100 messages, or as many as the booked quota allows, concurrently. Messages that no longer exist are left out. A message
/// that Google does not return despite retries is poison, provided that Google returns others. `sizes`: the sizes that earlier pages have read.
///
/// # Errors
/// Returns a failure if it cannot be determined whether other messages can be read.
pub async fn messages(gmail: &Gmail, calls: &Calls, ids: &[String], sizes: &BTreeMap<String, u64>) -> Result<Read, Failure> {
    let max = calls.booked().map_or(MAX_MESSAGES, |units| gmail.affordable(units));
    let now = gmail.contents.fitting(&ids[..ids.len().min(max)], |id| sizes.get(id).copied());
    let later = &ids[now.len()..];
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
    read.sizes.extend(later.iter().filter_map(|id| Some((id.clone(), *sizes.get(id)?))));
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
    let (mut requested, contents) = (Requested::default(), PageContents::default());
    let mut remaining = ids;
    while !remaining.is_empty() && requested.read.stopped.is_none() && requested.read.sizes.is_empty() {
        let (wave, after) = remaining.split_at(remaining.len().min(gmail.concurrency).min(calls.width()));
        if let Err(failure) = calls.pay(gmail.message_cost, wave.len()).await {
            requested.read.stopped = Some(failure);
            break;
        }
        remaining = after;
        let answers = join_all(wave.iter().map(|id| calls.on(id, message(gmail, calls, id, &contents)))).await;
        for (id, answer) in wave.iter().zip(answers) {
            requested.answered += usize::from(answer.is_ok());
            match answer {
                Ok(Answer::Read(Ok(item))) => requested.read.items.push(item),
                Ok(Answer::Read(Err(bad))) => requested.read.poison.push(bad),
                Ok(Answer::Gone) => requested.gone.push(id.clone()),
                Ok(Answer::Postponed(size)) => {
                    requested.read.rest.push(id.clone());
                    requested.read.sizes.insert(id.clone(), size);
                }
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

/// The answer to the request of a message.
enum Answer {
    Read(Result<Item<Change>, Poison>),
    /// It no longer exists.
    Gone,
    /// Its attachments have to wait for memory. Its size, in bytes.
    Postponed(u64),
}

async fn message(gmail: &Gmail, calls: &Calls, id: &str, contents: &PageContents) -> Result<Answer, Failure> {
    if calls.is_deadly(id) {
        return Ok(Answer::Read(Err(Poison::deadly(id))));
    }
    let mut url = gmail.url(&["messages", id])?;
    url.query_pairs_mut().append_pair("format", "metadata").append_pair("fields", METADATA_FIELDS);
    let response = calls.make_paid(gmail.message_cost, || async {
        let answer = gmail.batcher.get(BATCH, "messages.get", &calls.credential, SCOPE, url.clone()).await;
        parse_json::<Box<RawValue>>("messages.get", &answer?)
    });
    let Some(raw) = unless_gone(response.await)? else { return Ok(Answer::Gone) };
    let item = match decode(raw) {
        Ok(item) => item,
        Err(bad) => return Ok(Answer::Read(Err(bad))),
    };
    let Change::Message(message) = &item.change else { return Ok(Answer::Read(Ok(item))) };
    if !gmail.needs_content(&message.mail) {
        return Ok(Answer::Read(Ok(item)));
    }
    let size = message.size.and_then(|size| u64::try_from(size).ok()).unwrap_or(0);
    let mut held = None;
    let read = if size > gmail.settings.whole_max_size {
        Content {
            note: Some(format!("{size} bytes, more than gmail.whole_max_size: text and attachments were not read")),
            ..Content::default()
        }
    } else {
        if !gmail.settings.attachments.is_none() {
            held = gmail.contents.take(contents, size);
            if held.is_none() {
                return Ok(Answer::Postponed(size));
            }
        }
        match unless_gone(Box::pin(content::fetch(gmail, calls, id, size)).await)? {
            Some(read) => read,
            None => return Ok(Answer::Gone),
        }
    };
    let notes =
        [read.note.clone(), detect::addresses(&message.mail.recipients, &gmail.pattern).1.then(|| detect::CUT.to_owned())];
    let notes: Vec<String> = notes.into_iter().flatten().collect();
    let read = Content { note: (!notes.is_empty()).then(|| notes.join("; ")), ..read };
    Ok(Answer::Read(content::added(&item.raw, read, held)))
}

/// Converts `Class::Gone` to `None`: a message in the history may no longer exist.
fn unless_gone<T>(answer: Result<T, Failure>) -> Result<Option<T>, Failure> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(failure) if failure.class == Class::Gone => Ok(None),
        Err(failure) => Err(failure),
    }
}
