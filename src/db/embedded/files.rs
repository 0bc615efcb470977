//! The cluster's folders: where they are, and who else could get in. Knows no processes.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

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

/// The folders above the cluster's. Those that root makes, the server's user must be able to pass, whatever root's umask.
pub(super) fn make_parents(path: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = path.ancestors().take_while(|part| !part.exists()).collect();
    for part in missing.into_iter().rev() {
        fs::create_dir_all(part)?;
        if rustix::process::geteuid().is_root() {
            fs::set_permissions(part, fs::Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// A folder that only its owner may enter.
pub(super) fn make_private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Whether `path` is a folder, no link, that nobody but the owner of `model` may enter.
pub(super) fn same_owner_only(path: &Path, model: &Path) -> bool {
    let (Ok(found), Ok(model)) = (fs::symlink_metadata(path), fs::metadata(model)) else { return false };
    found.is_dir() && found.uid() == model.uid() && found.permissions().mode() & 0o077 == 0
}

/// Whether a folder is one of our clusters, or still empty.
pub(super) fn ours_or_empty(data_dir: &Path) -> io::Result<bool> {
    let mut names = Vec::new();
    for entry in fs::read_dir(data_dir)? {
        names.push(entry?.file_name());
    }
    Ok(names.is_empty() || names.iter().any(|name| name == "start.lock"))
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
