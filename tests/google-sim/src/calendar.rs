//! `calendarList.list`, `events.list` and `events.get`, with the real rules for tokens and parameters.

mod watch;

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
use crate::fields::Selector;
use crate::instances;
use crate::place::{Params, Place, Refusal, bad, bound, place};
use crate::reply;
use crate::state::{CALENDAR_SCOPE, World, lock};

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
        let frame = || "\"kind\":\"calendar#calendarList\"".to_owned();
        list(&world, &user.list, &params, &headers, (100, 250), frame)
    })
    .await
}

async fn get_calendar(State(world): State<Arc<World>>, Path(calendar): Path<String>, headers: HeaderMap) -> Response {
    call(&world, &headers, &method("calendars.get", Some(&calendar), false), |user| {
        let calendar = user.calendar(&calendar).ok_or_else(|| Box::new(errors::google(404, "notFound", "Not Found")))?;
        let body = json!({ "kind": "calendar#calendar", "id": calendar.id, "timeZone": calendar.time_zone });
        Ok(reply::json(body.to_string(), &headers))
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
        let zone = &calendar.time_zone;
        let frame = || format!("\"kind\":\"calendar#events\",\"timeZone\":{}", json!(zone));
        list(&world, &calendar.events, &params, &headers, (250, 2500), frame)
    })
    .await
}

async fn get_event(
    State(world): State<Arc<World>>,
    Path((calendar, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    call(&world, &headers, &method("events.get", Some(&calendar), false), |user| {
        let calendar = user.calendar(&calendar);
        let text = calendar.as_ref().and_then(|calendar| lock(&calendar.events).get(&id).map(|entry| Arc::clone(&entry.text)));
        let unchanged = |text: &Arc<str>| {
            let known = headers.get(header::IF_NONE_MATCH)?.to_str().ok()?;
            let event: Value = serde_json::from_str(text).ok()?;
            (event["etag"] == known).then(|| StatusCode::NOT_MODIFIED.into_response())
        };
        text.map(|text| unchanged(&text).unwrap_or_else(|| reply::json(text.to_string(), &headers)))
            .ok_or_else(|| Box::new(errors::google(404, "notFound", "Not Found")))
    })
    .await
}

fn method<'a>(name: &'static str, stream: Option<&'a str>, follows: bool) -> Method<'a> {
    Method { name, scopes: &[CALENDAR_SCOPE], units: 1, stream, follows, id: None }
}

/// One page of a feed.
fn list(
    world: &World,
    feed: &Mutex<Feed>,
    params: &Params,
    asked: &HeaderMap,
    (default, most): (usize, usize),
    frame: impl FnOnce() -> String,
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
    let selector = match params.get("fields") {
        Some(text) => Selector::parse(text).ok_or_else(|| bad("fields", "malformed selection"))?,
        None => Selector::default(),
    };
    let bound = bound(params);
    let feed = lock(feed);
    let start = place(&feed, params, bound)?;
    let single = params.get("singleEvents").is_some_and(|value| value == "true");
    let unroll = |entry: &Entry| unrolled(&feed, entry, start.window, world.now());
    let ask = Ask {
        after: start.after,
        limit,
        deletions: start.follows,
        window: start.window,
        skip: start.skip,
        unroll: single.then_some(&unroll),
    };
    let empty = world.empty_pages.load(Ordering::Relaxed);
    let page = match params.contains_key("pageToken") || empty == 0 || rand::random::<u64>() % 1_000 >= empty {
        true => feed.page(&ask),
        // An empty page that carries a token for the rest.
        false => crate::feed::Page { texts: Vec::new(), next: Some((start.after, start.skip)), version: feed.version() },
    };
    let token = match page.next {
        Some((after, skip)) => {
            let place = Place { k: 'p', epoch: feed.page_epoch, after, skip, ..start };
            format!("\"nextPageToken\":\"{}\"", place.encode())
        }
        None => {
            let after = if start.follows { page.version } else { start.began };
            let place = Place { k: 's', epoch: feed.sync_epoch, after, skip: 0, ..start };
            format!("\"nextSyncToken\":\"{}\"", place.encode())
        }
    };
    drop(feed);
    Ok(reply::json(body(&selector, &page.texts, &token, frame), asked))
}

/// What `singleEvents=true` shows of a series: its instances, and of a deleted one their stubs, never the series itself.
fn unrolled(feed: &Feed, entry: &Entry, window: Span, now: DateTime<Utc>) -> Option<Vec<Arc<str>>> {
    let event: Value = serde_json::from_str(&entry.text).ok()?;
    let (from, to) = window.unwrap_or((i64::MIN, i64::MAX));
    // Without an end an endless series has to stop somewhere.
    let to = to.min((now + chrono::Duration::days(730)).timestamp_millis());
    let instances = instances::of(&event, Some((from, to)), |id| feed.get(id).is_some())?;
    if entry.stub.is_none() {
        return Some(instances);
    }
    let stub = |text: Arc<str>| serde_json::from_str(&text).map(|event| event::stub_of(&event)).ok();
    Some(instances.into_iter().filter_map(stub).collect())
}

fn body(selector: &Selector, texts: &[Arc<str>], token: &str, frame: impl FnOnce() -> String) -> String {
    let name = token.split('"').nth(1).unwrap_or_default();
    let mut body = String::with_capacity(texts.iter().map(|text| text.len() + 1).sum::<usize>() + token.len() + 128);
    body.push('{');
    if selector.is_everything() {
        body.push_str(&frame());
        body.push(',');
    }
    if selector.get(name).is_some() {
        body.push_str(token);
        body.push(',');
    }
    if let Some(items) = selector.get("items") {
        body.push_str("\"items\":[");
        for (place, text) in texts.iter().enumerate() {
            if place > 0 {
                body.push(',');
            }
            // Parsed only where a part is wanted: whole items go out as they are kept.
            let part = (!items.is_everything()).then(|| serde_json::from_str(text).ok()).flatten();
            match part {
                Some(value) => body.push_str(&items.of(value).to_string()),
                None => body.push_str(text),
            }
        }
        body.push_str("],");
    }
    if body.ends_with(',') {
        body.pop();
    }
    body.push('}');
    body
}
