//! The cluster's folders: where they are, and who else could get in. Knows no processes.

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

/// Longest path of a socket, without the closing zero.
const SOCKET_PATH_MAX: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// The same folder by one name, whether it exists or not: links in the part that exists are followed.
pub(super) fn resolve(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find_map(|part| Some((part, fs::canonicalize(part).ok()?)));
    match found.and_then(|(part, real)| Some((path.strip_prefix(part).ok()?, real))) {
        Some((rest, real)) if rest.as_os_str().is_empty() => real,
        Some((rest, real)) => real.join(rest),
        None => path,
    }
}

/// The socket's folder, the same for every caller: cron has no XDG_RUNTIME_DIR, so that cannot decide it.
pub(super) fn socket_dir(data_dir: &Path) -> PathBuf {
    let inside = data_dir.join("run");
    let path = inside.as_os_str();
    // A comma separates hosts in libpq's keywords; other bytes than UTF-8 do not fit in them.
    let usable = path.to_str().is_some_and(|path| !path.contains(','));
    if usable && path.len() + "/.s.PGSQL.65535".len() <= SOCKET_PATH_MAX {
        return inside;
    }
    let hash = Sha256::digest(data_dir.as_os_str().as_bytes());
    let hash: String = hash.iter().take(10).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/tmp").join(format!("syncctl-{hash}"))
}

/// Looks at the folders above the cluster's, from the top: refused is a place where another user could have made the cluster's folder, or could put
/// another one. With `make`, those that are missing are made; those that root makes, the server's user must be able to pass, whatever root's umask.
///
/// # Errors
/// A `Fault` (exit 78) that names the folder.
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
        let found = lstat(part).map_err(|error| unusable(part, &error.into()))?;
        check_parent(part, &found, data_dir)?;
        if is_missing && User::me().is_root() {
            fs::set_permissions(part, fs::Permissions::from_mode(0o755)).map_err(|error| unusable(part, &error))?;
        }
    }
    Ok(())
}

/// The folders above, the topmost first.
fn parents(data_dir: &Path) -> Vec<&Path> {
    let mut parents: Vec<&Path> = data_dir.ancestors().skip(1).collect();
    parents.reverse();
    parents
}

fn check_parent(part: &Path, found: &Stat, data_dir: &Path) -> Result<(), Fault> {
    let me = User::me();
    // In a folder like /tmp nobody can tell who made what belongs to the server's user, and not to us.
    let shared = me.is_root() && data_dir.parent() == Some(part) && me.is_shared(found);
    match trusted::kind(found).is_dir() && me.alone_changes(found) && !shared {
        true => Ok(()),
        false => Err(Fault::settings(format!(
            "{}: so the private cluster in {} could be somebody else's; choose a db.data_dir where {} may make folders",
            trusted::refused(part, found),
            data_dir.display(),
            if me.is_root() { "only root" } else { "only you and root" }
        ))),
    }
}

/// A folder that only its owner may enter.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// A folder for the socket that nobody but the owner of `model` can enter or has made.
///
/// # Errors
/// A `Fault` (exit 78) where somebody else has.
pub(super) fn private_dir(path: &Path, model: &Path) -> anyhow::Result<()> {
    make_private_dir(path).with_context(|| format!("making {}", path.display()))?;
    match same_owner_only(path, model) {
        true => Ok(()),
        false => Err(Fault::settings(format!("{} was made by somebody else: remove it", path.display())).into()),
    }
}

/// Waits for the lock, which the end of this process gives back in any case.
pub(super) fn lock(path: &Path) -> anyhow::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let lock = options.open(path).map_err(|error| unusable(path, &error))?;
    lock.lock().with_context(|| format!("locking {}", path.display()))?;
    Ok(lock)
}

/// Whether `path` is a folder, no link, that nobody but the owner of `model` may enter.
pub(super) fn same_owner_only(path: &Path, model: &Path) -> bool {
    let (Ok(found), Ok(model)) = (fs::symlink_metadata(path), fs::metadata(model)) else { return false };
    found.is_dir() && found.uid() == model.uid() && found.permissions().mode() & 0o077 == 0
}

/// Whether a folder is one of our clusters, or still empty.
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

/// Replaces a file as a whole; a link in its place is replaced, not followed.
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

/// Bytes in a folder. What vanishes meanwhile counts nothing.
pub(super) fn size(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let entry_size = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => size(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.blocks() * 512),
    };
    entries.flatten().map(entry_size).sum()
}

/// Of a path that cannot be used.
pub(super) fn unusable(path: &Path, error: &io::Error) -> Fault {
    Fault::settings(format!("{} cannot be used for the private cluster (db.data_dir): {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_stays_in_the_data_folder_where_its_path_is_short_enough() {
        assert_eq!(socket_dir(Path::new("/var/lib/x")), Path::new("/var/lib/x/run"));
        let long = PathBuf::from("/").join("x".repeat(100));
        let elsewhere = socket_dir(&long);
        assert!(elsewhere.starts_with("/tmp"), "{elsewhere:?}");
        assert_eq!(elsewhere, socket_dir(&long));
        assert!(socket_dir(Path::new("/a,b")).starts_with("/tmp"));
    }

    #[test]
    fn a_folder_has_one_name_before_and_after_it_is_made() {
        assert_eq!(resolve(Path::new("/usr/../no-such-folder/x")), Path::new("/no-such-folder/x"));
        assert_eq!(resolve(Path::new("/")), Path::new("/"));
    }

    #[test]
    fn a_folder_that_others_may_enter_is_not_private() {
        assert!(!same_owner_only(Path::new("/tmp"), Path::new("/tmp")));
        assert!(!same_owner_only(Path::new("/no-such-folder"), Path::new("/tmp")));
    }
}
