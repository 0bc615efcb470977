//! Who sees files: sharing, shared drives and their members.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, State};
use axum::routing::{delete, post};
use serde::Deserialize;
use serde_json::json;

use super::existing_file;
use crate::admin::{Answer, Shared, Wrong, user};
use crate::drive::edit::share_with;
use crate::drive::file::Home;
use crate::drive::store::Store;
use crate::state::{World, lock};

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/share", post(share))
        .route("/unshare", post(unshare))
        .route("/open", post(open))
        .route("/listing", post(listing))
        .route("/drives", post(put_drive))
        .route("/members", delete(remove_member))
}

#[derive(Deserialize)]
struct Share {
    id: String,
    user: String,
}

/// A member of a shared drive opens one of its files: from then on its changes are in this user's own log.
async fn open(State(world): Shared, Json(order): Json<Share>) -> Answer {
    user(&world, &order.user)?;
    let mut store = lock(&world.drive);
    let mut file = existing_file(&store, &order.id)?.clone();
    file.use_by(&store.known(&order.user));
    store.put(&order.id, file, world.now());
    Ok(Json(json!({ "id": order.id })))
}

/// Whether a file is shared with this user, who is not its owner.
fn shared(world: &World, store: &Store, order: &Share) -> Result<bool, Wrong> {
    user(world, &order.user)?;
    match &existing_file(store, &order.id)?.home {
        Home::User(owner) if **owner == *order.user => Err(Wrong(format!("{} owns it", order.user))),
        Home::User(_) | Home::Drive(_) => Ok(existing_file(store, &order.id)?.is_shared_with(&order.user)),
    }
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
    if !shared(&world, &store, &order)? {
        share_with(&mut store, &order.id, &order.user, world.now());
    }
    Ok(Json(json!({ "id": order.id })))
}

async fn unshare(State(world): Shared, Json(order): Json<Share>) -> Answer {
    let mut store = lock(&world.drive);
    if !shared(&world, &store, &order)? {
        return Err(Wrong(format!("{} is not shared with {}", order.id, order.user)));
    }
    store.unshare(&order.id, &order.user, world.now());
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
