//! Fetches one page of `calendarList.list` or `events.list`. No database access.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::Url;

use super::{BATCH, CALENDAR_LIST, COST, Calendar, Change, LIST, SCOPE, confirm, list, read};
use crate::config;
use crate::db::items::Poison;
use crate::engine::verify::{ItemState, Things};
use crate::engine::{Calls, Item, Next, Page, Position, Stream};
use crate::error::{Class, Failure};
use crate::google::{Host, List};

/// Page size of the list of calendars: Google's maximum.
const LIST_PAGE: &str = "250";
/// Complete items, and nothing else but the tokens.
const FIELDS: &str = "items,nextPageToken,nextSyncToken";

/// Page size of a comparison, which needs few fields: Google's maximum.
const EVENTS_PAGE: &str = "2500";

/// The window of a full pass, pinned at its first page so that every page and the sweep use the same one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// RFC 3339
    pub time_min: String,
    /// RFC 3339
    pub time_max: String,
}

impl Window {
    fn now(settings: &config::Calendar) -> Self {
        let now = Utc::now();
        let at = |time: chrono::DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        Self { time_min: at(now - settings.window_past), time_max: at(now + settings.window_future) }
    }

    /// The parsed bounds.
    pub fn span(&self) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
        let parse = |time: &str| DateTime::parse_from_rfc3339(time).map(|at| at.to_utc());
        Ok((parse(&self.time_min)?, parse(&self.time_max)?))
    }

    /// Parses the pinned window of a position.
    pub fn parse(pinned: &str) -> Result<Self, Failure> {
        serde_json::from_str(pinned)
            .map_err(|error| Failure::new(Class::PageExpired, format!("the pinned window is malformed: {error}")))
    }
}

/// Fetches a page of a user's list of calendars.
pub async fn calendars(calendar: &Calendar, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
    let mut url = calendar.google.url(Host::Apis, &CALENDAR_LIST)?;
    url.query_pairs_mut()
        .append_pair("maxResults", LIST_PAGE)
        .append_pair("showDeleted", "true")
        .append_pair("showHidden", "true")
        .append_pair("fields", FIELDS);
    append_position(&mut url, at);
    let request = Request { what: "calendarList.list", url, is_small: true, pinned: None, decode: list::decode };
    calls.make(COST, || page(calendar, calls, at, &request)).await
}

/// Fetches a page of a calendar's events: of the window in a full pass, otherwise of the changes since the cursor.
pub async fn events(calendar: &Calendar, stream: &Stream, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
    let settings = &calendar.settings;
    let mut url = calendar.google.url(Host::Apis, &["calendar", "v3", "calendars", &stream.resource, "events"])?;
    let mut pinned = None;
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("maxResults", &settings.page_size.to_string())
            .append_pair("showDeleted", "true")
            .append_pair("singleEvents", "false")
            .append_pair("fields", FIELDS);
        // Google rejects a window in addition to a sync token, which includes it.
        if at.cursor.is_none() {
            let window = match &at.pinned {
                Some(pinned) => Window::parse(pinned)?,
                None => Window::now(settings),
            };
            query.append_pair("timeMin", &window.time_min).append_pair("timeMax", &window.time_max);
            pinned = serde_json::to_string(&window).ok();
        }
    }
    append_position(&mut url, at);
    // The first page after a cursor is usually empty, so it can be batched; the pages of a full pass are large.
    let is_small = at.cursor.is_some() && at.page_token.is_none();
    let request = Request { what: "events.list", url, is_small, pinned, decode: read::decode };
    let mut page = calls.make(COST, || page(calendar, calls, at, &request)).await?;
    if at.cursor.is_some() && at.page_token.is_none() {
        page.items.extend(confirm::answers(calendar, stream, calls).await?);
    }
    Ok(page)
}

fn append_position(url: &mut Url, at: &Position) {
    let mut query = url.query_pairs_mut();
    if let Some(cursor) = &at.cursor {
        query.append_pair("syncToken", cursor);
    }
    if let Some(token) = &at.page_token {
        query.append_pair("pageToken", token);
    }
}

/// Lists the ids and versions of all events in the window, or of all calendars.
pub async fn list_versions(calendar: &Calendar, stream: &Stream, calls: &Calls, window: &Window) -> Result<Things, Failure> {
    let is_list = stream.kind == LIST;
    let (what, path): (_, &[&str]) = if is_list {
        ("calendarList.list", &CALENDAR_LIST)
    } else {
        ("events.list", &["calendar", "v3", "calendars", &stream.resource, "events"])
    };
    let mut versions = Things::new();
    let mut page_token: Option<String> = None;
    loop {
        let mut url = calendar.google.url(Host::Apis, path)?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("showDeleted", "true");
            if is_list {
                query
                    .append_pair("maxResults", LIST_PAGE)
                    .append_pair("showHidden", "true")
                    .append_pair("fields", "items(id,etag,deleted),nextPageToken")
            } else {
                query
                    .append_pair("fields", "items(id,etag,status,recurringEventId),nextPageToken")
                    .append_pair("maxResults", EVENTS_PAGE)
                    .append_pair("singleEvents", "false")
                    .append_pair("timeMin", &window.time_min)
                    .append_pair("timeMax", &window.time_max)
            };
            query.extend_pairs(page_token.as_ref().map(|token| ("pageToken", token)));
        }
        let named: Vec<Named>;
        (named, page_token) = calls
            .make(COST, async || {
                let body = calendar.google.get(what, &calls.credential, SCOPE, url.clone()).await?;
                let list = List::read(what, &body)?;
                // Items without even these fields are in quarantine.
                let named = list.items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect();
                Ok((named, list.next_page_token))
            })
            .await?;
        versions.extend(named.into_iter().filter_map(Named::id_and_version));
        if page_token.is_none() {
            return Ok(versions);
        }
    }
}

/// The parts of an event or a calendar that are compared.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    id: String,
    etag: Option<String>,
    status: Option<String>,
    deleted: bool,
    recurring_event_id: Option<String>,
}

impl Named {
    /// `None`: a deletion that need not be stored.
    fn id_and_version(self) -> Option<(String, ItemState)> {
        let dead = self.deleted || self.status.as_deref() == Some("cancelled");
        match (dead, self.recurring_event_id) {
            (false, _) => Some((self.id, ItemState::alive(self.etag.unwrap_or_default()))),
            // Without its tombstone, the series would show an instance that does not take place.
            (true, Some(_)) => Some((self.id, ItemState::dead())),
            (true, None) => None,
        }
    }
}

/// What one call requests, and how its items are decoded.
struct Request {
    what: &'static str,
    url: Url,
    /// The response is small enough to batch with others.
    is_small: bool,
    pinned: Option<String>,
    decode: fn(Box<RawValue>) -> Result<Item<Change>, Poison>,
}

async fn page(calendar: &Calendar, calls: &Calls, at: &Position, request: &Request) -> Result<Page<Change>, Failure> {
    let Request { what, url, is_small, pinned, decode } = request;
    let scope = SCOPE;
    let answer = if *is_small {
        calendar.batcher.get(BATCH, what, &calls.credential, scope, url.clone()).await
    } else {
        calendar.google.get(what, &calls.credential, scope, url.clone()).await
    };
    let body = answer.map_err(|failure| at.blame(failure))?;
    let List { items, next_page_token, next_sync_token } = List::read(what, &body)?;
    let next = match (next_page_token, next_sync_token) {
        (Some(token), _) => Next::Page(token),
        (None, Some(cursor)) => Next::Cursor(cursor),
        (None, None) => {
            return Err(Failure::new(
                Class::Transient,
                format!("{what}: the response has neither nextPageToken nor nextSyncToken"),
            ));
        }
    };
    Ok(Page::decoded(calls, &items, *decode, pinned.clone(), next))
}
