//! `changes.watch`, `files.watch` and Drive's `channels.stop`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;

use super::get::seen;
use super::params::{all_drives, drive, metadata, place, refused};
use crate::call::{Method, call};
use crate::place::Params;
use crate::push::{self, Resource, all_drives_key, file_key, log_key};
use crate::state::{World, lock};

/// Lifetime of a channel in seconds: default and maximum.
const CHANGES_LIVE: (i64, i64) = (3_600, 604_800);
const FILES_LIVE: (i64, i64) = (3_600, 86_400);

pub async fn changes(State(world): State<Arc<World>>, Query(params): Query<Params>, headers: HeaderMap, body: Bytes) -> Response {
    let stream = super::changes::stream(&params);
    let method = Method { stream: Some(&stream), ..metadata("changes.watch", 5) };
    call(&world, &headers, &method, |user| {
        let resource = {
            let mut store = lock(&world.drive);
            let all = all_drives(&params)?;
            let drive = drive(&store, &params, &user.email)?;
            let feed = drive.unwrap_or(&user.email);
            let token = params.get("pageToken").ok_or_else(|| refused(400, "required", "Required parameter: pageToken"))?;
            place(&store, feed, token)?;
            let mut keys = vec![log_key(feed)];
            if all && drive.is_none() {
                keys.push(all_drives_key(&user.email));
            }
            store.bell.get_or_insert_with(|| world.bell("drive"));
            let name = match drive {
                Some(drive) => format!("changes/{drive}"),
                None if all => "changes/all".to_owned(),
                None => "changes/my".to_owned(),
            };
            let path = format!("/drive/v3/changes?alt=json&pageToken={token}");
            Resource { api: "drive", name, keys, path, lives: CHANGES_LIVE }
        };
        push::watch(&world, &user.email, resource, &body, (&params, &headers))
    })
    .await
}

pub async fn file(
    State(world): State<Arc<World>>,
    Path(id): Path<String>,
    Query(params): Query<Params>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    call(&world, &headers, &metadata("files.watch", 5), |user| {
        {
            let mut store = lock(&world.drive);
            seen(&store, &id, &params, &user.email)?;
            store.bell.get_or_insert_with(|| world.bell("drive"));
        }
        let path = format!("/drive/v3/files/{id}?alt=json");
        let resource = Resource { api: "drive", name: format!("files/{id}"), keys: vec![file_key(&id)], path, lives: FILES_LIVE };
        push::watch(&world, &user.email, resource, &body, (&params, &headers))
    })
    .await
}

pub async fn stop(State(world): State<Arc<World>>, headers: HeaderMap, body: Bytes) -> Response {
    call(&world, &headers, &metadata("channels.stop", 5), |user| push::stop(&world, "drive", &user.email, &body)).await
}
