//! Fetches one page of `drives.list`, `files.list` or `changes.list`, and single files. No database access.

use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use url::Url;

use super::content::Reading;
use super::{BATCH, Change, Drive, MY_DRIVE, SCOPE, drives as list, file as files};
use crate::db::items::Poison;
use crate::engine::{Calls, Decoded, Item, Next, Page, Position, Stream};
use crate::error::{Class, Failure};
use crate::google::{Host, List, parse_json};

/// Units of a list call.
pub const LIST_COST: u64 = 100;
const GET_COST: u64 = 5;
/// Units of calls that are neither a list nor a file.
pub const OTHER_COST: u64 = 5;
/// Shared drives per page: Google's maximum.
const DRIVES_PAGE: &str = "100";
/// Cursor of `drives.list`, which has no change feed.
const LISTED: &str = "listed";
/// The pinned start of a pass over a shared drive that the user can no longer see.
pub const GONE: &str = "gone";
/// Maximum number of files requested one by one in one poll.
const MAX_SINGLE: usize = 200;
const AT_ONCE: usize = 8;

/// Fetches a page of a user's shared drives.
pub async fn drives(drive: &Drive, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
    let mut url = drive.google.url(Host::Apis, &["drive", "v3", "drives"])?;
    url.query_pairs_mut().append_pair("pageSize", DRIVES_PAGE).append_pair("fields", "drives(id,name),nextPageToken");
    append_page(&mut url, at.page_token.as_deref());
    calls
        .make(LIST_COST, async || {
            let body = drive.google.get("drives.list", &calls.credential, SCOPE, url.clone()).await;
            let body = body.map_err(|failure| at.blame(failure))?;
            let list = List::read("drives.list", &body)?;
            let next = list.next_page_token.map_or_else(|| Next::Cursor(LISTED.into()), Next::Page);
            Ok(Page::decoded(calls, &list.items, list::decode, None, next))
        })
        .await
}

/// Whether the user's list names a shared drive. A 404 alone may be a temporary error at Google, and leaving a drive marks its files as lost.
async fn is_listed(drive: &Drive, calls: &Calls, id: &str) -> Result<bool, Failure> {
    let mut at = Position::default();
    loop {
        let page = drives(drive, calls, &at).await?;
        if page.items.iter().any(|item| item.id == id) || page.poison.iter().any(|poison| poison.item_id == id) {
            return Ok(true);
        }
        match page.next {
            Next::Page(token) => at.page_token = Some(token),
            Next::Cursor(_) => return Ok(false),
        }
    }
}

/// Fetches a page of files: all files in a full pass, otherwise the changes since the cursor.
pub async fn files(drive: &Drive, stream: &Stream, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
    let mut page = match &at.cursor {
        Some(cursor) => changes(drive, stream, calls, at, cursor).await?,
        None => listing(drive, stream, calls, at).await?,
    };
    if at.cursor.is_some() && matches!(page.next, Next::Cursor(_)) {
        add_pending(drive, stream, calls, &mut page).await?;
    }
    Reading::new(drive, stream).fill(calls, &mut page.items).await?;
    Ok(page)
}

pub(super) async fn changes(
    drive: &Drive,
    stream: &Stream,
    calls: &Calls,
    at: &Position,
    cursor: &str,
) -> Result<Page<Change>, Failure> {
    let mut url = drive.google.url(Host::Apis, &["drive", "v3", "changes"])?;
    append_feed(&mut url, stream);
    url.query_pairs_mut()
        .append_pair("pageSize", &drive.settings.page_size.to_string())
        .append_pair("pageToken", at.page_token.as_deref().unwrap_or(cursor))
        .append_pair("includeRemoved", "true")
        .append_pair("restrictToMyDrive", "false")
        .append_pair(
            "fields",
            &format!("changes(changeType,time,removed,fileId,driveId,file({})),nextPageToken,newStartPageToken", *files::FIELDS),
        );
    let (what, scope) = ("changes.list", SCOPE);
    calls
        .make(LIST_COST, async || {
            // The first page after a cursor is mostly empty, so it is batched; further pages are large, so they are not.
            let answer = match at.page_token {
                None => drive.batcher.get(BATCH, what, &calls.credential, scope, url.clone()).await,
                Some(_) => drive.google.get(what, &calls.credential, scope, url.clone()).await,
            };
            let body = answer.map_err(|failure| match failure.class {
                // The token or the shared drive is unknown: the full pass that follows asks for the drive first.
                Class::Gone => Failure { class: Class::CursorExpired, ..failure },
                _ => at.blame(failure),
            })?;
            let list = List::read(what, &body)?;
            let next = match (list.next_page_token, list.next_sync_token) {
                (Some(token), _) => Next::Page(token),
                (None, Some(cursor)) => Next::Cursor(cursor),
                (None, None) => {
                    return Err(Failure::new(
                        Class::Transient,
                        format!("{what}: the answer has neither nextPageToken nor newStartPageToken"),
                    ));
                }
            };
            Ok(Page::decoded(calls, &list.items, files::decode, None, next))
        })
        .await
}

pub(super) async fn listing(drive: &Drive, stream: &Stream, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
    // Pin the token before the first page, so that changes during the listing come with the changes after it.
    let pinned = match &at.pinned {
        Some(pinned) => pinned.clone(),
        None => match start_token(drive, stream, calls).await {
            // No longer a member: return an empty complete pass, whose sweep marks the files as lost.
            Err(failure) if failure.class == Class::Gone && stream.resource != MY_DRIVE => {
                if is_listed(drive, calls, &stream.resource).await? {
                    let message = format!("{}, although drives.list names the drive", failure.message);
                    return Err(Failure { class: Class::Transient, message, ..failure });
                }
                return Ok(Page {
                    items: Vec::new(),
                    poison: Vec::new(),
                    pinned: Some(GONE.into()),
                    expected: None,
                    next: Next::Cursor(GONE.into()),
                });
            }
            token => token?,
        },
    };
    let mut url = drive.google.url(Host::Apis, &["drive", "v3", "files"])?;
    append_feed(&mut url, stream);
    url.query_pairs_mut()
        .append_pair("pageSize", &drive.settings.page_size.to_string())
        .append_pair("corpora", if stream.resource == MY_DRIVE { "user" } else { "drive" })
        .append_pair("spaces", "drive")
        .append_pair("fields", &format!("files({}),nextPageToken", *files::FIELDS));
    append_page(&mut url, at.page_token.as_deref());
    calls
        .make(LIST_COST, async || {
            let body = drive.google.get("files.list", &calls.credential, SCOPE, url.clone()).await;
            let body = body.map_err(|failure| at.blame(failure))?;
            let list = List::read("files.list", &body)?;
            let next = list.next_page_token.map_or_else(|| Next::Cursor(pinned.clone()), Next::Page);
            Ok(Page::decoded(calls, &list.items, files::decode, Some(pinned.clone()), next))
        })
        .await
}

async fn start_token(drive: &Drive, stream: &Stream, calls: &Calls) -> Result<String, Failure> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Start {
        start_page_token: String,
    }
    let mut url = drive.google.url(Host::Apis, &["drive", "v3", "changes", "startPageToken"])?;
    url.query_pairs_mut().append_pair("supportsAllDrives", "true");
    if stream.resource != MY_DRIVE {
        url.query_pairs_mut().append_pair("driveId", &stream.resource);
    }
    let what = "changes.getStartPageToken";
    calls
        .make(OTHER_COST, async || {
            let body = drive.google.get(what, &calls.credential, SCOPE, url.clone()).await?;
            Ok(parse_json::<Start>(what, &body)?.start_page_token)
        })
        .await
}

/// Adds the followed files whose documents are outdated although nothing changed: newly followed files, and files whose content could not be
/// read when they changed. Those that cannot be fetched are quarantined.
async fn add_pending(drive: &Drive, stream: &Stream, calls: &Calls, page: &mut Page<Change>) -> Result<(), Failure> {
    let pending = drive.watched.pending(stream).filter(|id| !page.items.iter().any(|item| item.id == *id)).take(MAX_SINGLE);
    let pending: Vec<String> = pending.map(str::to_owned).collect();
    let (items, poison) = seen(drive, calls, &pending).await?;
    page.items.extend(items);
    page.poison.extend(poison);
    Ok(())
}

/// Fetches files by their ids, with their content: each is returned as it is now, as removed, or as poison.
pub async fn refetch(drive: &Drive, stream: &Stream, calls: &Calls, ids: &[String]) -> Result<Decoded<Change>, Failure> {
    let (mut items, poison) = seen(drive, calls, ids).await?;
    Reading::new(drive, stream).fill(calls, &mut items).await?;
    Ok((items, poison))
}

/// Like `refetch`, but without the content.
pub(super) async fn seen(drive: &Drive, calls: &Calls, ids: &[String]) -> Result<Decoded<Change>, Failure> {
    let requests: Vec<_> = ids
        .iter()
        .map(async |id| match file(drive, calls, id).await {
            Ok(item) => Ok(Ok(item)),
            Err(failure) if matches!(failure.class, Class::Permanent | Class::Transient) && !failure.of_token => {
                Ok(Err(Poison::unfetched(id, &failure)))
            }
            Err(failure) => Err(failure),
        })
        .collect();
    let answers: Vec<Result<_, _>> = futures_util::stream::iter(requests).buffered(AT_ONCE).try_collect().await?;
    let mut files = Decoded::default();
    for answer in answers {
        match answer {
            Ok(item) => files.0.push(item),
            Err(poison) => files.1.push(poison),
        }
    }
    Ok(files)
}

/// Fetches a file by its id, as a change; a file that this user cannot see is a removal. It has no change time: no feed announced it, so its last
/// edit says nothing about how long a change waited or how often the feed changes.
pub async fn file(drive: &Drive, calls: &Calls, id: &str) -> Result<Item<Change>, Failure> {
    let mut url = drive.google.url(Host::Apis, &["drive", "v3", "files", id])?;
    url.query_pairs_mut().append_pair("supportsAllDrives", "true").append_pair("fields", &files::FIELDS);
    let what = "files.get";
    let request = calls.make(GET_COST, async || {
        let body = drive.google.get(what, &calls.credential, SCOPE, url.clone()).await?;
        files::decode(parse_json(what, &body)?)
            .map_err(|poison| Failure::new(Class::Permanent, format!("{what}: {}", poison.error)))
    });
    match request.await {
        Err(failure) if failure.class == Class::Gone => {
            files::removed(id).map_err(|error| Failure::new(Class::Internal, format!("writing a removal: {error}")))
        }
        answer => answer.map(|item| Item { changed_at: None, ..item }),
    }
}

/// Adds the parameters that select a feed: a shared drive's, or the user's own. The user's own feed also has some items of shared drives: those
/// shared with the user directly, and some that the user works with as a member.
pub fn append_feed(url: &mut Url, stream: &Stream) {
    let mut query = url.query_pairs_mut();
    query.append_pair("supportsAllDrives", "true").append_pair("includeItemsFromAllDrives", "true");
    if stream.resource != MY_DRIVE {
        query.append_pair("driveId", &stream.resource);
    }
}

fn append_page(url: &mut Url, token: Option<&str>) {
    if let Some(token) = token {
        url.query_pairs_mut().append_pair("pageToken", token);
    }
}
