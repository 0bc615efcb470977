//! The test's side of Drive: add, change, share and delete files, and read the true state.

mod sharing;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Json, Query, State};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::json;

use super::content::Content;
use super::edit::{guessed, inherit, move_to, set_trashed, top};
use super::file::{FOLDER, File, Home, SHORTCUT};
use super::store::Store;
use super::{churn, generate, load};
use crate::admin::{Answer, Params, Shared, Wrong, user};
use crate::fields::Selector;
use crate::state::{World, lock};

pub fn routes() -> Router<Arc<World>> {
    Router::new()
        .route("/generate", post(generate))
        .route("/load", post(load))
        .route("/churn", post(churn))
        .route("/files", post(add).put(change).delete(remove))
        .route("/state", get(state))
        .merge(sharing::routes())
}

async fn generate(State(world): Shared, Json(order): Json<generate::Order>) -> Answer {
    let users = emails(&world, order.users.as_deref())?;
    let made = generate::generate(&mut lock(&world.drive), &users, &order, world.now());
    Ok(Json(json!(made)))
}

async fn churn(State(world): Shared, Json(order): Json<churn::Order>) -> Answer {
    let users = emails(&world, order.users.as_deref())?;
    let changed = churn::churn(&mut lock(&world.drive), &users, &order, world.now());
    Ok(Json(json!(changed)))
}

async fn load(State(world): Shared, Json(order): Json<load::Order>) -> Answer {
    user(&world, &order.user)?;
    let loaded = load::load(&world, &order).map_err(|error| Wrong(format!("{error:#}")))?;
    Ok(Json(json!(loaded)))
}

/// These users, or all.
fn emails(world: &World, given: Option<&[String]>) -> Result<Vec<String>, Wrong> {
    let Some(given) = given else {
        return Ok(world.all_users().iter().map(|user| user.email.clone()).collect());
    };
    given.iter().map(|email| user(world, email).map(|user| user.email.clone())).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Add {
    /// The owner; not needed in a shared drive.
    user: Option<String>,
    drive: Option<String>,
    id: Option<String>,
    name: String,
    #[serde(rename = "mimeType")]
    mime: Option<String>,
    content: Option<String>,
    /// Instead of content: this many bytes of generated text; for Google Docs, the size of an export.
    size: Option<u64>,
    parents: Option<Vec<String>>,
    can_download: Option<bool>,
    /// For a Google spreadsheet: the sheets, each a name and CSV.
    #[serde(default)]
    sheets: Vec<(String, String)>,
    /// The reason for which the content is refused.
    refused: Option<String>,
    description: Option<String>,
    /// The file that this shortcut leads to.
    shortcut_to: Option<String>,
    /// Number of pictures in a Google document.
    #[serde(default)]
    pictures: u32,
    /// Bytes of base64 of each in an export.
    #[serde(default)]
    picture_size: usize,
}

async fn add(State(world): Shared, Json(add): Json<Add>) -> Answer {
    if let Some(email) = &add.user {
        user(&world, email)?;
    }
    let id = add.id.clone().unwrap_or_else(|| format!("1made{:028}", world.serial()));
    let mime = match (&add.mime, &add.shortcut_to) {
        (Some(mime), _) => Cow::Owned(mime.clone()),
        (None, Some(_)) => Cow::Borrowed(SHORTCUT),
        (None, None) => guessed(&add.name),
    };
    let content = match (&add.content, add.size) {
        _ if mime == FOLDER || mime == SHORTCUT => Content::None,
        (Some(_), Some(_)) => return Err(Wrong("give either content or size".into())),
        (Some(text), None) => Content::Given(text.as_str().into()),
        (None, size) => Content::Seed { seed: world.serial(), size: size.unwrap_or(0) },
    };
    let mut store = lock(&world.drive);
    if store.file(&id).is_some() {
        return Err(Wrong(format!("there is a file {id} already")));
    }
    let home = home(&store, &add)?;
    let folder = only_parent(&store, add.parents.as_deref(), &home)?;
    let parent = folder.unwrap_or_else(|| top(&home));
    let mut file = File::new(add.name.clone(), mime, home, parent, content, world.now());
    file.can_download = add.can_download.unwrap_or(true);
    if let Some(user) = &add.user {
        file.use_by(&store.known(user));
    }
    if let Some(target) = add.shortcut_to {
        let mime = existing_file(&store, &target)?.mime.to_string();
        file.target = Some((target, mime));
    }
    (file.sheets, file.refused, file.description) = (add.sheets, add.refused, add.description);
    file.pictures = (add.pictures, add.picture_size);
    inherit(&store, &mut file);
    store.put(&id, file, world.now());
    Ok(Json(json!({ "id": id })))
}

/// The named shared drive, or the one that is or contains the parent; else the user's My Drive.
fn home(store: &Store, add: &Add) -> Result<Home, Wrong> {
    let parent = add.parents.iter().flatten().next();
    if let Some(Home::Drive(drive)) = parent.and_then(|parent| store.file(parent)).map(|folder| &folder.home) {
        return Ok(Home::Drive(Arc::clone(drive)));
    }
    let drive = add.drive.as_ref().or(parent.filter(|parent| store.drive(parent).is_some()));
    match (drive, &add.user) {
        (Some(drive), _) if store.drive(drive).is_none() => Err(Wrong(format!("no shared drive {drive}"))),
        (Some(drive), _) => Ok(Home::Drive(store.known(drive))),
        (None, Some(owner)) => Ok(Home::User(store.known(owner))),
        (None, None) => Err(Wrong("give user or drive".into())),
    }
}

/// The named folder, `None` for the top. Google allows only one parent.
fn only_parent(store: &Store, parents: Option<&[String]>, home: &Home) -> Result<Option<Arc<str>>, Wrong> {
    match parents {
        None | Some([]) => Ok(None),
        Some([parent]) => match store.file(parent) {
            Some(folder) if folder.is_folder() => Ok(Some(parent.as_str().into())),
            Some(_) => Err(Wrong(format!("{parent} is no folder"))),
            None if parent == "root" || **parent == *top(home) => Ok(None),
            None => Err(Wrong(format!("no folder {parent}"))),
        },
        Some(_) => Err(Wrong("a file has one parent".into())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    id: String,
    name: Option<String>,
    content: Option<String>,
    size: Option<u64>,
    /// Moves the file; an empty list: to the top.
    parents: Option<Vec<String>>,
    trashed: Option<bool>,
    #[serde(rename = "mimeType")]
    mime: Option<String>,
    can_download: Option<bool>,
    description: Option<String>,
    /// By `files.update`, where a rename changes modifiedTime too; in Drive's UI only the content changes it.
    #[serde(default)]
    by_api: bool,
    /// The reason for which the content is refused from now on, which is not a change of the file; empty: no longer refused.
    refused: Option<String>,
}

/// Changes the named fields; with only an ID, only the version rises, as for an edit of other metadata.
async fn change(State(world): Shared, Json(change): Json<Change>) -> Answer {
    let now = world.now();
    let mut store = lock(&world.drive);
    let mut file = existing_file(&store, &change.id)?.clone();
    if let Some(reason) = change.refused {
        file.refused = Some(reason).filter(|reason| !reason.is_empty());
        let version = file.version;
        store.refuse(&change.id, file);
        return Ok(Json(json!({ "id": change.id, "version": version.to_string() })));
    }
    let content = change.content.map(|text| Content::Given(text.into()));
    if let Some(content) = content.or_else(|| change.size.map(|size| Content::Seed { seed: world.serial(), size })) {
        file.edit(content, now);
    }
    if let Some(name) = change.name {
        file.name = name;
        if change.by_api {
            file.modified = now;
        }
    }
    if let Some(mime) = change.mime {
        file.mime = Cow::Owned(mime);
    }
    file.can_download = change.can_download.unwrap_or(file.can_download);
    file.description = change.description.or(file.description);
    let folder = change.parents.as_deref().map(|parents| only_parent(&store, Some(parents), &file.home)).transpose()?;
    store.put(&change.id, file, now);
    if let Some(folder) = folder {
        move_to(&mut store, &change.id, folder, now).map_err(Wrong)?;
    }
    if let Some(trashed) = change.trashed {
        set_trashed(&mut store, &change.id, trashed, now);
    }
    let version = existing_file(&store, &change.id)?.version;
    Ok(Json(json!({ "id": change.id, "version": version.to_string() })))
}

fn existing_file<'a>(store: &'a Store, id: &str) -> Result<&'a File, Wrong> {
    store.file(id).ok_or_else(|| Wrong(format!("no file {id}")))
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

async fn remove(State(world): Shared, Json(gone): Json<Named>) -> Answer {
    let mut store = lock(&world.drive);
    existing_file(&store, &gone.id)?;
    store.delete(&gone.id, world.now());
    Ok(Json(json!({ "deleted": gone.id })))
}

/// What of a file is not in a line of its own in the state.
const DETAILS: &str = "createdTime,description,ownedByMe,owners,permissionIds,permissions,shared,shortcutDetails,starred";

/// Everything that each user can see, as JSON lines.
async fn state(State(world): Shared, Query(params): Params) -> String {
    let store = lock(&world.drive);
    let mut files: Vec<_> = store.files().collect();
    files.sort_unstable_by_key(|(id, _)| Arc::clone(id));
    let (mut lines, details) = (String::new(), Selector::schema(DETAILS));
    for user in world.all_users().iter().filter(|user| params.get("user").is_none_or(|given| *given == user.email)) {
        for (id, file) in files.iter().filter(|(_, file)| store.sees(&user.email, file)) {
            let drive = match &file.home {
                Home::Drive(drive) => Some(drive),
                Home::User(_) => None,
            };
            let line = json!({ "user": user.email, "id": id, "name": file.name, "mimeType": file.mime, "version": file.version.to_string(),
                "md5": file.md5(), "trashed": store.trashed(file), "parents": store.parent(&user.email, file).into_iter().collect::<Vec<_>>(),
                "drive": drive, "details": file.shown(&store, id, &user.email, &details) });
            let _ = writeln!(lines, "{line}");
        }
    }
    lines
}
