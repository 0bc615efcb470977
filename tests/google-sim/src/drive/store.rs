//! All files, the shared drives, and a log of changes for every user and every shared drive.
//!
//! A log holds each file once, at the position of its last change. A reader finds the file's latest state there, or its removal. One
//! counter numbers the entries of all logs, so that several can be read as one feed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use data_encoding::BASE64URL_NOPAD;
use md5::{Digest as _, Md5};

use super::file::File;
use super::notice;
use crate::push::Bell;

/// Maximum folder depth; it ends a walk through a cycle.
const DEEPEST: usize = 100;

#[derive(Default)]
pub struct Store {
    sequence: u64,
    files: HashMap<Arc<str>, File>,
    /// The contents of a folder, or of the top of a My Drive or a shared drive.
    children: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
    drives: BTreeMap<Arc<str>, Drive>,
    /// By a user's address or a shared drive's id.
    logs: HashMap<Arc<str>, Log>,
    /// Whether a user's own list leaves out files that they see only through a shared folder and have never opened.
    pub lists_no_insides: bool,
    /// Rung at every change, once there is a subscriber.
    pub bell: Option<Bell>,
}

pub struct Drive {
    pub name: String,
    pub members: BTreeSet<Arc<str>>,
}

#[derive(Default)]
struct Log {
    order: BTreeMap<u64, Entry>,
    places: HashMap<Arc<str>, u64>,
}

/// Something changed.
pub struct Entry {
    pub id: Arc<str>,
    pub at: DateTime<Utc>,
    pub about: About,
}

/// The subject of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum About {
    File,
    /// A file of a shared drive, in the log of a user with whom it is shared directly, or who works with it.
    DriveItem,
    /// A shared drive changed for this user.
    Drive,
}

impl Store {
    /// The position after the last change.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn file(&self, id: &str) -> Option<&File> {
        self.files.get(id)
    }

    pub fn files(&self) -> impl Iterator<Item = (&Arc<str>, &File)> {
        self.files.iter()
    }

    pub fn drive(&self, id: &str) -> Option<&Drive> {
        self.drives.get(id)
    }

    /// The shared drives of a user, by id.
    pub fn drives_of(&self, user: &str) -> impl Iterator<Item = (&Arc<str>, &Drive)> {
        self.drives.iter().filter(move |(_, drive)| drive.members.contains(user))
    }

    pub fn is_member(&self, user: &str, drive: &str) -> bool {
        self.drives.get(drive).is_some_and(|drive| drive.members.contains(user))
    }

    /// Trashed explicitly, or in a trashed folder.
    pub fn trashed(&self, file: &File) -> bool {
        let up = |file: &&File| file.parent.as_ref().and_then(|parent| self.files.get(parent));
        std::iter::successors(Some(file), up).take(DEEPEST).any(|file| file.explicitly_trashed)
    }

    /// The file and, for a folder, its contents.
    pub fn tree(&self, id: &str) -> Vec<Arc<str>> {
        let mut tree: Vec<Arc<str>> = self.files.get_key_value(id).map(|(id, _)| Arc::clone(id)).into_iter().collect();
        let mut next = 0;
        while let Some(folder) = tree.get(next) {
            let inside: Vec<Arc<str>> = self.children.get(folder).into_iter().flatten().cloned().collect();
            tree.extend(inside);
            next += 1;
        }
        tree
    }

    /// Writes a new or changed file: its version rises, and it appears in the feeds of all who see it; those who no longer do find its removal.
    pub fn put(&mut self, id: &str, mut file: File, now: DateTime<Utc>) {
        let id = self.files.get_key_value(id).map_or_else(|| Arc::from(id), |(id, _)| Arc::clone(id));
        let before = self.files.get(&id);
        file.version = before.map_or(0, |before| before.version) + 1;
        self.notice(&id, before, Some(&file));
        let lost = before.map(|before| self.lost(before, &file)).unwrap_or_default();
        let from = before.and_then(|before| before.parent.clone());
        self.update_children(&id, from, file.parent.clone());
        self.files.insert(Arc::clone(&id), file);
        self.log_change(&id, now);
        for (user, about) in lost {
            self.record(&user, &id, now, about);
        }
    }

    /// Replaces a file without notifying anyone.
    pub fn refuse(&mut self, id: &str, file: File) {
        if let Some(there) = self.files.get_mut(id) {
            *there = file;
        }
    }

    /// Changes the file and, for a folder, its contents; notifies all who see them.
    pub fn change_tree(&mut self, id: &str, now: DateTime<Utc>, mut change: impl FnMut(&mut File)) {
        for id in self.tree(id) {
            if let Some(file) = self.files.get_mut(&id) {
                // A copy is needed only if a subscriber needs the difference.
                let before = self.bell.is_some().then(|| file.clone());
                change(file);
                file.version += 1;
                self.notice(&id, before.as_ref(), self.files.get(&id));
            }
            self.log_change(&id, now);
        }
    }

    /// Permanently deletes the file and, for a folder, its contents.
    pub fn delete(&mut self, id: &str, now: DateTime<Utc>) {
        for id in self.tree(id) {
            self.log_change(&id, now);
            let gone = self.files.remove(&id);
            self.notice(&id, gone.as_ref(), None);
            self.update_children(&id, gone.and_then(|file| file.parent), None);
        }
    }

    /// Updates the children from the files' parents.
    fn update_children(&mut self, id: &Arc<str>, from: Option<Arc<str>>, to: Option<Arc<str>>) {
        if from == to {
            return;
        }
        if let Some(bell) = &self.bell {
            [&from, &to].into_iter().flatten().for_each(|folder| bell.file(folder, "update", Some("children".into())));
        }
        if let Some(children) = from.and_then(|folder| self.children.get_mut(&folder)) {
            children.remove(id);
        }
        if let Some(folder) = to {
            self.children.entry(folder).or_default().insert(Arc::clone(id));
        }
    }

    /// Adds or changes a shared drive; joining and leaving members find it in their own feed.
    pub fn put_drive(&mut self, id: &str, name: &str, members: &[String], now: DateTime<Utc>) {
        let members: BTreeSet<Arc<str>> = members.iter().map(|member| self.known(member)).collect();
        let id = self.known(id);
        let before = self.drives.insert(Arc::clone(&id), Drive { name: name.to_owned(), members: members.clone() });
        let affected: BTreeSet<Arc<str>> = before.into_iter().flat_map(|drive| drive.members).chain(members).collect();
        for member in affected {
            self.record(&member, &id, now, About::Drive);
        }
    }

    pub fn remove_member(&mut self, drive: &str, user: &str, now: DateTime<Utc>) -> bool {
        let removed = self.drives.get_mut(drive).is_some_and(|drive| drive.members.remove(user));
        if removed {
            let (drive, user) = (self.known(drive), self.known(user));
            self.record(&user, &drive, now, About::Drive);
        }
        removed
    }

    /// The logs that make up a list: a shared drive's, or a user's own, plus those of the user's drives if `all`.
    pub fn logs(&self, user: &str, drive: Option<&str>, all: bool) -> Vec<Arc<str>> {
        let own = [Arc::from(drive.unwrap_or(user))];
        let drives = self.drives_of(user).map(|(id, _)| Arc::clone(id)).filter(|_| all && drive.is_none());
        own.into_iter().chain(drives).collect()
    }

    /// The entries of these logs after a position, in the order of their last change.
    pub fn walk<'a>(&'a self, logs: &[Arc<str>], after: u64) -> impl Iterator<Item = (u64, &'a Entry)> {
        let logs = logs.iter().filter_map(|log| self.logs.get(log));
        let mut rest: Vec<_> = logs.map(|log| log.order.range(after.saturating_add(1)..).peekable()).collect();
        std::iter::from_fn(move || {
            let heads =
                rest.iter_mut().filter_map(|log| log.peek().map(|(position, _)| **position).map(|position| (position, log)));
            let (position, log) = heads.min_by_key(|(position, _)| *position)?;
            log.next().map(|(_, entry)| (position, entry))
        })
    }

    /// Notifies the watchers of this file.
    fn notice(&self, id: &Arc<str>, before: Option<&File>, after: Option<&File>) {
        if let Some(bell) = &self.bell {
            let (state, changed) = notice::of(before, after);
            bell.file(id, state, changed);
        }
    }

    fn log_change(&mut self, id: &Arc<str>, now: DateTime<Utc>) {
        let Some(file) = self.files.get(id) else { return };
        for (reader, about) in self.readers(file) {
            self.record(&reader, id, now, about);
        }
    }

    fn record(&mut self, log: &Arc<str>, id: &Arc<str>, at: DateTime<Utc>, about: About) {
        self.sequence += 1;
        if let Some(bell) = &self.bell {
            bell.log(log, about == About::DriveItem);
        }
        let log = self.logs.entry(Arc::clone(log)).or_default();
        if let Some(before) = log.places.insert(Arc::clone(id), self.sequence) {
            log.order.remove(&before);
        }
        log.order.insert(self.sequence, Entry { id: Arc::clone(id), at, about });
    }

    /// The shared copy of this address or ID: there are many files, and few users.
    pub fn known(&self, name: &str) -> Arc<str> {
        let log = self.logs.get_key_value(name).map(|(name, _)| Arc::clone(name));
        log.unwrap_or_else(|| Arc::from(name))
    }
}

/// The id of a user's My Drive.
pub fn root(user: &str) -> String {
    format!("0A{}", BASE64URL_NOPAD.encode(&Md5::digest(user)[..12]))
}
