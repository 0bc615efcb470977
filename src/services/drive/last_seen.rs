//! A file as seen in a feed, before it is stored.

use super::action::Action;
use super::file::{Content, File};
use crate::state::PermissionsKnown;

/// A file as seen in a feed.
pub struct SeenFile<'a> {
    pub file: &'a File,
    /// As received.
    pub raw: &'a str,
    pub content: &'a Content,
    /// What has happened to it since it was last seen in this feed.
    pub action: Option<Action>,
    /// What has happened to it since it was last seen in any feed of this user.
    pub news: Option<Action>,
    /// Whether to write its row, although nothing may have happened: rows of earlier versions lack columns.
    pub is_written: bool,
    /// How much of its permissions was known before. `None`: nothing, as of a new file.
    pub permissions: Option<PermissionsKnown>,
}
