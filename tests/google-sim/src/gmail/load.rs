//! Existing mail: an mbox file, a maildir, or messages as separate files. Mail that was loaded before is not loaded again.

use std::fs::File;
use std::io::{BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use super::admin::{deliver, places};
use super::envelope::Envelope;
use super::labels::{INBOX, STARRED, TRASH, UNREAD, labels};
use super::mbox::Mbox;
use crate::state::{User, World, lock};

/// What to load: POST it to `/admin/mail/load`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub path: PathBuf,
    pub user: String,
}

#[derive(Default, Serialize)]
pub struct Loaded {
    pub messages: u64,
}

pub fn load(world: &World, order: &Order) -> anyhow::Result<Loaded> {
    let user = world.user(&order.user).with_context(|| format!("no user {}", order.user))?;
    let path = order.path.canonicalize().with_context(|| format!("finding {}", order.path.display()))?;
    let mut loaded = Loaded::default();
    let maildir = [path.join("cur"), path.join("new")];
    if maildir.iter().any(|folder| folder.is_dir()) {
        for folder in maildir.iter().filter(|folder| folder.is_dir()) {
            for file in files(folder)? {
                let flags = flags(folder, &file);
                loaded.messages += one(world, &user, &file, &flags)?;
            }
        }
    } else if path.is_dir() {
        let files: Vec<PathBuf> = files(&path)?.into_iter().filter(|file| is_message(file)).collect();
        ensure!(!files.is_empty(), "{} holds neither a maildir nor .eml files", path.display());
        for file in files {
            loaded.messages += one(world, &user, &file, &[INBOX])?;
        }
    } else if is_message(&path) {
        loaded.messages += one(world, &user, &path, &[INBOX])?;
    } else {
        loaded.messages += mbox(world, &user, &path)?;
    }
    Ok(loaded)
}

fn is_message(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("eml"))
}

/// The files of a folder, by name.
fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in folder.read_dir().with_context(|| format!("reading {}", folder.display()))? {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        files.extend(path.is_file().then_some(path));
    }
    files.sort();
    Ok(files)
}

/// Labels from the flags in a maildir's file name, after `:2,`.
fn flags(folder: &Path, file: &Path) -> Vec<u16> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let flags = name.split_once(":2,").map_or("", |(_, flags)| flags);
    let has = |flag: char| flags.contains(flag);
    let mut places = vec![if has('T') { TRASH } else { INBOX }];
    // Mail in `new` is unread.
    places.extend((folder.ends_with("new") || !has('S')).then_some(UNREAD));
    places.extend(has('F').then_some(STARRED));
    places
}

/// Loads a file with one message.
fn one(world: &World, user: &User, file: &Path, flags: &[u16]) -> anyhow::Result<u64> {
    // A maildir renames a message when its flags change, and moves it out of `new` once it is read.
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split(":2,").next().unwrap_or_default();
    let folder = file
        .parent()
        .filter(|folder| !folder.ends_with("new") && !folder.ends_with("cur"))
        .or(file.parent().and_then(Path::parent));
    let key = folder.unwrap_or(file).join(name);
    if lock(&user.mailbox).loaded.contains_key(&key) {
        return Ok(0);
    }
    let text = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    put(world, user, text, None, flags)?;
    lock(&user.mailbox).loaded.insert(key, 1);
    Ok(1)
}

/// Loads the part of an mbox after the part that was loaded before.
fn mbox(world: &World, user: &User, path: &Path) -> anyhow::Result<u64> {
    let mut file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    let length = file.metadata().context("asking for the length")?.len();
    let from = lock(&user.mailbox).loaded.get(path).copied().unwrap_or(0);
    if length < from {
        bail!("{} is shorter than what was loaded of it", path.display());
    }
    file.seek(SeekFrom::Start(from)).context("going to where it ended")?;
    let mut mbox = Mbox::new(BufReader::with_capacity(1 << 20, file), from);
    let mut count = 0;
    while let Some(entry) = mbox.next_entry()? {
        put(world, user, entry.text, entry.date, &[INBOX])?;
        // After each message: an error later in the file must not lose the messages loaded so far.
        lock(&user.mailbox).loaded.insert(path.to_owned(), entry.end);
        count += 1;
    }
    Ok(count)
}

fn put(world: &World, user: &User, text: Vec<u8>, date: Option<i64>, usual: &[u16]) -> anyhow::Result<()> {
    let envelope = Envelope::of(&text);
    let at = envelope.date.or(date).unwrap_or(world.now().timestamp_millis());
    let mut mailbox = lock(&user.mailbox);
    let labels = match &envelope.labels {
        Some(names) => places(&mut mailbox, names).map_err(|wrong| anyhow::anyhow!(wrong.0))?,
        None => labels(usual.to_vec()),
    };
    deliver(&mut mailbox, text, &envelope, at, labels);
    Ok(())
}
