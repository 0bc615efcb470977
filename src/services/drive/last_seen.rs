//! A file as a feed told of it, on its way into the tables.

use super::action::Action;
use super::file::{Content, File};

/// A file that a feed spoke of.
pub struct SeenFile<'a> {
    pub file: &'a File,
    /// As received.
    pub raw: &'a str,
    pub content: &'a Content,
    /// What has happened to it, as far as this feed knows.
    pub action: Option<Action>,
    /// What has happened to it, as far as any feed of this user knows.
    pub news: Option<Action>,
}
