//! A folder on disk as a user's My Drive, such as the Drive folder of a Takeout.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use data_encoding::BASE64URL_NOPAD;
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use super::content::Content;
use super::edit::{guessed, top};
use super::file::{FOLDER, File, Home};
use crate::state::{World, lock};

/// What to load: POST it to `/admin/drive/load`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The folder that becomes the My Drive.
    pub path: PathBuf,
    pub user: String,
}

#[derive(Default, Serialize)]
pub struct Loaded {
    pub folders: u64,
    pub files: u64,
    pub bytes: u64,
}

/// Loads names, sizes and times; contents are read from the disk on demand.
pub fn load(world: &World, order: &Order) -> anyhow::Result<Loaded> {
    anyhow::ensure!(order.path.is_dir(), "{} is no folder", order.path.display());
    let home = Home::User(lock(&world.drive).known(&order.user));
    let mut folders: HashMap<PathBuf, Arc<str>> = HashMap::from([(order.path.clone(), top(&home))]);
    let mut loaded = Loaded::default();
    // The walk visits a folder before its contents.
    for entry in WalkDir::new(&order.path).min_depth(1).sort_by_file_name() {
        let entry = entry.with_context(|| format!("walking {}", order.path.display()))?;
        let path = entry.path();
        let kind = entry.file_type();
        if !kind.is_dir() && !kind.is_file() {
            continue;
        }
        let details = entry.metadata().with_context(|| format!("reading {}", path.display()))?;
        let modified: DateTime<Utc> =
            details.modified().with_context(|| format!("reading the time of {}", path.display()))?.into();
        let name = entry.file_name().to_string_lossy().into_owned();
        let parent = path.parent().and_then(|parent| folders.get(parent)).map_or_else(|| top(&home), Arc::clone);
        let id = id(&order.user, path.strip_prefix(&order.path).unwrap_or(path));
        let file = if kind.is_dir() {
            loaded.folders += 1;
            folders.insert(path.to_owned(), id.as_str().into());
            File::new(name, FOLDER.into(), home.clone(), parent, Content::None, modified)
        } else {
            loaded.files += 1;
            loaded.bytes += details.len();
            let mime = guessed(&name);
            let content = Content::Disk { path: path.into(), size: details.len() };
            File::new(name, mime, home.clone(), parent, content, modified)
        };
        lock(&world.drive).put(&id, file, world.now());
    }
    Ok(loaded)
}

/// The same for the same file at every load.
fn id(user: &str, path: &Path) -> String {
    let digest = Md5::digest(format!("{user}/{}", path.display()));
    format!("1disk{}", BASE64URL_NOPAD.encode(&digest))
}
