//! Who sees which file, and in whose logs it is.

use std::sync::Arc;

use super::file::{File, Home};
use super::store::{About, Store, root};

impl Store {
    pub fn sees(&self, user: &str, file: &File) -> bool {
        match &file.home {
            Home::Drive(drive) => self.is_member(user, drive) || file.is_shared_with(user),
            Home::User(owner) => **owner == *user || file.is_shared_with(user),
        }
    }

    /// Whether the file is in the user's own log: files in shared drives are if they are shared with this user directly, or if a member
    /// works with them.
    pub fn is_in_own_log(&self, user: &str, file: &File) -> bool {
        match &file.home {
            Home::Drive(drive) => {
                file.is_shared_with(user) || (self.is_member(user, drive) && file.used_by.iter().any(|member| **member == *user))
            }
            Home::User(_) => self.sees(user, file),
        }
    }

    /// Visible through a shared folder, and never opened.
    pub fn is_inside(&self, user: &str, file: &File) -> bool {
        let is_owner = matches!(&file.home, Home::User(owner) if **owner == *user);
        let is_opened = file.used_by.iter().any(|other| **other == *user);
        !is_owner && !is_opened && self.parent(user, file).is_some_and(|parent| self.file(parent).is_some())
    }

    /// The file's parent, if this user may see it.
    pub fn parent<'a>(&self, user: &str, file: &'a File) -> Option<&'a Arc<str>> {
        let parent = file.parent.as_ref()?;
        let seen = match self.file(parent) {
            Some(folder) => self.sees(user, folder),
            None => match &file.home {
                Home::Drive(drive) => self.is_member(user, drive),
                Home::User(_) => **parent == *root(user),
            },
        };
        seen.then_some(parent)
    }

    /// The logs in which the file is.
    pub fn readers(&self, file: &File) -> Vec<(Arc<str>, About)> {
        match &file.home {
            Home::Drive(drive) => {
                let members = file.used_by.iter().filter(|user| self.is_member(user, drive) && !file.is_shared_with(user));
                let own = file.viewers().chain(members).map(|user| (Arc::clone(user), About::DriveItem));
                std::iter::once((Arc::clone(drive), About::File)).chain(own).collect()
            }
            Home::User(owner) => {
                std::iter::once(owner).chain(file.viewers()).map(|user| (Arc::clone(user), About::File)).collect()
            }
        }
    }

    /// The logs that lose it with a change.
    pub fn lost(&self, before: &File, after: &File) -> Vec<(Arc<str>, About)> {
        if before.shared == after.shared && before.home == after.home {
            return Vec::new();
        }
        let still = self.readers(after);
        self.readers(before).into_iter().filter(|(user, _)| !still.iter().any(|(reader, _)| reader == user)).collect()
    }
}
