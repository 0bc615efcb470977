//! Whose a file or a folder is: what another user of this machine could have put there, or could still change. Knows no settings.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat, statat};
use rustix::io::Errno;

/// Links that one path may lead through, as in the kernel.
const MOST_LINKS: usize = 40;

/// A folder that is only passed through need not be readable.
#[cfg(target_os = "linux")]
const PASS: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const PASS: OFlags = OFlags::RDONLY;

/// A user with the group that is its own. Root is trusted beside it, and nobody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    uid: u32,
    gid: u32,
}

impl User {
    /// Root alone.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// Who runs this process.
    pub fn me() -> Self {
        Self::new(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    }

    /// A user and its own group, by their ids.
    pub fn new(uid: u32, gid: u32) -> Self {
        Self { uid, gid }
    }

    pub fn is_root(self) -> bool {
        self.is(0)
    }

    pub fn is(self, uid: u32) -> bool {
        self.uid == uid
    }

    /// Whether it is this user's, or root's.
    pub fn owns(self, found: &Stat) -> bool {
        [0, self.uid].contains(&found.st_uid)
    }

    /// Whether others may write into a file, or make something in a folder.
    pub fn is_shared(self, found: &Stat) -> bool {
        let mode = Mode::from_raw_mode(found.st_mode);
        mode.contains(Mode::WOTH) || (mode.contains(Mode::WGRP) && found.st_gid != self.gid)
    }

    /// Whether only this user and root may change a file, a link, or what they have in a folder. In a sticky one (`/tmp`) others may make things, and
    /// yet not touch theirs.
    pub fn alone_changes(self, found: &Stat) -> bool {
        let sticky = kind(found).is_dir() && Mode::from_raw_mode(found.st_mode).contains(Mode::SVTX);
        // The mode of a link says nothing.
        self.owns(found) && (sticky || kind(found).is_symlink() || !self.is_shared(found))
    }

    /// The folder that a path ends in, and the name in it: followed by handles, so that nobody exchanges a part that was looked at. Nothing need
    /// have the name. Of links only those are followed that this user or root made, and nobody else could replace.
    ///
    /// # Errors
    /// A link that is not followed (`PermissionDenied`), or a folder that is not there.
    pub fn folder_of(self, path: &Path) -> io::Result<(OwnedFd, OsString)> {
        self.follow(path, false)
    }

    /// # Errors
    /// `PermissionDenied`: a file, a folder above it or a link on the way to it that another user may change.
    pub fn must_alone_change(self, path: &Path) -> io::Result<()> {
        self.follow(path, true).map(drop)
    }

    fn follow(self, path: &Path, all: bool) -> io::Result<(OwnedFd, OsString)> {
        let top = || open("/", PASS | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let mut left = parts(&std::path::absolute(path)?);
        let (mut folder, mut at, mut links) = (top()?, PathBuf::from("/"), 0);
        while let Some(name) = left.pop() {
            let found = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW);
            at.push(&name);
            match found {
                Ok(found) if all && !self.alone_changes(&found) => return Err(refused(&at, &found)),
                Ok(found) if kind(&found).is_symlink() => {
                    if !(self.owns(&found) && self.alone_changes(&fstat(&folder)?)) {
                        let why = format!("the link {} is not followed: another user made it, or could replace it", at.display());
                        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
                    }
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    let target = PathBuf::from(OsString::from_vec(readlinkat(&folder, &name, Vec::new())?.into_bytes()));
                    at.pop();
                    if target.is_absolute() {
                        (folder, at) = (top()?, PathBuf::from("/"));
                    }
                    left.extend(parts(&target));
                }
                _ if left.is_empty() => return Ok((folder, name)),
                _ => {
                    folder = openat(&folder, &name, PASS | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?
                }
            }
        }
        Err(Errno::ISDIR.into())
    }
}

/// The names of a path, the first one last.
fn parts(path: &Path) -> Vec<OsString> {
    let named = |part: &Component<'_>| matches!(part, Component::Normal(_) | Component::ParentDir);
    path.components().filter(named).map(|part| part.as_os_str().to_owned()).rev().collect()
}

/// What an entry is.
pub fn kind(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

/// Says that others may change something, by its owner and mode.
pub fn refused(path: &Path, found: &Stat) -> io::Error {
    let why = format!("another user may change {} ({})", path.display(), owner_and_mode(found));
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

fn owner_and_mode(found: &Stat) -> String {
    format!("owner {}, mode {:04o}", found.st_uid, Mode::from_raw_mode(found.st_mode).bits() & 0o7777)
}

/// The text of a file of keys. As ssh does it with its own, one that somebody else has or may read is refused; what root gives to a group (mode 0640)
/// is good for others than root.
///
/// # Errors
/// `PermissionDenied`: whose it is or who may read it, and how that is put right. Or it cannot be read.
pub fn read_keys(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let found = fstat(&file)?;
    let me = User::me();
    let closed = if found.st_uid == me.uid { Mode::RWXG | Mode::RWXO } else { Mode::WGRP | Mode::XGRP | Mode::RWXO };
    let wrong = match () {
        () if !me.owns(&found) => format!("it belongs to another user: `chown {} {}`", me.uid, path.display()),
        () if Mode::from_raw_mode(found.st_mode).intersects(closed) => {
            format!("others may read or change it: `chmod 600 {}`", path.display())
        }
        () => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            return Ok(text);
        }
    };
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!("a file of keys must be private, and {wrong} ({})", owner_and_mode(&found)),
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
    fn what_others_may_change_is_told_by_its_path() {
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
        me.must_alone_change(&file).expect("nobody else may touch what is mine there");
    }

    #[test]
    fn a_link_is_followed_only_where_nobody_could_replace_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("real")).expect("a folder");
        symlink("real", at("link")).expect("a link");
        symlink(at("link/file"), at("way")).expect("a link");
        let (real, name) = User::me().folder_of(&at("way")).expect("followed");
        assert_eq!(name, "file");
        let same = |found: &Stat, path: &Path| {
            std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(path).expect("it")) == found.st_ino
        };
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
