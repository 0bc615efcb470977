//! Who sees files: sharing, shared drives and their members.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, State};
use axum::routing::{delete, post};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;

use super::existing_file;
use crate::admin::{Answer, Shared, Wrong, user};
use crate::drive::edit::{share_with, transfer, unshare};
use crate::drive::file::Home;
use crate::drive::permission::{Grant, Grantee, Role};
use crate::drive::store::Store;
use crate::state::{World, lock};

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/share", post(share))
        .route("/unshare", post(remove_grant))
        .route("/transfer", post(give))
        .route("/star", post(star))
        .route("/open", post(open))
        .route("/listing", post(listing))
        .route("/drives", post(put_drive))
        .route("/members", delete(remove_member))
}

/// A file, and a user.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Of {
    id: String,
    user: String,
}

/// A permission: exactly one of `user`, `outsider` (an address that is no user here), `group`, `domain` and `anyone` says for whom.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    id: String,
    user: Option<String>,
    outsider: Option<String>,
    group: Option<String>,
    domain: Option<String>,
    #[serde(default)]
    anyone: bool,
    #[serde(default)]
    role: Role,
    #[serde(default)]
    allow_file_discovery: bool,
    expires: Option<DateTime<Utc>>,
    #[serde(default)]
    pending_owner: bool,
}

impl Share {
    fn grantee(&self, world: &World, store: &Store) -> Result<Grantee, Wrong> {
        if let Some(email) = &self.user {
            user(world, email)?;
        }
        let named = [
            self.user.as_ref().or(self.outsider.as_ref()).map(|email| Grantee::User(store.known(email))),
            self.group.as_deref().map(|group| Grantee::Group(group.into())),
            self.domain.as_deref().map(|domain| Grantee::Domain(domain.into())),
            self.anyone.then_some(Grantee::Anyone),
        ];
        let mut named = named.into_iter().flatten();
        match (named.next(), named.next()) {
            (Some(one), None) => Ok(one),
            _ => Err(Wrong("name one of user, outsider, group, domain and anyone".into())),
        }
    }
}

/// A member of a shared drive opens one of its files: from then on its changes are in this user's own log.
async fn open(State(world): Shared, Json(order): Json<Of>) -> Answer {
    user(&world, &order.user)?;
    let mut store = lock(&world.drive);
    let mut file = existing_file(&store, &order.id)?.clone();
    file.use_by(&store.known(&order.user));
    store.put(&order.id, file, world.now());
    Ok(Json(json!({ "id": order.id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Star {
    id: String,
    user: String,
    starred: bool,
}

async fn star(State(world): Shared, Json(order): Json<Star>) -> Answer {
    user(&world, &order.user)?;
    let mut store = lock(&world.drive);
    let mut file = existing_file(&store, &order.id)?.clone();
    file.starred_by.retain(|user| **user != *order.user);
    if order.starred {
        file.starred_by.push(store.known(&order.user));
    }
    store.put(&order.id, file, world.now());
    Ok(Json(json!({ "id": order.id })))
}

/// Makes this user the owner.
async fn give(State(world): Shared, Json(order): Json<Of>) -> Answer {
    user(&world, &order.user)?;
    transfer(&mut lock(&world.drive), &order.id, &order.user, world.now()).map_err(Wrong)?;
    Ok(Json(json!({ "id": order.id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Whether a user's own list names files that they see only through a shared folder and have never opened.
    insides: bool,
}

async fn listing(State(world): Shared, Json(order): Json<Listing>) {
    lock(&world.drive).lists_no_insides = !order.insides;
}

async fn share(State(world): Shared, Json(order): Json<Share>) -> Answer {
    let mut store = lock(&world.drive);
    let to = order.grantee(&world, &store)?;
    if let (Grantee::User(user), Home::User(owner)) = (&to, &existing_file(&store, &order.id)?.home)
        && user == owner
    {
        return Err(Wrong(format!("{owner} owns it")));
    }
    let (discoverable, expires, pending_owner) = (order.allow_file_discovery, order.expires, order.pending_owner);
    let grant = Grant { discoverable, expires, pending_owner, ..Grant::direct(to, order.role) };
    share_with(&mut store, &order.id, grant, world.now());
    Ok(Json(json!({ "id": order.id })))
}

async fn remove_grant(State(world): Shared, Json(order): Json<Share>) -> Answer {
    let mut store = lock(&world.drive);
    let to = order.grantee(&world, &store)?;
    if !existing_file(&store, &order.id)?.shared.iter().any(|grant| grant.to == to && grant.direct.is_some()) {
        return Err(Wrong(format!("{} is not shared with {to:?} directly", order.id)));
    }
    unshare(&mut store, &order.id, &to, world.now());
    Ok(Json(json!({ "id": order.id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PutDrive {
    id: Option<String>,
    name: String,
    members: Vec<String>,
}

/// Adds a shared drive, or changes the name and members of an existing one.
async fn put_drive(State(world): Shared, Json(put): Json<PutDrive>) -> Answer {
    for member in &put.members {
        user(&world, member)?;
    }
    let id = put.id.unwrap_or_else(|| format!("0Amade{:013}", world.serial()));
    lock(&world.drive).put_drive(&id, &put.name, &put.members, world.now());
    Ok(Json(json!({ "id": id })))
}

#[derive(Deserialize)]
struct Member {
    drive: String,
    user: String,
}

async fn remove_member(State(world): Shared, Json(order): Json<Member>) -> Answer {
    if lock(&world.drive).remove_member(&order.drive, &order.user, world.now()) {
        Ok(Json(json!({ "drive": order.drive })))
    } else {
        Err(Wrong(format!("{} is no member of {}", order.user, order.drive)))
    }
}
