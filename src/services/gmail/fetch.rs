//! Fetches one page of a mailbox: its history after a cursor, or the list of its messages. No database access.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::Utc;
use serde::{Deserialize, Serialize};
use url::Url;

use super::cursor::Cursor;
use super::list::{LIST_COST, LIST_FIELDS, Listed};
use super::message::{Change, HistoryChange, Resource, decode};
use super::partial_page::Rest;
use super::read::Read;
use super::{BATCH, Gmail, SCOPE, labels, read};
use crate::engine::{Calls, Next, Page, Position};
use crate::error::{Class, Failure};
use crate::google::{Host, parse_json};

/// Quota units of `history.list`, the cost of an idle mailbox.
pub const HISTORY_COST: u64 = 2;
const PROFILE_COST: u64 = 1;
/// Maximum quota units of a page of a full pass, excluding its messages and the colours of labels.
pub const PASS_COST: u64 = LIST_COST + PROFILE_COST + labels::fetch::LIST_COST;
const HISTORY_FIELDS: &str = "history(id,messagesAdded(message(id)),messagesDeleted(message(id)),labelsAdded(message(id,labelIds)),\
                              labelsRemoved(message(id,labelIds))),nextPageToken,historyId";

/// What a full pass pins at its first page: the current history id, and the start of the window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    pub history_id: String,
    /// Seconds since the epoch; `None`: all messages.
    pub after: Option<i64>,
    /// The number of messages in the mailbox, if all are listed.
    #[serde(default)]
    pub messages: Option<i64>,
}

impl Pinned {
    /// Parses the pinned start of a position.
    pub fn parse(pinned: &str) -> Result<Self, Failure> {
        serde_json::from_str(pinned)
            .map_err(|error| Failure::new(Class::PageExpired, format!("the pinned start is malformed: {error}")))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    history_id: String,
    messages_total: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct History {
    #[serde(default)]
    history: Vec<Record>,
    next_page_token: Option<String>,
    history_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    id: String,
    #[serde(default)]
    messages_added: Vec<Entry>,
    #[serde(default)]
    messages_deleted: Vec<Entry>,
    #[serde(default)]
    labels_added: Vec<Entry>,
    #[serde(default)]
    labels_removed: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    message: Labelled,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Labelled {
    id: String,
    #[serde(default)]
    label_ids: Vec<String>,
}

/// Fetches a page of the changes since the cursor.
pub async fn history(gmail: &Gmail, calls: &Calls, cursor: &Cursor, at: &Position) -> Result<Page<Change>, Failure> {
    let (records, next) = records(gmail, calls, cursor, at).await?;
    let (changes, added) = split_history(records);
    let mut page = page(gmail, calls, Rest { rest: added, sizes: BTreeMap::new(), next }, None, !changes.is_empty()).await?;
    for resource in changes {
        match resource.to_raw().and_then(decode) {
            Ok(item) => page.items.push(item),
            Err(bad) => page.poison.push(bad),
        }
    }
    Ok(page)
}

/// Fetches the rest of a partially read page.
pub async fn rest(gmail: &Gmail, calls: &Calls, at: &Position, rest: Rest) -> Result<Page<Change>, Failure> {
    page(gmail, calls, rest, at.pinned.clone(), false).await
}

/// Fetches the messages of a page, or some of them: those that were read are kept, and the next page starts with the rest. `has_more`: the
/// page has other changes too, which are kept even if no message can be read.
async fn page(
    gmail: &Gmail,
    calls: &Calls,
    Rest { rest, sizes, next }: Rest,
    pinned: Option<String>,
    has_more: bool,
) -> Result<Page<Change>, Failure> {
    let requested = rest.len();
    let Read { items, poison, rest, sizes, stopped } = read::messages(gmail, calls, &rest, &sizes).await?;
    match stopped {
        Some(failure) if rest.len() == requested && !has_more => Err(failure),
        _ => {
            let expected = pinned.as_deref().and_then(|pinned| Pinned::parse(pinned).ok()?.messages);
            Ok(Page { items, poison, pinned, expected, next: Rest { rest, sizes, next }.next()? })
        }
    }
}

/// The ids of the messages that changed since the cursor.
pub async fn changed(gmail: &Gmail, calls: &Calls, cursor: &Cursor) -> Result<HashSet<String>, Failure> {
    let mut at = Position::default();
    let mut ids = HashSet::new();
    loop {
        let (records, next) = records(gmail, calls, cursor, &at).await?;
        let (changes, added) = split_history(records);
        ids.extend(changes.into_iter().map(|resource| resource.id).chain(added));
        match next {
            Next::Page(token) => at.page_token = Some(token),
            Next::Cursor(_) => return Ok(ids),
        }
    }
}

async fn records(gmail: &Gmail, calls: &Calls, cursor: &Cursor, at: &Position) -> Result<(Vec<Record>, Next), Failure> {
    let mut url = gmail.url(&["history"])?;
    url.query_pairs_mut()
        .append_pair("startHistoryId", &cursor.history_id)
        .append_pair("maxResults", &gmail.settings.page_size.to_string())
        .append_pair("fields", HISTORY_FIELDS);
    append_page(&mut url, at.page_token.as_deref());
    let History { history, next_page_token, history_id } = calls
        .make(HISTORY_COST, || async {
            let answer = match at.page_token {
                None => gmail.batcher.get(BATCH, "history.list", &calls.credential, SCOPE, url.clone()).await,
                Some(_) => gmail.google.get("history.list", &calls.credential, SCOPE, url.clone()).await,
            };
            parse_json("history.list", &answer.map_err(|failure| too_old(at.blame(failure)))?)
        })
        .await?;
    let next = match (next_page_token, history_id) {
        (Some(token), _) => Next::Page(token),
        (None, Some(cursor)) => Next::Cursor(cursor),
        (None, None) => {
            return Err(Failure::new(Class::Transient, "history.list: the response has neither nextPageToken nor historyId"));
        }
    };
    Ok((history, next))
}

/// Fetches a page of the messages in the window. The history id is pinned before the first page, so that no change is missed.
pub async fn listing(gmail: &Gmail, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
    let pinned = match &at.pinned {
        Some(pinned) => Pinned::parse(pinned)?,
        None => pin(gmail, calls).await?,
    };
    let mut url = gmail.url(&["messages"])?;
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("maxResults", &gmail.settings.page_size.to_string())
            // Messages in spam and trash still exist.
            .append_pair("includeSpamTrash", "true")
            .append_pair("fields", LIST_FIELDS);
        if let Some(after) = pinned.after {
            query.append_pair("q", &format!("after:{after}"));
        }
    }
    append_page(&mut url, at.page_token.as_deref());
    let Listed { messages, next_page_token } = calls
        .make(LIST_COST, || async {
            let answer = gmail.google.get("messages.list", &calls.credential, SCOPE, url.clone()).await;
            parse_json("messages.list", &answer.map_err(|failure| at.blame(failure))?)
        })
        .await?;
    let mut seen = HashSet::new();
    // Remove duplicates: one statement cannot update a row twice.
    let ids: Vec<String> = messages.into_iter().map(|message| message.id).filter(|id| seen.insert(id.clone())).collect();
    let next = match next_page_token {
        Some(token) => Next::Page(token),
        None => Next::Cursor(pinned.history_id.clone()),
    };
    page(gmail, calls, Rest { rest: ids, sizes: BTreeMap::new(), next }, serde_json::to_string(&pinned).ok(), false).await
}

async fn pin(gmail: &Gmail, calls: &Calls) -> Result<Pinned, Failure> {
    let mut url = gmail.url(&["profile"])?;
    url.query_pairs_mut().append_pair("fields", "historyId,messagesTotal");
    let Profile { history_id, messages_total } = calls
        .make(PROFILE_COST, || async {
            let answer = gmail.google.get("users.getProfile", &calls.credential, SCOPE, url.clone()).await;
            parse_json("users.getProfile", &answer?)
        })
        .await?;
    let after = gmail.settings.window.map(|window| (Utc::now() - window).timestamp());
    Ok(Pinned { history_id, after, messages: messages_total.filter(|_| after.is_none()) })
}

pub(super) fn append_page(url: &mut Url, token: Option<&str>) {
    if let Some(token) = token {
        url.query_pairs_mut().append_pair("pageToken", token);
    }
}

/// A 404 for a history means that the cursor is too old.
fn too_old(failure: Failure) -> Failure {
    match failure.class {
        Class::Gone => Failure { class: Class::CursorExpired, ..failure },
        _ => failure,
    }
}

/// Merges history records by message. Returns the changes that the history describes completely, and the ids of the messages to fetch.
fn split_history(history: Vec<Record>) -> (Vec<Resource>, Vec<String>) {
    let mut order: Vec<String> = Vec::new();
    let mut last: HashMap<String, Option<Resource>> = HashMap::new();
    for Record { id: history_id, messages_added, messages_deleted, labels_added, labels_removed } in history {
        let mut set = |message: Labelled, change: Option<HistoryChange>| {
            let resource = change.map(|change| Resource {
                id: message.id.clone(),
                label_ids: message.label_ids,
                history_id: Some(history_id.clone()),
                history_change: Some(change),
                ..Resource::default()
            });
            match last.get_mut(&message.id) {
                // A new message is fetched with its labels anyway; a deleted one has none.
                Some(None) if change == Some(HistoryChange::Labels) => {}
                Some(Some(resource))
                    if resource.history_change == Some(HistoryChange::Deleted) && change == Some(HistoryChange::Labels) => {}
                Some(known) => *known = resource,
                None => {
                    order.push(message.id.clone());
                    last.insert(message.id, resource);
                }
            }
        };
        messages_added.into_iter().for_each(|entry| set(entry.message, None));
        labels_added.into_iter().chain(labels_removed).for_each(|entry| set(entry.message, Some(HistoryChange::Labels)));
        messages_deleted.into_iter().for_each(|entry| set(entry.message, Some(HistoryChange::Deleted)));
    }
    let (mut changes, mut added) = (Vec::new(), Vec::new());
    for id in order {
        match last.remove(&id) {
            Some(Some(resource)) => changes.push(resource),
            Some(None) => added.push(id),
            None => {}
        }
    }
    (changes, added)
}

impl Gmail {
    pub(super) fn url(&self, segments: &[&str]) -> anyhow::Result<Url> {
        self.google.url(Host::Gmail, &[&["gmail", "v1", "users", "me"], segments].concat())
    }
}
