//! `calendarList.list`, `events.list` and `events.get`, with the real rules for tokens and parameters.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use chrono::DateTime;
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::errors;
use crate::feed::{Ask, Feed, Span};
use crate::fields::Selector;
use crate::reply;
use crate::state::{AccessToken, CALENDAR_SCOPE, User, World, lock};

type Params = BTreeMap<String, String>;
type Refusal = Box<Response>;

/// Refused together with a sync token.
const NOT_WITH_SYNC_TOKEN: [&str; 8] =
    ["iCalUID", "orderBy", "privateExtendedProperty", "sharedExtendedProperty", "q", "timeMin", "timeMax", "updatedMin"];
/// Neither part of the place in a feed nor bound by its tokens.
const UNBOUND: [&str; 7] = ["syncToken", "pageToken", "fields", "prettyPrint", "key", "timeMin", "timeMax"];

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/calendar/v3/users/me/calendarList", get(calendar_list))
        .route("/calendar/v3/calendars/{calendar}/events", get(events))
        .route("/calendar/v3/calendars/{calendar}/events/{event}", get(event))
}

/// A place in a feed, handed out as a page token (`k` = p) or a sync token (`k` = s).
#[derive(Serialize, Deserialize)]
struct Place {
    k: char,
    epoch: u64,
    /// Hash of the parameters that it is bound to.
    bound: u64,
    after: u64,
    /// The feed's version when the pass began: a full pass does not name what is deleted meanwhile, so its sync token goes back to here.
    began: u64,
    window: Span,
    /// Whether the pass follows a sync token.
    follows: bool,
}

impl Place {
    fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str, kind: char) -> Option<Self> {
        let place: Self = serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()?;
        (place.k == kind).then_some(place)
    }
}

async fn calendar_list(State(world): State<Arc<World>>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    call(&world, &headers, "calendarList.list", None, params.contains_key("syncToken"), |user| {
        let frame = || "\"kind\":\"calendar#calendarList\"".to_owned();
        list(&world, &user.list, &params, &headers, (100, 250), frame)
    })
    .await
}

async fn events(
    State(world): State<Arc<World>>,
    Path(calendar): Path<String>,
    Query(params): Query<Params>,
    headers: HeaderMap,
) -> Response {
    call(&world, &headers, "events.list", Some(&calendar), params.contains_key("syncToken"), |user| {
        let calendar = user.calendar(&calendar).ok_or_else(|| Box::new(errors::google(404, "notFound", "Not Found")))?;
        if params.get("singleEvents").is_some_and(|value| value == "true") {
            return Err(bad("singleEvents", "this simulator does not expand series"));
        }
        let zone = &calendar.time_zone;
        let frame = || format!("\"kind\":\"calendar#events\",\"timeZone\":{}", serde_json::json!(zone));
        list(&world, &calendar.events, &params, &headers, (250, 2500), frame)
    })
    .await
}

async fn event(State(world): State<Arc<World>>, Path((calendar, id)): Path<(String, String)>, headers: HeaderMap) -> Response {
    call(&world, &headers, "events.get", Some(&calendar), false, |user| {
        let calendar = user.calendar(&calendar);
        let text = calendar.as_ref().and_then(|calendar| lock(&calendar.events).get(&id).map(|entry| Arc::clone(&entry.text)));
        text.map(|text| reply::json(text.to_string(), &headers))
            .ok_or_else(|| Box::new(errors::google(404, "notFound", "Not Found")))
    })
    .await
}

/// Who calls, whether they may, what strikes them, and the entry in the ledger.
async fn call(
    world: &Arc<World>,
    headers: &HeaderMap,
    method: &str,
    calendar: Option<&str>,
    follows: bool,
    answer: impl FnOnce(&User) -> Result<Response, Refusal>,
) -> Response {
    let token = bearer(world, headers);
    let email = token.as_ref().map(|token| token.email.as_str());
    let _call = world.ledger.begin(method, email, calendar);
    let fault = world.faults.strike(method, email, follows);
    let response = reply::with_fault(world, fault, async || {
        allowed(world, token.as_ref()).and_then(|user| answer(&user)).unwrap_or_else(|refusal| *refusal)
    })
    .await;
    world.ledger.answered(response.status().as_u16());
    response
}

fn bearer(world: &World, headers: &HeaderMap) -> Option<AccessToken> {
    let secret = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
    world.tokens.read().unwrap_or_else(PoisonError::into_inner).get(secret).cloned()
}

fn allowed(world: &World, token: Option<&AccessToken>) -> Result<Arc<User>, Refusal> {
    let token = token.filter(|token| token.expires > world.now()).ok_or_else(|| Box::new(errors::auth_error()))?;
    let user = world.user(&token.email).ok_or_else(|| Box::new(errors::auth_error()))?;
    if !world.api_enabled.load(Ordering::Relaxed) {
        return Err(Box::new(errors::not_configured()));
    }
    if !token.scopes.iter().any(|scope| scope == CALENDAR_SCOPE) {
        return Err(Box::new(errors::insufficient_permissions()));
    }
    world.quota.spend(&token.email, world.now())?;
    Ok(user)
}

fn bad(parameter: &str, why: &str) -> Refusal {
    Box::new(errors::google(400, "invalidParameter", &format!("Invalid value for {parameter}: {why}")))
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
    let ask = Ask { after: start.after, limit, deletions: start.follows, window: start.window };
    let empty = world.empty_pages.load(Ordering::Relaxed);
    let page = match params.contains_key("pageToken") || empty == 0 || rand::random::<u64>() % 1_000 >= empty {
        true => feed.page(&ask),
        // An empty page that carries a token for the rest.
        false => crate::feed::Page { texts: Vec::new(), next: Some(start.after), version: feed.version() },
    };
    let token = match page.next {
        Some(after) => {
            let place = Place { k: 'p', epoch: feed.page_epoch, after, ..start };
            format!("\"nextPageToken\":\"{}\"", place.encode())
        }
        None => {
            let after = if start.follows { page.version } else { start.began };
            let place = Place { k: 's', epoch: feed.sync_epoch, after, ..start };
            format!("\"nextSyncToken\":\"{}\"", place.encode())
        }
    };
    drop(feed);
    Ok(reply::json(body(&selector, &page.texts, &token, frame), asked))
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

fn bound(params: &Params) -> u64 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in params.iter().filter(|(name, _)| !UNBOUND.contains(&name.as_str())) {
        (name, value).hash(&mut hasher);
    }
    hasher.finish()
}

/// Where a request starts in its feed.
fn place(feed: &Feed, params: &Params, bound: u64) -> Result<Place, Refusal> {
    if params.contains_key("syncToken") {
        if let Some(name) = NOT_WITH_SYNC_TOKEN.iter().find(|name| params.contains_key(**name)) {
            return Err(bad(name, "cannot be used together with a sync token"));
        }
        if params.get("showDeleted").is_some_and(|value| value == "false") {
            return Err(bad("showDeleted", "must not be false together with a sync token"));
        }
    }
    if let Some(text) = params.get("pageToken") {
        let place = Place::decode(text, 'p').ok_or_else(|| bad("pageToken", "not a page token"))?;
        return match () {
            () if place.epoch != feed.page_epoch => Err(bad("pageToken", "expired")),
            () if place.bound != bound => Err(bad("pageToken", "belongs to a request with other parameters")),
            () if place.follows != params.contains_key("syncToken") => Err(bad("pageToken", "belongs to another pass")),
            () => Ok(place),
        };
    }
    if let Some(text) = params.get("syncToken") {
        let place = Place::decode(text, 's').ok_or_else(|| bad("syncToken", "not a sync token"))?;
        if place.epoch != feed.sync_epoch {
            let reason = feed.expired_reason.as_deref().unwrap_or("fullSyncRequired");
            return Err(Box::new(errors::google(410, reason, "Sync token is no longer valid, a full sync is required.")));
        }
        return match place.bound == bound {
            true => Ok(Place { follows: true, ..place }),
            false => Err(bad("syncToken", "belongs to a request with other parameters")),
        };
    }
    Ok(Place { k: 'p', epoch: feed.page_epoch, bound, after: 0, began: feed.version(), window: window(params)?, follows: false })
}

fn window(params: &Params) -> Result<Span, Refusal> {
    let time = |name: &str| -> Result<Option<i64>, Refusal> {
        let Some(text) = params.get(name) else { return Ok(None) };
        let at = DateTime::parse_from_rfc3339(text).map_err(|_| bad(name, "not an RFC 3339 time with an offset"))?;
        Ok(Some(at.timestamp_millis()))
    };
    let (from, to) = (time("timeMin")?, time("timeMax")?);
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        return Err(bad("timeMax", "not after timeMin"));
    }
    Ok((from.is_some() || to.is_some()).then(|| (from.unwrap_or(i64::MIN), to.unwrap_or(i64::MAX))))
}
