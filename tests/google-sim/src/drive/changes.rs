//! `changes.getStartPageToken` and `changes.list`.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::file::{File, Home};
use super::params::{all_drives, drive, flag, metadata, page_size, place, refused, selector, token};
use super::store::{About, Entry, Store};
use crate::call::{Method, call};
use crate::fields::Selector;
use crate::place::{Params, Refusal, bad};
use crate::reply;
use crate::schema;
use crate::state::{World, lock};

const SHOWN: &str = "kind,nextPageToken,newStartPageToken,\
    changes(kind,changeType,type,time,removed,fileId,driveId,drive(kind,id,name),file(kind,id,name,mimeType))";

pub async fn start_page_token(State(world): State<Arc<World>>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    let stream = stream(&params);
    let method = Method { stream: Some(&stream), ..metadata("changes.getStartPageToken", 5) };
    call(&world, &headers, &method, |user| {
        let store = lock(&world.drive);
        let drive = drive(&store, &params, &user.email)?;
        let token = token(drive.unwrap_or(&user.email), store.sequence());
        let body = json!({ "kind": "drive#startPageToken", "startPageToken": token });
        Ok(reply::json(selector(&params, &schema::START, "*")?.of(body).to_string(), &headers))
    })
    .await
}

pub async fn list(State(world): State<Arc<World>>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    let stream = stream(&params);
    let method = Method { stream: Some(&stream), follows: true, ..metadata("changes.list", 100) };
    call(&world, &headers, &method, |user| {
        let body = page(&lock(&world.drive), &params, &user.email)?;
        Ok(reply::json(body.to_string(), &headers))
    })
    .await
}

pub fn stream(params: &Params) -> String {
    format!("drive/{}", params.get("driveId").map_or("my", String::as_str))
}

fn page(store: &Store, params: &Params, user: &str) -> Result<Value, Refusal> {
    let limit = page_size(params, 100, 1_000)?;
    let selected = selector(params, &schema::CHANGES, SHOWN)?;
    let all = all_drives(params)?;
    let drive = drive(store, params, user)?;
    if drive.is_some() && !all {
        return Err(bad("driveId", "includeItemsFromAllDrives must be true with it"));
    }
    let removals = flag(params, "includeRemoved", true)?;
    let restricted = flag(params, "restrictToMyDrive", false)?;
    flag(params, "includeCorpusRemovals", false)?;
    if params.get("spaces").is_some_and(|spaces| spaces != "drive") {
        return Err(bad("spaces", "only drive is simulated"));
    }
    let text = params.get("pageToken").ok_or_else(|| refused(400, "required", "Required parameter: pageToken"))?;
    let feed = drive.unwrap_or(user);
    let after = place(store, feed, text)?;

    let item = Selector::default();
    let item = selected.get("changes").unwrap_or(&item);
    let (mut changes, mut last, mut more) = (Vec::new(), after, false);
    // A separate log: changes in a shared drive are in the drive's own log.
    for (at, entry) in store.walk(&store.logs(user, drive, false), after) {
        let change = match entry.about {
            About::Drive => all.then(|| of_drive(store, user, entry)),
            About::DriveItem if !all => None,
            About::DriveItem | About::File => of_file(store, user, entry, item, restricted),
        };
        let Some(change) = change.filter(|change| removals || change["removed"] != json!(true)) else { continue };
        if changes.len() == limit {
            more = true;
            break;
        }
        changes.push(item.of(change));
        last = at;
    }
    let mut body = Map::new();
    let (name, at) = if more { ("nextPageToken", last) } else { ("newStartPageToken", store.sequence()) };
    body.insert("kind".into(), json!("drive#changeList"));
    body.insert(name.into(), json!(token(feed, at)));
    body.insert("changes".into(), Value::Array(changes));
    body.retain(|name, _| selected.get(name).is_some());
    Ok(Value::Object(body))
}

/// The file's current state, or its removal for this user.
fn of_file(store: &Store, user: &str, entry: &Entry, selected: &Selector, restricted: bool) -> Option<Value> {
    let is_visible = |file: &&File| match entry.about {
        // For a member it still exists, in the drive's log.
        About::DriveItem => store.is_in_own_log(user, file),
        _ => store.sees(user, file),
    };
    let file: Option<&File> = store.file(&entry.id).filter(is_visible);
    let own = |file: &File| matches!(&file.home, Home::User(owner) if **owner == *user);
    if restricted && file.is_some_and(|file| !own(file)) {
        return None;
    }
    let mut change = json!({ "kind": "drive#change", "changeType": "file", "type": "file", "time": time(entry), "removed": file.is_none(), "fileId": entry.id });
    if let (Some(file), Some(selected)) = (file, selected.get("file")) {
        change["file"] = file.shown(store, &entry.id, user, selected);
    }
    Some(change)
}

/// The user joined or left a shared drive.
fn of_drive(store: &Store, user: &str, entry: &Entry) -> Value {
    let drive = store.drive(&entry.id).filter(|drive| drive.members.contains(user));
    let mut change = json!({ "kind": "drive#change", "changeType": "drive", "type": "drive", "time": time(entry), "removed": drive.is_none(), "driveId": entry.id });
    if let Some(drive) = drive {
        change["drive"] = json!({ "kind": "drive#drive", "id": entry.id, "name": drive.name });
    }
    change
}

fn time(entry: &Entry) -> String {
    entry.at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
