//! What people do with files, beyond writing one: move, trash, share.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::file::{File, Home};
use super::store::{Store, root};

/// By the extension of its name.
pub fn guessed(name: &str) -> Cow<'static, str> {
    Cow::Borrowed(mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream"))
}

/// Where a file is that is in no folder.
pub fn top(home: &Home) -> Arc<str> {
    match home {
        Home::User(owner) => root(owner).into(),
        Home::Drive(drive) => Arc::clone(drive),
    }
}

/// Those who see a folder see what is put into it.
pub fn inherit(store: &Store, file: &mut File) {
    let Some(folder) = file.parent.as_ref().and_then(|parent| store.file(parent)) else { return };
    let (Home::User(owner), Home::User(of)) = (&file.home, &folder.home) else { return };
    let inherited = folder.shared.iter().chain([of]).filter(|other| *other != owner && !file.shared.contains(other));
    let inherited: Vec<Arc<str>> = inherited.cloned().collect();
    file.shared.extend(inherited);
}

/// Moves a file within its My Drive or shared drive; `None`: to the top.
pub fn move_to(store: &Store, id: &str, file: &mut File, folder: Option<Arc<str>>) -> Result<(), String> {
    let Some(folder) = folder else {
        file.parent = Some(top(&file.home));
        return Ok(());
    };
    let same = match (&file.home, store.file(&folder).map(|folder| &folder.home)) {
        (Home::User(_), Some(Home::User(_))) => true,
        (Home::Drive(from), Some(Home::Drive(to))) => from == to,
        _ => false,
    };
    if !same || store.tree(id).contains(&folder) {
        return Err(format!("{id} cannot be moved to {folder}"));
    }
    file.parent = Some(folder);
    inherit(store, file);
    Ok(())
}

/// What is in a folder goes into the trash with it, though not by itself.
pub fn set_trashed(store: &mut Store, id: &str, trashed: bool, now: DateTime<Utc>) {
    let mut first = true;
    store.change_tree(id, now, |file| {
        if std::mem::take(&mut first) {
            file.explicitly_trashed = trashed;
        }
    });
}

/// A folder is shared with all that is in it.
pub fn share_with(store: &mut Store, id: &str, user: &str, now: DateTime<Utc>) {
    let user = store.known(user);
    store.change_tree(id, now, |file| {
        let owns = matches!(&file.home, Home::User(owner) if *owner == user);
        if !owns && !file.shared.contains(&user) {
            file.shared.push(Arc::clone(&user));
        }
    });
}
