//! The cluster's folders: their paths, and who else could access them. Independent of processes.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{Dir, OFlags, Stat, lstat};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use crate::error::Fault;
use crate::trusted::{self, User};

/// Maximum length of a socket's path, without the terminating NUL.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The canonical path of a folder that need not exist: links in the existing part are resolved.
pub(super) fn resolve(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = path.ancestors().find_map(|part| Some((part, fs::canonicalize(part).ok()?)));
    match existing.and_then(|(part, real)| Some((path.strip_prefix(part).ok()?, real))) {
        Some((rest, real)) if rest.as_os_str().is_empty() => real,
        Some((rest, real)) => real.join(rest),
        None => path,
    }
}

/// The socket's folder. It must be the same for every caller, so it does not depend on XDG_RUNTIME_DIR, which cron does not set.
pub(super) fn socket_dir(data_dir: &Path) -> PathBuf {
    let inside = data_dir.join("run");
    let path = inside.as_os_str();
    // libpq's keywords use commas to separate hosts and must be UTF-8.
    let usable = path.to_str().is_some_and(|path| !path.contains(','));
    if usable && path.len() + "/.s.PGSQL.65535".len() <= SOCKET_PATH_MAX {
        return inside;
    }
    let hash = Sha256::digest(data_dir.as_os_str().as_bytes());
    let hash: String = hash.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/tmp").join(format!("syncctl-{hash}"))
}

/// Checks the folders above the cluster's, from the top: another user must not have been able to create the cluster's folder, nor be able to replace
/// it. With `make`, missing folders are created; those created by root are accessible to the server's user, whatever root's umask.
///
/// # Errors
/// Returns `Fault::settings` with the name of the folder.
pub(super) fn check_parents(data_dir: &Path, make: bool) -> Result<(), Fault> {
    for part in parents(data_dir) {
        let is_missing = matches!(lstat(part), Err(Errno::NOENT));
        if is_missing && !make {
            break;
        }
        if is_missing
            && let Err(error) = DirBuilder::new().mode(0o755).create(part)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(unusable(part, &error));
        }
        let stat = lstat(part).map_err(|error| unusable(part, &error.into()))?;
        check_parent(part, &stat, data_dir)?;
        if is_missing && User::me().is_root() {
            fs::set_permissions(part, fs::Permissions::from_mode(0o755)).map_err(|error| unusable(part, &error))?;
        }
    }
    Ok(())
}

/// The folders above, topmost first.
fn parents(data_dir: &Path) -> Vec<&Path> {
    let mut parents: Vec<&Path> = data_dir.ancestors().skip(1).collect();
    parents.reverse();
    parents
}

fn check_parent(part: &Path, stat: &Stat, data_dir: &Path) -> Result<(), Fault> {
    let me = User::me();
    // In a folder like /tmp it is unknown who created a folder that belongs to the server's user.
    let shared = me.is_root() && data_dir.parent() == Some(part) && me.is_shared(stat);
    if trusted::kind(stat).is_dir() && me.alone_changes(stat) && !shared {
        Ok(())
    } else {
        Err(Fault::settings(format!(
            "{}: so the private cluster in {} could belong to another user; choose a db.data_dir where {} can create folders",
            trusted::refused(part, stat),
            data_dir.display(),
            if me.is_root() { "only root" } else { "only you and root" }
        )))
    }
}

/// Creates a folder that only its owner may enter, unless it exists.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Creates a folder for the socket that only the owner of `model` can enter.
///
/// # Errors
/// Returns `Fault::settings` if another user created it.
pub(super) fn private_dir(path: &Path, model: &Path) -> anyhow::Result<()> {
    make_private_dir(path).with_context(|| format!("creating {}", path.display()))?;
    if same_owner_only(path, model) {
        Ok(())
    } else {
        Err(Fault::settings(format!("{} was created by another user: remove it", path.display())).into())
    }
}

/// Waits for the lock. It is released at the latest when this process ends.
pub(super) fn lock(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let lock = options.open(path).map_err(|error| unusable(path, &error))?;
    lock.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(lock)
}

/// Whether `path` is a folder, not a link, that only the owner of `model` may enter.
pub(super) fn same_owner_only(path: &Path, model: &Path) -> bool {
    let (Ok(metadata), Ok(model)) = (fs::symlink_metadata(path), fs::metadata(model)) else { return false };
    metadata.is_dir() && metadata.uid() == model.uid() && metadata.permissions().mode() & 0o077 == 0
}

/// Whether a folder contains one of our clusters or is empty.
pub(super) fn ours_or_empty(data_dir: impl AsFd) -> io::Result<bool> {
    let mut is_empty = true;
    for entry in Dir::read_from(data_dir)? {
        match entry?.file_name().to_bytes() {
            b"start.lock" => return Ok(true),
            name => is_empty &= [&b"."[..], b".."].contains(&name),
        }
    }
    Ok(is_empty)
}

/// Replaces a file atomically. A link in its place is replaced, not followed.
pub(super) fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&fresh, path)
}

/// Size of a folder in bytes. Files that vanish meanwhile are not counted.
pub(super) fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let entry_size = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.blocks() * 512),
    };
    entries.flatten().map(entry_size).sum()
}

/// The fault for a path that cannot be used.
pub(super) fn unusable(path: &Path, error: &io::Error) -> Fault {
    Fault::settings(format!("{} cannot be used for the private cluster (db.data_dir): {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_in_the_data_directory_if_its_path_is_short() {
        assert_eq!(socket_dir(Path::new("/var/lib/x")), Path::new("/var/lib/x/run"));
        let long = PathBuf::from("/").join("x".repeat(100));
        let elsewhere = socket_dir(&long);
        assert!(elsewhere.starts_with("/tmp"), "{elsewhere:?}");
        assert_eq!(elsewhere, socket_dir(&long));
        assert!(socket_dir(Path::new("/a,b")).starts_with("/tmp"));
    }

    #[test]
    fn a_directory_resolves_to_one_path_before_and_after_creation() {
        assert_eq!(resolve(Path::new("/usr/../no-such-folder/x")), Path::new("/no-such-folder/x"));
        assert_eq!(resolve(Path::new("/")), Path::new("/"));
    }

    #[test]
    fn a_directory_that_others_can_enter_is_not_private() {
        assert!(!same_owner_only(Path::new("/tmp"), Path::new("/tmp")));
        assert!(!same_owner_only(Path::new("/no-such-folder"), Path::new("/tmp")));
    }
}
