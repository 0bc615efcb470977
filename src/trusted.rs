//! Trust in files and folders: whether another user of this machine could have created or could change them. Independent of the settings.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat, statat};
use rustix::io::Errno;

/// Maximum number of links in a path, as in the kernel.
const MAX_LINKS: usize = 40;

/// Flags to open a folder on the way to a file; it need not be readable.
#[cfg(target_os = "linux")]
const PASS: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PASS: OFlags = OFlags::RDONLY;

/// A user with its primary group. Only this user and root are trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Root.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// The user that runs this process.
    pub fn me() -> Self {
        Self::new(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }

    /// A user with its primary group, by their ids.
    pub fn new(uid: u32, gid: u32) -> Self {
        Self { uid, gid }
    }

    pub fn is_root(self) -> bool {
        self.is(0)
    }

    pub fn is(self, uid: u32) -> bool {
        self.uid == uid
    }

    /// Whether this user or root owns it.
    pub fn owns(self, stat: &Stat) -> bool {
        [0, self.uid].contains(&stat.st_uid)
    }

    /// Whether others may write to a file or create entries in a folder.
    pub fn is_shared(self, stat: &Stat) -> bool {
        let mode = Mode::from_raw_mode(stat.st_mode);
        mode.contains(Mode::WOTH) || (mode.contains(Mode::WGRP) && stat.st_gid != self.gid)
    }

    /// Whether only this user and root may change a file, a link, or their entries in a folder. In a sticky folder (`/tmp`) others may create entries, but
    /// not change those of this user.
    pub fn alone_changes(self, stat: &Stat) -> bool {
        let sticky = kind(stat).is_dir() && Mode::from_raw_mode(stat.st_mode).contains(Mode::SVTX);
        // The mode of a link is meaningless.
        self.owns(stat) && (sticky || kind(stat).is_symlink() || !self.is_shared(stat))
    }

    /// Resolves a path to its folder and the name in it. Uses handles, so that no checked component can be replaced. The name need not exist. Only follows
    /// links that this user or root created and no other user could replace.
    ///
    /// # Errors
    /// Returns `PermissionDenied` for a link that must not be followed, or an error for a missing folder.
    pub fn folder_of(self, path: &Path) -> io::Result<(OwnedFd, OsString)> {
        self.follow(path, false)
    }

    /// Checks that only this user and root may change a file.
    ///
    /// # Errors
    /// Returns `PermissionDenied` if another user may change the file, a folder above it, or a link on the way to it.
    pub fn must_alone_change(self, path: &Path) -> io::Result<()> {
        self.follow(path, true).map(drop)
    }

    fn follow(self, path: &Path, all: bool) -> io::Result<(OwnedFd, OsString)> {
        let top = || open("/", PASS | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let mut remaining = parts(&std::path::absolute(path)?);
        let (mut folder, mut at, mut links) = (top()?, PathBuf::from("/"), 0);
        while let Some(name) = remaining.pop() {
            let stat = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW);
            at.push(&name);
            match stat {
                Ok(stat) if all && !self.alone_changes(&stat) => return Err(refused(&at, &stat)),
                Ok(stat) if kind(&stat).is_symlink() => {
                    if !(self.owns(&stat) && self.alone_changes(&fstat(&folder)?)) {
                        let why =
                            format!("the link {} is not followed: another user created it, or could replace it", at.display());
                        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                    }
                    links += 1;
                    if links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = PathBuf::from(OsString::from_vec(readlinkat(&folder, &name, Vec::new())?.into_bytes()));
                    at.pop();
                    if target.is_absolute() {
                        (folder, at) = (top()?, PathBuf::from("/"));
                    }
                    remaining.extend(parts(&target));
                }
                _ if remaining.is_empty() => return Ok((folder, name)),
                _ => {
                    folder = openat(&folder, &name, PASS | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?
                }
            }
        }
        Err(Errno::ISDIR.into())
    }
}

/// The components of a path in reverse order.
fn parts(path: &Path) -> Vec<OsString> {
    let named = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(named).map(|part| part.as_os_str().to_owned()).rev().collect()
}

/// The type of an entry.
pub fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// The error for an entry that others may change, with its owner and mode.
pub fn refused(path: &Path, stat: &Stat) -> io::Error {
    let why = format!("another user may change {} ({})", path.display(), owner_and_mode(stat));
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

fn owner_and_mode(stat: &Stat) -> String {
    format!("owner {}, mode {:04o}", stat.st_uid, Mode::from_raw_mode(stat.st_mode).bits() & 0o7777)
}

/// Reads a key file. Like ssh, refuses a file that another user owns or may read. A file of root that a group may read (mode 0640) is accepted for users
/// other than root.
///
/// # Errors
/// Returns `PermissionDenied` with the problem and the remedy, or an error if the file cannot be read.
pub fn read_keys(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let stat = fstat(&file)?;
    let me = User::me();
    let closed = if stat.st_uid == me.uid { Mode::RWXG | Mode::RWXO } else { Mode::WGRP | Mode::XGRP | Mode::RWXO };
    let wrong = if !me.owns(&stat) {
        format!("it belongs to another user: `chown {} {}`", me.uid, path.display())
    } else if Mode::from_raw_mode(stat.st_mode).intersects(closed) {
        format!("others may read or change it: `chmod 600 {}`", path.display())
    } else {
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        return Ok(text);
    };
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("a key file must be private, but {wrong} ({})", owner_and_mode(&stat)),
    ))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    }

    #[test]
    fn paths_that_others_can_modify_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (inner, me) = (folder.path().join("inner"), User::me());
        std::fs::create_dir(&inner).expect("a folder");
        let file = inner.join("file");
        std::fs::write(&file, "").expect("a file");
        me.must_alone_change(&file).expect("all mine, in a sticky folder");
        for (path, mode, good) in [(&file, 0o666, 0o644), (&inner, 0o777, 0o755)] {
            chmod(path, mode);
            let error = me.must_alone_change(&file).expect_err("open to all").to_string();
            assert!(
                error.contains(&format!("{} (owner", path.display())) && error.contains(&format!("mode {mode:04o}")),
                "{error}"
            );
            chmod(path, good);
        }
        chmod(&inner, 0o1777);
        me.must_alone_change(&file).expect("no other user may change my files there");
    }

    #[test]
    fn links_are_followed_only_where_no_other_user_can_replace_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).expect("a folder");
        symlink("real", at("link")).expect("a link");
        symlink(at("link/file"), at("way")).expect("a link");
        let (real, name) = User::me().folder_of(&at("way")).expect("followed");
        assert_eq!(name, "file");
        let same =
            |stat: &Stat, path: &Path| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).expect("it")) == stat.st_ino;
        assert!(same(&fstat(&real).expect("a handle"), &at("real")));
        chmod(folder.path(), 0o777);
        let error = User::me().folder_of(&at("way")).expect_err("another user could replace it");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        chmod(folder.path(), 0o700);
        symlink("round", at("round")).expect("a link");
        assert!(User::me().folder_of(&at("round")).is_err());
        assert!(User::me().folder_of(Path::new("/")).is_err());
    }

    #[test]
    fn keys_that_others_may_read_are_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        assert_eq!(read_keys(file.path()).expect("private"), "");
        for mode in [0o640, 0o604, 0o660] {
            chmod(file.path(), mode);
            let error = read_keys(file.path()).expect_err("open").to_string();
            assert!(
                error.contains("others may read or change it: `chmod 600 ") && error.contains(&format!("mode {mode:04o}")),
                "{error}"
            );
        }
        assert_eq!(read_keys(Path::new("/no/such/file")).expect_err("missing").kind(), io::ErrorKind::NotFound);
    }
}
