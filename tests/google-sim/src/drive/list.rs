//! `files.list` and `drives.list`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::file::{File, Home};
use super::params::{all_drives, drive, metadata, page_size, place, selector, token};
use super::query::Search;
use super::store::{About, Store};
use crate::call::call;
use crate::fields::Selector;
use crate::place::{Params, Refusal, bad};
use crate::reply;
use crate::schema;
use crate::state::{World, lock};

pub async fn files(State(world): State<Arc<World>>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    call(&world, &headers, &metadata("files.list", 100), |user| {
        let chance = world.empty_pages.load(Ordering::Relaxed);
        let empty = !params.contains_key("pageToken") && rand::random::<u64>() % 1_000 < chance;
        let body = page(&lock(&world.drive), &params, &user.email, empty)?;
        Ok(reply::json(body.to_string(), &headers))
    })
    .await
}

/// A page, which may be empty with a token for the rest. It lists the files in the order of their last change: files that change during the
/// listing come later, or again, and are not missed.
fn page(store: &Store, params: &Params, user: &str, empty: bool) -> Result<Value, Refusal> {
    let limit = page_size(params, 100, 1_000)?;
    let selected = selector(params, &schema::FILES, "kind,incompleteSearch,nextPageToken,files(kind,id,name,mimeType)")?;
    let all = all_drives(params)?;
    let drive = drive(store, params, user)?;
    match (params.get("corpora").map_or("user", String::as_str), drive, all) {
        ("user", None, _) | ("allDrives", None, true) | ("drive", Some(_), true) => {}
        ("drive", None, _) => return Err(bad("corpora", "driveId must be given with drive")),
        ("user" | "allDrives", Some(_), _) => return Err(bad("driveId", "corpora must be drive with it")),
        ("allDrives" | "drive", ..) => return Err(bad("corpora", "includeItemsFromAllDrives must be true with it")),
        (other, ..) => return Err(bad("corpora", &format!("{other} is not simulated"))),
    }
    if params.contains_key("orderBy") {
        return Err(bad("orderBy", "not simulated"));
    }
    let search = match params.get("q") {
        Some(text) => Search::parse(text, user).ok_or_else(|| bad("q", "malformed, or not simulated"))?,
        None => Search::default(),
    };
    // A token is only valid with the same search in the same place.
    let mut bound = DefaultHasher::new();
    (params.get("q"), params.get("corpora"), drive, all).hash(&mut bound);
    let feed = format!("{user}:{:x}", bound.finish());
    let after = params.get("pageToken").map_or(Ok(0), |text| place(store, &feed, text))?;

    let item = Selector::default();
    let item = selected.get("files").unwrap_or(&item);
    let (mut files, mut last, mut more) = (Vec::new(), after, empty);
    let everywhere = params.get("corpora").is_some_and(|corpora| corpora == "allDrives");
    for (at, entry) in store.walk(&store.logs(user, drive, everywhere), after).take_while(|_| !empty) {
        let file = store.file(&entry.id).filter(|file| match (entry.about, &file.home) {
            (About::Drive, _) => false,
            (About::DriveItem, _) if !all => false,
            // It is in the drive's log as well.
            (About::DriveItem, Home::Drive(drive)) if everywhere && store.is_member(user, drive) => false,
            (About::DriveItem, _) => store.is_in_own_log(user, file),
            (About::File, _) => store.sees(user, file),
        });
        let left_out = |file: &&File| store.lists_no_insides && drive.is_none() && !everywhere && store.is_inside(user, file);
        let file = file.filter(|file| !left_out(file));
        let Some(file) = file.filter(|file| search.matches(store, user, file)) else { continue };
        if files.len() == limit {
            more = true;
            break;
        }
        files.push(file.shown(store, &entry.id, user, item));
        last = at;
    }
    let mut body = Map::new();
    body.insert("kind".into(), json!("drive#fileList"));
    body.insert("incompleteSearch".into(), json!(false));
    if more {
        body.insert("nextPageToken".into(), json!(token(&feed, last)));
    }
    body.insert("files".into(), Value::Array(files));
    body.retain(|name, _| selected.get(name).is_some());
    Ok(Value::Object(body))
}

pub async fn drives(State(world): State<Arc<World>>, Query(params): Query<Params>, headers: HeaderMap) -> Response {
    call(&world, &headers, &metadata("drives.list", 100), |user| {
        let limit = page_size(&params, 10, 100)?;
        let selected = selector(&params, &schema::DRIVES, "kind,nextPageToken,drives(kind,id,name)")?;
        let store = lock(&world.drive);
        let feed = format!("{}:drives", user.email);
        let after = params.get("pageToken").map_or(Ok(0), |text| place(&store, &feed, text))?;
        let rest = usize::try_from(after).unwrap_or(usize::MAX);
        let all: Vec<Value> = store
            .drives_of(&user.email)
            .map(|(id, drive)| json!({ "kind": "drive#drive", "id": id, "name": drive.name }))
            .collect();
        let drives: Vec<&Value> = all.iter().skip(rest).take(limit).collect();
        let mut body = json!({ "kind": "drive#driveList", "drives": drives });
        if all.len() > rest.saturating_add(limit) {
            body["nextPageToken"] = json!(token(&feed, after + limit as u64));
        }
        Ok(reply::json(selected.of(body).to_string(), &headers))
    })
    .await
}
