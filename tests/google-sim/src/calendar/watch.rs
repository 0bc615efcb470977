//! `events.watch`, `calendarList.watch` and Calendar's `channels.stop`.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;

use super::method;
use crate::call::call;
use crate::errors;
use crate::place::Params;
use crate::push::{self, Resource};
use crate::state::{World, lock};

/// Seconds: default and maximum, a week.
const LIVES: (i64, i64) = (604_800, 604_800);

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/calendar/v3/calendars/{calendar}/events/watch", post(events))
        .route("/calendar/v3/users/me/calendarList/watch", post(calendar_list))
        .route("/calendar/v3/channels/stop", post(stop))
}

async fn events(
    State(world): State<Arc<World>>,
    Path(calendar): Path<String>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    call(&world, &headers, &method("events.watch", Some(&calendar), false), |user| {
        let calendar = user.calendar(&calendar).ok_or_else(|| Box::new(errors::google(404, "notFound", "Not Found")))?;
        // Public calendars of holidays, birthdays and the like (KeepSoftwareSimple/compass-calendar#2111).
        if calendar.id.ends_with("@group.v.calendar.google.com") {
            let message = "Push notifications are not supported by this resource.";
            return Err(Box::new(errors::google(400, "pushNotSupportedForRequestedResource", message)));
        }
        let key = push::events_key(&user.email, &calendar.id);
        lock(&calendar.events).bell.get_or_insert_with(|| world.bell(&key));
        let path = format!("/calendar/v3/calendars/{}/events?alt=json", calendar.id);
        let name = format!("events/{}", calendar.id);
        let resource = Resource { api: "calendar", name, keys: vec![key], path, lives: LIVES };
        push::watch(&world, &user.email, resource, &body, (&params, &headers))
    })
    .await
}

async fn calendar_list(
    State(world): State<Arc<World>>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    call(&world, &headers, &method("calendarList.watch", None, false), |user| {
        let key = format!("calendarList/{}", user.email);
        lock(&user.list).bell.get_or_insert_with(|| world.bell(&key));
        let path = "/calendar/v3/users/me/calendarList?alt=json".to_owned();
        let resource = Resource { api: "calendar", name: "calendarList".into(), keys: vec![key], path, lives: LIVES };
        push::watch(&world, &user.email, resource, &body, (&params, &headers))
    })
    .await
}

async fn stop(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    call(&world, &headers, &method("channels.stop", None, false), |user| push::stop(&world, "calendar", &user.email, &body)).await
}
