//! User operations on files beyond writing: move, trash, share.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::file::{File, Home};
use super::permission::{Grant, Grantee, Role};
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

/// Evaluates what a file inherits from its folder: the folder's permissions, and one for its owner. The higher of two roles counts.
pub fn inherit(store: &Store, file: &mut File) {
    let direct = file.shared.iter().filter(|grant| grant.direct.is_some());
    let mut grants: Vec<Grant> = direct.map(|grant| Grant { inherited: None, ..grant.clone() }).collect();
    for from in inherited(store, file) {
        match grants.iter_mut().find(|grant| grant.to == from.to) {
            Some(grant) => grant.inherited = from.inherited,
            None => grants.push(from),
        }
    }
    if let Home::User(owner) = &file.home {
        grants.retain(|grant| grant.user() != Some(owner));
    }
    file.shared = grants;
}

fn inherited(store: &Store, file: &File) -> Vec<Grant> {
    let folder = file.parent.as_ref().and_then(|parent| store.file(parent)).map(|folder| (&folder.home, &folder.shared));
    let owner = match (&file.home, folder) {
        (Home::User(_), Some((Home::User(owner), _))) => Some(Grant::direct(Grantee::User(Arc::clone(owner)), Role::Writer)),
        (Home::Drive(_), Some((Home::Drive(_), _))) => None,
        _ => return Vec::new(),
    };
    folder.into_iter().flat_map(|(_, shared)| shared).chain(&owner).map(Grant::inherited).collect()
}

/// Moves a file within its My Drive or shared drive; no folder: to the top. What it and its contents inherit is evaluated again.
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
    inherit(store, &mut file);
    let changes_tree = file.is_folder() && store.trashed(&file) != trashed;
    store.put(id, file, now);
    evaluate(store, id, now, |_| {});
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

/// Gives a permission, or changes it. A folder's contents inherit it.
pub fn share_with(store: &mut Store, id: &str, grant: Grant, now: DateTime<Utc>) {
    evaluate(store, id, now, |file| match file.shared.iter_mut().find(|known| known.to == grant.to) {
        Some(known) => *known = Grant { inherited: known.inherited, ..grant },
        None => file.shared.push(grant),
    });
}

/// Takes a permission away that was given directly. The contents of a folder lose what they inherited.
pub fn unshare(store: &mut Store, id: &str, to: &Grantee, now: DateTime<Utc>) {
    evaluate(store, id, now, |file| file.shared.retain(|grant| grant.to != *to));
}

/// Makes a user the owner of a file in a My Drive; the former owner can still write. The file stays in its folder.
pub fn transfer(store: &mut Store, id: &str, to: &str, now: DateTime<Utc>) -> Result<(), String> {
    let to = store.known(to);
    let from = match store.file(id).map(|file| &file.home) {
        Some(Home::User(owner)) if *owner != to => Arc::clone(owner),
        _ => return Err(format!("{id} is not in the My Drive of another user")),
    };
    evaluate(store, id, now, |file| {
        file.home = Home::User(to);
        file.shared.push(Grant::direct(Grantee::User(from), Role::Writer));
    });
    Ok(())
}

/// Changes a file, and evaluates again what it and its contents inherit. What is in a folder that appears or disappears for a user has another parent for
/// this user.
fn evaluate(store: &mut Store, id: &str, now: DateTime<Utc>, change: impl FnOnce(&mut File)) {
    let mut change = Some(change);
    let mut changed = HashSet::new();
    for id in store.tree(id) {
        let Some(before) = store.file(&id) else { continue };
        let mut file = before.clone();
        if let Some(change) = change.take() {
            change(&mut file);
        }
        inherit(store, &mut file);
        let is_in_changed = file.parent.as_ref().is_some_and(|parent| changed.contains(parent));
        let is_changed = file.shared != before.shared || file.home != before.home;
        if is_changed {
            changed.insert(Arc::clone(&id));
        }
        if is_changed || is_in_changed {
            store.put(&id, file, now);
        }
    }
}
