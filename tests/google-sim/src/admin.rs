//! The test's side: seed and change users' data, read the true state and the ledger.

mod control;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::churn;
use crate::push;
use crate::state::{Calendar, User, World, lock};
use crate::{calendar, event, generate, ics, oauth};

pub(crate) type Shared = State<Arc<World>>;
pub(crate) type Params = Query<BTreeMap<String, String>>;
pub(crate) type Answer = Result<Json<Value>, Wrong>;

/// A request that names something unknown or makes no sense.
pub(crate) struct Wrong(pub(crate) String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, Json(json!({ "error": self.0 }))).into_response()
    }
}

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/generate", post(|State(world): Shared, Json(order): Json<generate::Order>| async move { Json(generate::generate(&world, &order)) }))
        .route("/churn", post(|State(world): Shared, Json(order): Json<churn::Order>| async move { Json(churn::churn(&world, &order)) }))
        .route("/load", post(load))
        .route("/accounts", get(accounts))
        .route("/users", post(add_user))
        .route("/calendars", post(put_calendar).delete(delete_calendar))
        .route("/events", post(put_event).put(put_event).delete(delete_event))
        .route("/state", get(state))
        .route("/agenda", get(agenda))
        .route("/ledger", get(|State(world): Shared| async move { Json(world.ledger.counts()) }))
        .route("/ledger/reset", post(|State(world): Shared| async move { world.ledger.reset() }))
        .route("/requests", get(|State(world): Shared| async move { world.requests.lines() }).post(record).delete(forget))
        .merge(control::routes())
}

#[derive(Deserialize)]
struct Record {
    on: bool,
}

async fn record(State(world): Shared, Json(order): Json<Record>) {
    world.requests.switch(order.on);
}

async fn forget(State(world): Shared) {
    world.requests.forget();
}

#[derive(Deserialize)]
struct Named {
    user: String,
}

pub(crate) fn user(world: &World, email: &str) -> Result<Arc<User>, Wrong> {
    world.user(email).ok_or_else(|| Wrong(format!("no user {email}")))
}

fn calendar(world: &World, email: &str, id: &str) -> Result<Arc<Calendar>, Wrong> {
    user(world, email)?.calendar(id).ok_or_else(|| Wrong(format!("{email} has no calendar {id}")))
}

async fn load(State(world): Shared, Json(order): Json<ics::Order>) -> Answer {
    let loaded = ics::load(&world, &order).map_err(|error| Wrong(format!("{error:#}")))?;
    Ok(Json(json!(loaded)))
}

/// JSON lines for `syncctl accounts import`.
async fn accounts(State(world): Shared, Query(params): Params) -> String {
    let service_account = params.get("kind").is_some_and(|kind| kind == "service_account");
    world.all_users().iter().map(|user| format!("{}\n", oauth::account_line(&world, user, service_account))).collect()
}

#[derive(Deserialize)]
struct NewUser {
    email: String,
}

async fn add_user(State(world): Shared, Json(new): Json<NewUser>) -> Answer {
    let user = world.add_user(&new.email);
    Ok(Json(oauth::account_line(&world, &user, false)))
}

#[derive(Deserialize)]
struct PutCalendar {
    user: String,
    id: String,
    summary: Option<String>,
    #[serde(default)]
    selected: bool,
    time_zone: Option<String>,
    /// The user's access role; owners may do everything.
    access_role: Option<String>,
    /// The status with which its events are refused (403, 404); 0: no longer refused.
    refuses: Option<u16>,
}

/// Adds a calendar, or changes the entry of an existing one; its events stay.
async fn put_calendar(State(world): Shared, Json(put): Json<PutCalendar>) -> Answer {
    let user = user(&world, &put.user)?;
    // The list does not reveal this.
    if let (Some(status), Some(calendar)) = (put.refuses, user.calendar(&put.id)) {
        calendar.refuses.store(status, Ordering::Relaxed);
        return Ok(Json(json!({ "id": put.id })));
    }
    let (summary, zone) = (put.summary.as_deref().unwrap_or("Calendar"), put.time_zone.as_deref().unwrap_or("UTC"));
    let is_new = user.calendar(&put.id).is_none();
    if is_new {
        let calendar = user.add_calendar(&put.id, summary, false, put.selected, zone, world.now());
        // It may have existed before, and have channels.
        lock(&calendar.events).bell = Some(world.bell(&push::events_key(&user.email, &put.id)));
    }
    if !is_new || put.access_role.is_some() {
        let mut entry = json!({ "kind": "calendar#calendarListEntry", "id": put.id, "summary": summary, "timeZone": zone,
            "accessRole": put.access_role.as_deref().unwrap_or("owner"), "selected": put.selected });
        if put.id == user.email {
            entry["primary"] = json!(true);
        }
        user.put_entry(entry, world.now());
    }
    Ok(Json(json!({ "id": put.id })))
}

#[derive(Deserialize)]
struct DeleteCalendar {
    user: String,
    id: String,
}

async fn delete_calendar(State(world): Shared, Json(gone): Json<DeleteCalendar>) -> Answer {
    let user = user(&world, &gone.user)?;
    calendar(&world, &gone.user, &gone.id)?;
    user.calendars.write().unwrap_or_else(PoisonError::into_inner).remove(&gone.id);
    user.put_entry(json!({ "kind": "calendar#calendarListEntry", "id": gone.id, "deleted": true }), world.now());
    Ok(Json(json!({ "deleted": gone.id })))
}

#[derive(Deserialize)]
struct PutEvent {
    user: String,
    calendar: String,
    /// In Google's format; missing fields are filled in.
    event: Option<Value>,
    /// Text that is served unchanged, however odd.
    raw: Option<String>,
}

async fn put_event(State(world): Shared, Json(put): Json<PutEvent>) -> Answer {
    let calendar = calendar(&world, &put.user, &put.calendar)?;
    let mut feed = lock(&calendar.events);
    match (put.event, put.raw) {
        (Some(mut event), None) => {
            if event["id"].as_str().is_none_or(str::is_empty) {
                event["id"] = json!(format!("made{:012}", world.serial()));
            }
            let id = event::put(&mut feed, &calendar.id, event, world.now());
            Ok(Json(json!({ "id": id })))
        }
        (None, Some(raw)) => {
            let named: Option<Value> = serde_json::from_str(&raw).ok();
            let id = named
                .and_then(|event| event["id"].as_str().map(str::to_owned))
                .unwrap_or_else(|| format!("raw{}", world.serial()));
            feed.put(&id, raw.into(), None, None);
            Ok(Json(json!({ "id": id })))
        }
        _ => Err(Wrong("give either event or raw".into())),
    }
}

#[derive(Deserialize)]
struct DeleteEvent {
    user: String,
    calendar: String,
    id: String,
}

async fn delete_event(State(world): Shared, Json(gone): Json<DeleteEvent>) -> Answer {
    let calendar = calendar(&world, &gone.user, &gone.calendar)?;
    if event::delete(&mut lock(&calendar.events), &gone.id, world.now()) {
        Ok(Json(json!({ "deleted": gone.id })))
    } else {
        Err(Wrong(format!("no live event {}", gone.id)))
    }
}

/// What `singleEvents=true` returns of all calendars in a span, as JSON lines.
async fn agenda(State(world): Shared, Query(params): Params) -> Result<String, Wrong> {
    let time = |name: &str| {
        let time = params.get(name).and_then(|text| chrono::DateTime::parse_from_rfc3339(text).ok());
        time.map(|at| at.timestamp_millis()).ok_or_else(|| Wrong(format!("{name} is no RFC 3339 time")))
    };
    let window = Some((time("from")?, time("to")?));
    let mut lines = String::new();
    for user in world.all_users() {
        for calendar in user.all_calendars() {
            for text in calendar::agenda(&lock(&calendar.events), window, world.now()) {
                let event: Value = serde_json::from_str(&text).unwrap_or_default();
                let line = json!({ "user": user.email, "calendar": calendar.id, "id": event["id"], "start": event["start"],
                    "end": event["end"], "summary": event["summary"] });
                lines.push_str(&format!("{line}\n"));
            }
        }
    }
    Ok(lines)
}

/// Every live event, as JSON lines: user, calendar, id, etag, status, updated, start, hangout_link.
async fn state(State(world): Shared, Query(params): Params) -> String {
    #[derive(Default, Deserialize)]
    struct Shown {
        etag: Option<String>,
        status: Option<String>,
        updated: Option<String>,
        start: Option<Value>,
        #[serde(rename = "hangoutLink")]
        hangout_link: Option<String>,
    }
    let mut lines = String::new();
    for user in world.all_users() {
        if params.get("user").is_some_and(|given| *given != user.email) {
            continue;
        }
        for calendar in user.all_calendars() {
            if params.get("calendar").is_some_and(|given| *given != calendar.id) {
                continue;
            }
            for (id, entry) in lock(&calendar.events).live() {
                let shown: Shown = serde_json::from_str(&entry.text).unwrap_or_default();
                let line = json!({ "user": user.email, "calendar": calendar.id, "id": **id, "etag": shown.etag, "status": shown.status,
                    "updated": shown.updated, "start": shown.start, "hangout_link": shown.hangout_link });
                lines.push_str(&format!("{line}\n"));
            }
        }
    }
    lines
}
