//! User operations on files beyond writing: move, trash, share.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::file::{File, Home};
use super::store::{Store, root};

/// By the extension of its name.
pub fn guessed(name: &str) -> Cow<'static, str> {
    Cow::Borrowed(mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream"))
}

/// The parent of a file that is in no folder.
pub fn top(home: &Home) -> Arc<str> {
    match home {
        Home::User(owner) => root(owner).into(),
        Home::Drive(drive) => Arc::clone(drive),
    }
}

/// Users who see a folder see the files put into it.
pub fn inherit(store: &Store, file: &mut File) {
    let inherited = inherited(store, file);
    file.shared.extend(inherited);
}

fn inherited(store: &Store, file: &File) -> Vec<Arc<str>> {
    let folder = file.parent.as_ref().and_then(|parent| store.file(parent)).map(|folder| (&folder.home, &folder.shared));
    let (owner, others): (_, Vec<&Arc<str>>) = match (&file.home, folder) {
        (Home::User(owner), Some((Home::User(of), shared))) => (Some(owner), shared.iter().chain([of]).collect()),
        (Home::Drive(_), Some((Home::Drive(_), shared))) => (None, shared.iter().collect()),
        _ => return Vec::new(),
    };
    others.into_iter().filter(|other| Some(*other) != owner && !file.shared.contains(other)).cloned().collect()
}

/// Moves a file within its My Drive or shared drive; no folder: to the top. Its viewers stay the same.
pub fn move_to(store: &mut Store, id: &str, folder: Option<Arc<str>>, now: DateTime<Utc>) -> Result<(), String> {
    let mut file = store.file(id).ok_or_else(|| format!("no file {id}"))?.clone();
    let trashed = store.trashed(&file);
    if let Some(folder) = &folder {
        let same = match (&file.home, store.file(folder).map(|folder| &folder.home)) {
            (Home::User(_), Some(Home::User(_))) => true,
            (Home::Drive(from), Some(Home::Drive(to))) => from == to,
            _ => false,
        };
        if !same || store.tree(id).contains(folder) {
            return Err(format!("{id} cannot be moved to {folder}"));
        }
    }
    file.parent = Some(folder.unwrap_or_else(|| top(&file.home)));
    let gained = inherited(store, &file);
    let changes_tree = file.is_folder() && store.trashed(&file) != trashed;
    store.put(id, file, now);
    for user in gained {
        share_with(store, id, &user, now);
    }
    if changes_tree {
        // Into or out of the trash: the contents of the folder change with it.
        store.change_tree(id, now, |_| {});
    }
    Ok(())
}

/// The contents of a folder are trashed with it, but not explicitly.
pub fn set_trashed(store: &mut Store, id: &str, trashed: bool, now: DateTime<Utc>) {
    let mut first = true;
    store.change_tree(id, now, |file| {
        if std::mem::take(&mut first) {
            file.explicitly_trashed = trashed;
        }
    });
}

/// A folder is shared with its contents.
pub fn share_with(store: &mut Store, id: &str, user: &str, now: DateTime<Utc>) {
    let user = store.known(user);
    store.change_tree(id, now, |file| {
        let owns = matches!(&file.home, Home::User(owner) if *owner == user);
        if !owns && !file.shared.contains(&user) {
            file.shared.push(Arc::clone(&user));
        }
    });
}
