//! A file and its representation in the API.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::OnceLock;

use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::HEXLOWER;
use md5::{Digest as _, Md5};
use serde_json::{Value, json};

use super::content::Content;
use super::permission::{self, Grant};
use super::store::{Store, root};
use crate::fields::Selector;

pub const FOLDER: &str = "application/vnd.google-apps.folder";
pub const SHORTCUT: &str = "application/vnd.google-apps.shortcut";
pub const DOCUMENT: &str = "application/vnd.google-apps.document";
pub const SPREADSHEET: &str = "application/vnd.google-apps.spreadsheet";
pub const PRESENTATION: &str = "application/vnd.google-apps.presentation";

/// Where a file lives.
#[derive(Clone, PartialEq)]
pub enum Home {
    /// The My Drive of this user, its owner.
    User(Arc<str>),
    /// This shared drive.
    Drive(Arc<str>),
}

#[derive(Clone)]
pub struct File {
    pub name: String,
    pub mime: Cow<'static, str>,
    /// A folder, the owner's My Drive, or the shared drive.
    pub parent: Option<Arc<str>>,
    pub home: Home,
    /// Who has access in addition to its owner or the members of its shared drive.
    pub shared: Vec<Grant>,
    pub description: Option<String>,
    pub starred_by: Vec<Arc<str>>,
    /// Of a shortcut: the file that it leads to, and its type.
    pub target: Option<(String, String)>,
    /// Which members of its shared drive work with it.
    pub used_by: Vec<Arc<str>>,
    pub explicitly_trashed: bool,
    pub can_download: bool,
    /// The reason for which its content is refused.
    pub refused: Option<String>,
    /// For a spreadsheet: names and CSV; empty: one sheet with its content.
    pub sheets: Vec<(String, String)>,
    /// The number of pictures in a document, and the size of each in an export as Markdown.
    pub pictures: (u32, usize),
    pub version: u64,
    pub revision: u64,
    pub created: DateTime<Utc>,
    pub modified: DateTime<Utc>,
    content: Content,
    /// Computed on first use.
    md5: OnceLock<Option<[u8; 16]>>,
}

/// A user as another sees them.
pub fn person(email: &str, viewer: &str) -> Value {
    json!({ "kind": "drive#user", "displayName": email.split('@').next(), "me": email == viewer,
        "permissionId": root(email), "emailAddress": email })
}

impl File {
    pub fn new(name: String, mime: Cow<'static, str>, home: Home, parent: Arc<str>, content: Content, at: DateTime<Utc>) -> Self {
        Self {
            name,
            mime,
            parent: Some(parent),
            home,
            shared: Vec::new(),
            description: None,
            starred_by: Vec::new(),
            target: None,
            used_by: Vec::new(),
            explicitly_trashed: false,
            can_download: true,
            refused: None,
            sheets: Vec::new(),
            pictures: (0, 0),
            version: 0,
            revision: 1,
            created: at,
            modified: at,
            content,
            md5: OnceLock::new(),
        }
    }

    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Edits the content: a new revision.
    pub fn edit(&mut self, content: Content, at: DateTime<Utc>) {
        self.content = content;
        self.md5 = OnceLock::new();
        self.revision += 1;
        self.modified = at;
    }

    /// The users with whom it is shared, directly or by a folder.
    pub fn viewers(&self) -> impl Iterator<Item = &Arc<str>> {
        self.shared.iter().filter_map(Grant::user)
    }

    pub fn is_shared_with(&self, user: &str) -> bool {
        self.viewers().any(|other| **other == *user)
    }

    /// A member of its shared drive works with it.
    pub fn use_by(&mut self, user: &Arc<str>) {
        if matches!(self.home, Home::Drive(_)) && !self.used_by.contains(user) {
            self.used_by.push(Arc::clone(user));
        }
    }

    pub fn is_folder(&self) -> bool {
        self.mime == FOLDER
    }

    /// Folders, Google Docs and similar types have no bytes.
    pub fn is_binary(&self) -> bool {
        !self.mime.starts_with("application/vnd.google-apps.")
    }

    /// Of the bytes; `None` if there are none, or if the disk no longer provides them.
    pub fn md5(&self) -> Option<String> {
        if !self.is_binary() {
            return None;
        }
        let digest = self.md5.get_or_init(|| self.content.bytes(&self.mime).ok().map(|bytes| Md5::digest(bytes).into()));
        digest.as_ref().map(|digest| HEXLOWER.encode(digest))
    }

    /// The resource as this user sees it, or the selected part of it.
    pub fn shown(&self, store: &Store, id: &str, viewer: &str, selected: &Selector) -> Value {
        let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
        let mut shown = json!({ "kind": "drive#file", "id": id, "name": self.name, "mimeType": self.mime,
            "trashed": store.trashed(self), "explicitlyTrashed": self.explicitly_trashed, "version": self.version.to_string(),
            "createdTime": time(self.created), "modifiedTime": time(self.modified), "webViewLink": self.link(id),
            "iconLink": format!("https://drive-thirdparty.example.com/16/type/{}", self.mime), "spaces": ["drive"],
            "starred": self.starred_by.iter().any(|user| **user == *viewer),
            "capabilities": { "canDownload": self.can_download } });
        if let Some(parent) = store.parent(viewer, self) {
            shown["parents"] = json!([parent]);
        }
        if let Home::Drive(drive) = &self.home {
            shown["driveId"] = json!(drive);
        }
        if let Some(description) = &self.description {
            shown["description"] = json!(description);
        }
        if let Some((id, mime)) = &self.target {
            shown["shortcutDetails"] = json!({ "targetId": id, "targetMimeType": mime });
        }
        permission::show(store, self, viewer, &mut shown);
        if self.is_binary() {
            shown["size"] = json!(self.content.size().to_string());
            shown["headRevisionId"] = json!(format!("0B{id}{:06}", self.revision));
            shown["originalFilename"] = json!(self.name);
            if let Some((_, extension)) = self.name.rsplit_once('.') {
                shown["fileExtension"] = json!(extension);
            }
            if selected.get("md5Checksum").is_some() {
                shown["md5Checksum"] = json!(self.md5());
            }
        }
        selected.of(shown)
    }

    fn link(&self, id: &str) -> String {
        match &*self.mime {
            FOLDER => format!("https://drive.google.com/drive/folders/{id}"),
            DOCUMENT => format!("https://docs.google.com/document/d/{id}/edit?usp=drivesdk"),
            SPREADSHEET => format!("https://docs.google.com/spreadsheets/d/{id}/edit?usp=drivesdk"),
            PRESENTATION => format!("https://docs.google.com/presentation/d/{id}/edit?usp=drivesdk"),
            _ => format!("https://drive.google.com/file/d/{id}/view?usp=drivesdk"),
        }
    }
}
