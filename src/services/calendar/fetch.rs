//! One page of `calendarList.list` or `events.list`. Knows no database.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use url::Url;

use super::{Calendar, Change, LIST, confirm, event, list};
use crate::config;
use crate::db::items::Poison;
use crate::engine::verify::{Thing, Things};
use crate::engine::{Calls, Item, Next, Page, Position, Stream};
use crate::error::{Class, Failure};
use crate::google::{self, Endpoint, Host, List};

/// Calendar counts requests.
pub const COST: u64 = 1;
/// Entries a page of the list of calendars: the most that Google gives.
const LIST_PAGE: &str = "250";
/// Items whole, nothing around them but the tokens.
const FIELDS: &str = "items,nextPageToken,nextSyncToken";

/// Events a page of a comparison: the most that Google gives, and of little of each.
const EVENTS_PAGE: &str = "2500";

/// The window of a full pass, pinned at its first page: every page and the sweep speak of the same one.
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

    /// From when to when.
    pub fn span(&self) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
        let parse = |time: &str| DateTime::parse_from_rfc3339(time).map(|at| at.to_utc());
        Ok((parse(&self.time_min)?, parse(&self.time_max)?))
    }

    /// Reads what a position pinned.
    pub fn parse(pinned: &str) -> Result<Self, Failure> {
        serde_json::from_str(pinned)
            .map_err(|error| Failure::new(Class::PageExpired, format!("the pinned window is malformed: {error}")))
    }
}

/// A page of a user's calendars.
pub async fn calendars(calendar: &Calendar, calls: &Calls, at: &Position) -> Result<Page<Change>, Failure> {
    let mut url = calendar.google.url(Host::Apis, &["calendar", "v3", "users", "me", "calendarList"])?;
    url.query_pairs_mut()
        .append_pair("maxResults", LIST_PAGE)
        .append_pair("showDeleted", "true")
        .append_pair("showHidden", "true")
        .append_pair("fields", FIELDS);
    append_place(&mut url, at);
    let request = Request { what: "calendarList.list", url, is_small: true, pinned: None, decode: list::decode };
    calls.make(COST, || page(calendar, calls, at, &request)).await
}

/// A page of a calendar's events: the window in a full pass, what changed since the cursor otherwise.
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
        // With a sync token Google refuses the window: the token remembers it.
        if at.cursor.is_none() {
            let window = match &at.pinned {
                Some(pinned) => Window::parse(pinned)?,
                None => Window::now(settings),
            };
            query.append_pair("timeMin", &window.time_min).append_pair("timeMax", &window.time_max);
            pinned = serde_json::to_string(&window).ok();
        }
    }
    append_place(&mut url, at);
    // What follows a cursor is mostly nothing; a full pass fills an answer of its own.
    let is_small = at.cursor.is_some() && at.page_token.is_none();
    let request = Request { what: "events.list", url, is_small, pinned, decode: event::decode };
    let mut page = calls.make(COST, || page(calendar, calls, at, &request)).await?;
    if at.cursor.is_some() && at.page_token.is_none() {
        page.items.extend(confirm::answers(calendar, stream, calls).await?);
    }
    Ok(page)
}

fn append_place(url: &mut Url, at: &Position) {
    let mut query = url.query_pairs_mut();
    if let Some(cursor) = &at.cursor {
        query.append_pair("syncToken", cursor);
    }
    if let Some(token) = &at.page_token {
        query.append_pair("pageToken", token);
    }
}

/// Everything that the window names, or the list of calendars: ids and versions.
pub async fn list_versions(calendar: &Calendar, stream: &Stream, calls: &Calls, window: &Window) -> Result<Things, Failure> {
    let is_list = stream.kind == LIST;
    let (what, path): (_, &[&str]) = match is_list {
        true => ("calendarList.list", &["calendar", "v3", "users", "me", "calendarList"]),
        false => ("events.list", &["calendar", "v3", "calendars", &stream.resource, "events"]),
    };
    let mut things = Things::new();
    let mut page_token: Option<String> = None;
    loop {
        let mut url = calendar.google.url(Host::Apis, path)?;
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("showDeleted", "true");
            match is_list {
                true => query
                    .append_pair("maxResults", LIST_PAGE)
                    .append_pair("showHidden", "true")
                    .append_pair("fields", "items(id,etag,deleted),nextPageToken"),
                false => query
                    .append_pair("fields", "items(id,etag,status,recurringEventId),nextPageToken")
                    .append_pair("maxResults", EVENTS_PAGE)
                    .append_pair("singleEvents", "false")
                    .append_pair("timeMin", &window.time_min)
                    .append_pair("timeMax", &window.time_max),
            };
            query.extend_pairs(page_token.as_ref().map(|token| ("pageToken", token)));
        }
        let named: Vec<Named>;
        (named, page_token) = calls
            .make(COST, async || {
                let body = calendar.google.get(what, &calls.credential, google::SCOPE_CALENDAR, url.clone()).await?;
                let list = List::read(what, &body)?;
                // What cannot even be read so far lies in quarantine.
                let named = list.items.iter().filter_map(|item| serde_json::from_str(item.get()).ok()).collect();
                Ok((named, list.next_page_token))
            })
            .await?;
        things.extend(named.into_iter().filter_map(Named::id_and_version));
        if page_token.is_none() {
            return Ok(things);
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
    /// `None`: a deletion that needs not be known.
    fn id_and_version(self) -> Option<(String, Thing)> {
        let dead = self.deleted || self.status.as_deref() == Some("cancelled");
        match (dead, self.recurring_event_id) {
            (false, _) => Some((self.id, Thing::alive(self.etag.unwrap_or_default()))),
            // Without it its series would show an instance that does not take place.
            (true, Some(_)) => Some((self.id, Thing::dead())),
            (true, None) => None,
        }
    }
}

/// What one call asks for, and how its items are read.
struct Request {
    what: &'static str,
    url: Url,
    /// The answer goes well with others in one request.
    is_small: bool,
    pinned: Option<String>,
    decode: fn(Box<RawValue>) -> Result<Item<Change>, Poison>,
}

async fn page(calendar: &Calendar, calls: &Calls, at: &Position, request: &Request) -> Result<Page<Change>, Failure> {
    let Request { what, url, is_small, pinned, decode } = request;
    let scope = google::SCOPE_CALENDAR;
    let answer = match is_small {
        true => calendar.batcher.get(Endpoint::Calendar, what, &calls.credential, scope, url.clone()).await,
        false => calendar.google.get(what, &calls.credential, scope, url.clone()).await,
    };
    let body = answer.map_err(|failure| at.blame(failure))?;
    let List { items, next_page_token, next_sync_token } = List::read(what, &body)?;
    let next = match (next_page_token, next_sync_token) {
        (Some(token), _) => Next::Page(token),
        (None, Some(cursor)) => Next::Cursor(cursor),
        (None, None) => {
            return Err(Failure::new(
                Class::Transient,
                format!("{what}: the answer has neither nextPageToken nor nextSyncToken"),
            ));
        }
    };
    Ok(Page::decoded(calls, &items, *decode, pinned.clone(), next))
}
