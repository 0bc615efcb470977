//! `calendarList.list`, `events.list` and `events.get`, with Google's rules for tokens and parameters.

mod watch;

use std::borrow::Cow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::call::{Method, call};
use crate::errors;
use crate::event;
use crate::feed::{Ask, Entry, Feed, Span};
use crate::fields::{Schema, Selector, selection};
use crate::instances;
use crate::place::{Params, Place, Refusal, bad, bound, place};
use crate::reply;
use crate::schema;
use crate::state::{CALENDAR_SCOPE, Calendar, User, World, lock};

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/calendar/v3/users/me/calendarList", get(calendar_list))
        .route("/calendar/v3/calendars/{calendar}", get(get_calendar))
        .route("/calendar/v3/calendars/{calendar}/events", get(list_events))
        .route("/calendar/v3/calendars/{calendar}/events/{event}", get(get_event))
        .merge(watch::routes())
}

async fn calendar_list(State(world): State<Arc<World>>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    let method = method("calendarList.list", None, params.contains_key("syncToken"));
    call(&world, &headers, &method, |user| {
        list(
            &world,
            &user.list,
            (&params, &schema::CALENDAR_LIST),
            &headers,
            (100, 250),
            |feed| json!({ "kind": "calendar#calendarList", "etag": etag(feed) }),
        )
    })
    .await
}

async fn get_calendar(
    State(world): State<Arc<World>>,
    Path(calendar): Path<String>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Response {
    call(&world, &headers, &method("calendars.get", Some(&calendar), false), |user| {
        let calendar = user.calendar(&calendar).ok_or_else(|| Box::new(errors::google(404, "notFound", "Not Found")))?;
        let selector = selection(params.get("fields").map(String::as_str), "*", &schema::CALENDAR)?;
        let body = json!({ "kind": "calendar#calendar", "etag": etag(&lock(&calendar.events)), "id": calendar.id,
            "summary": summary(user, &calendar.id), "timeZone": calendar.time_zone,
            "conferenceProperties": { "allowedConferenceSolutionTypes": ["hangoutsMeet"] } });
        Ok(reply::json(selector.of(body).to_string(), &headers))
    })
    .await
}

async fn list_events(
    State(world): State<Arc<World>>,
    Path(calendar): Path<String>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Response {
    let method = method("events.list", Some(&calendar), params.contains_key("syncToken"));
    call(&world, &headers, &method, |user| {
        let calendar = user.calendar(&calendar).ok_or_else(|| Box::new(errors::google(404, "notFound", "Not Found")))?;
        if let Some(refusal) = calendar.refusal() {
            return Err(refusal);
        }
        let name = summary(user, &calendar.id);
        list(&world, &calendar.events, (&params, &schema::EVENTS), &headers, (250, 2500), |feed| {
            json!({ "kind": "calendar#events", "etag": etag(feed), "summary": name, "description": "", "timeZone": calendar.time_zone,
                "updated": event::updated(feed, world.now()), "accessRole": "owner",
                "defaultReminders": [{ "method": "popup", "minutes": 10 }] })
        })
    })
    .await
}

async fn get_event(
    State(world): State<Arc<World>>,
    Path((calendar, id)): Path<(String, String)>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Response {
    call(&world, &headers, &method("events.get", Some(&calendar), false), |user| {
        let selector = selection(params.get("fields").map(String::as_str), "*", &schema::EVENT)?;
        let calendar = user.calendar(&calendar);
        if let Some(refusal) = calendar.as_ref().and_then(|calendar| calendar.refusal()) {
            return Err(refusal);
        }
        let text = calendar.as_ref().and_then(|calendar| one(&lock(&calendar.events), &id));
        let unchanged = |text: &Arc<str>| {
            let known = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
            let event: Value = serde_json::from_str(text).ok()?;
            (event["etag"] == known).then(|| StatusCode::NOT_MODIFIED.into_response())
        };
        text.map(|text| unchanged(&text).unwrap_or_else(|| reply::json(part(&selector, &text).to_string(), &headers)))
            .ok_or_else(|| Box::new(errors::google(404, "notFound", "Not Found")))
    })
    .await
}

/// An event, or an instance of a series, by its id.
fn one(feed: &Feed, id: &str) -> Option<Arc<str>> {
    if let Some(entry) = feed.get(id) {
        return Some(Arc::clone(&entry.text));
    }
    let series: Value = serde_json::from_str(&feed.get(id.rsplit_once('_')?.0)?.text).ok()?;
    let named = |text: &Arc<str>| serde_json::from_str::<Value>(text).is_ok_and(|event| event["id"] == id);
    instances::of(&series, None, |_| false)?.into_iter().find(named)
}

impl Calendar {
    /// The refusal configured for its events.
    fn refusal(&self) -> Option<Refusal> {
        match self.refuses.load(Ordering::Relaxed) {
            403 => Some(Box::new(errors::google(403, "forbidden", "Forbidden"))),
            404 => Some(Box::new(errors::google(404, "notFound", "Not Found"))),
            _ => None,
        }
    }
}

fn method<'a>(name: &'static str, stream: Option<&'a str>, follows: bool) -> Method<'a> {
    Method { name, scopes: &[CALENDAR_SCOPE], service: "calendar", units: 1, stream, follows, id: None, of_mailbox: false }
}

/// One page of a feed.
fn list(
    world: &World,
    feed: &Mutex<Feed>,
    (params, schema): (&Params, &Schema),
    headers: &HeaderMap,
    (default, most): (usize, usize),
    frame: impl FnOnce(&Feed) -> Value,
) -> Result<Response, Refusal> {
    let limit = match params.get("maxResults") {
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| bad("maxResults", "not a number above 0"))?
            .min(most),
        None => default,
    };
    let selector = selection(params.get("fields").map(String::as_str), "*", schema)?;
    let bound = bound(params);
    let feed = lock(feed);
    let start = place(&feed, params, bound)?;
    let single = params.get("singleEvents").is_some_and(|value| value == "true");
    let unroll = |entry: &Entry| unrolled(&feed, entry, start.window, world.now());
    let ask = Ask {
        after: start.after,
        limit,
        deletions: start.follows || params.get("showDeleted").is_some_and(|value| value == "true"),
        window: start.window,
        outside: start.follows.then(|| *lock(&world.outside)),
        skip: start.skip,
        unroll: single.then_some(&unroll),
    };
    let empty = world.empty_pages.load(Ordering::Relaxed);
    let page = if params.contains_key("pageToken") || empty == 0 || rand::random::<u64>() % 1_000 >= empty {
        feed.page(&ask)
    } else {
        // An empty page with a token for the rest.
        crate::feed::Page { texts: Vec::new(), next: Some((start.after, start.skip)), version: feed.version() }
    };
    let (name, position) = match page.next {
        Some((after, skip)) => ("nextPageToken", Place { k: 'p', epoch: feed.page_epoch, after, skip, ..start }),
        None => {
            let after = if start.follows { page.version } else { start.began };
            ("nextSyncToken", Place { k: 's', epoch: feed.sync_epoch, after, skip: 0, ..start })
        }
    };
    let mut frame = frame(&feed);
    drop(feed);
    frame[name] = json!(position.encode());
    Ok(reply::json(body(&selector, &page.texts, frame), headers))
}

/// What `singleEvents=true` returns of a feed in a window.
pub fn agenda(feed: &Feed, window: Span, now: DateTime<Utc>) -> Vec<Arc<str>> {
    let unroll = |entry: &Entry| unrolled(feed, entry, window, now);
    let ask = Ask { after: 0, limit: usize::MAX, deletions: false, window, outside: None, skip: 0, unroll: Some(&unroll) };
    feed.page(&ask).texts
}

/// What `singleEvents=true` returns for a series: its instances, and for a deleted one their stubs, never the series itself.
fn unrolled(feed: &Feed, entry: &Entry, window: Span, now: DateTime<Utc>) -> Option<Vec<Arc<str>>> {
    let event: Value = serde_json::from_str(&entry.text).ok()?;
    let (from, to) = window.unwrap_or((i64::MIN, i64::MAX));
    // An endless series needs an upper limit.
    let to = to.min((now + chrono::Duration::days(730)).timestamp_millis());
    let instances = instances::of(&event, Some((from, to)), |id| feed.get(id).is_some())?;
    if entry.stub.is_none() {
        return Some(instances);
    }
    let stub = |text: Arc<str>| serde_json::from_str(&text).map(|event| event::stub_of(&event)).ok();
    Some(instances.into_iter().filter_map(stub).collect())
}

/// A version of the whole feed.
fn etag(feed: &Feed) -> String {
    format!("\"p{:014x}\"", feed.version())
}

/// The calendar's name, as in its entry in the user's list.
fn summary(user: &User, calendar: &str) -> Value {
    let list = lock(&user.list);
    let entry = list.get(calendar).and_then(|entry| serde_json::from_str::<Value>(&entry.text).ok());
    entry.map_or(Value::Null, |entry| entry["summary"].clone())
}

/// The selected part of an item. Parsed only if a part is selected: whole items are sent as stored.
fn part<'a>(selector: &Selector, text: &'a str) -> Cow<'a, str> {
    let value = (!selector.is_everything()).then(|| serde_json::from_str(text).ok()).flatten();
    value.map_or(Cow::Borrowed(text), |value| Cow::Owned(selector.of(value).to_string()))
}

fn body(selector: &Selector, texts: &[Arc<str>], frame: Value) -> String {
    let mut body = selector.of(frame).to_string();
    if let Some(items) = selector.get("items") {
        body.reserve(texts.iter().map(|text| text.len() + 1).sum::<usize>() + 16);
        body.pop();
        body.push_str(if body.len() > 1 { ",\"items\":[" } else { "\"items\":[" });
        for (position, text) in texts.iter().enumerate() {
            if position > 0 {
                body.push(',');
            }
            body.push_str(&part(items, text));
        }
        body.push_str("]}");
    }
    body
}
