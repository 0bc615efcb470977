//! Replaces files that others may be reading, in folders where others may have placed links.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use rustix::fs::{AtFlags, Mode, OFlags, fchmod, openat, renameat, statat, unlinkat};
use uuid::Uuid;

use crate::trusted::{self, User};

/// Paths of descriptors opened by the caller of this command.
const OPEN: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd"];

/// Replaces a file atomically: readers see the complete old or new text. The file is world-readable. A pipe or device is written to, not
/// replaced.
///
/// # Errors
/// Returns an error if the path has a link that another user made or could replace: root would write wherever that user wants.
pub fn replace(path: &Path, text: impl AsRef<[u8]>) -> anyhow::Result<()> {
    replace_with(path, text, 0o644)
}

/// Like `replace`, with this mode, so that a private file stays private.
pub fn replace_with(path: &Path, text: impl AsRef<[u8]>, mode: u32) -> anyhow::Result<()> {
    let text = text.as_ref();
    let put = if is_open(path) { std::fs::write(path, text) } else { put(path, text, Mode::from_bits_truncate(mode)) };
    put.with_context(|| format!("writing {}", path.display()))
}

/// Creates a private file. A pipe or device that the caller of this command opened is written to.
///
/// # Errors
/// Returns an error if the path exists, or has a link that another user made or could replace. Nothing is left then.
pub fn create(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let made = if is_open(path) { std::fs::write(path, bytes) } else { new(path, bytes) };
    made.with_context(|| format!("creating {}", path.display()))
}

fn new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (folder, name) = User::me().folder_of(path)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR)?);
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = unlinkat(&folder, &name, AtFlags::empty());
    }
    written
}

/// Whether a path names a descriptor of this process, such as `/dev/stdout`.
pub fn is_open(path: &Path) -> bool {
    OPEN.iter().any(|open| path.starts_with(open))
}

fn put(path: &Path, text: &[u8], mode: Mode) -> io::Result<()> {
    // From here on, use this folder's descriptor, even if its path changes.
    let (folder, name) = User::me().folder_of(path)?;
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if let Ok(stat) = statat(&folder, &name, AtFlags::SYMLINK_NOFOLLOW)
        && !trusted::kind(&stat).is_file()
    {
        // Writing to another user's pipe could block forever.
        if !User::me().owns(&stat) {
            return Err(trusted::refused(path, &stat));
        }
        return File::from(openat(&folder, &name, flags, Mode::empty())?).write_all(text);
    }
    let fresh = format!(".syncctl-{}.tmp", Uuid::new_v4().simple());
    let mut file = File::from(openat(&folder, &fresh, flags | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR)?);
    let mut written = || -> io::Result<()> {
        file.write_all(text)?;
        // Set the mode explicitly instead of relying on the umask, because other users read the file.
        fchmod(&file, mode)?;
        file.sync_all()?;
        Ok(renameat(&folder, &fresh, &folder, &name)?)
    };
    let written = written();
    if written.is_err() {
        let _ = unlinkat(&folder, &fresh, AtFlags::empty());
    }
    written
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::FileTypeExt as _;

    use super::*;

    #[test]
    fn pipes_and_links_are_not_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status();
        assert!(made.is_ok_and(|ended| ended.success()));
        // Open for reading and writing, so that neither end blocks.
        let mut pipe = std::fs::File::options().read(true).write(true).open(at("pipe")).expect("the pipe");
        replace(&at("pipe"), "text").expect("written");
        assert!(std::fs::metadata(at("pipe")).expect("the pipe").file_type().is_fifo());
        let mut text = [0; 4];
        pipe.read_exact(&mut text).expect("read");
        assert_eq!(&text, b"text");
        replace(&at("file"), "old").expect("written");
        std::os::unix::fs::symlink(at("file"), at("link")).expect("a link");
        replace(&at("link"), "new").expect("written");
        assert!(std::fs::symlink_metadata(at("link")).expect("the link").is_symlink());
        assert_eq!(std::fs::read_to_string(at("file")).expect("read"), "new");
        assert!(replace(folder.path(), "text").is_err());
        for taken in ["file", "link", "pipe"] {
            assert!(create(&at(taken), b"other").is_err(), "{taken}");
        }
        assert_eq!(std::fs::read_to_string(at("file")).expect("read"), "new");
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 3, "a temporary file is left");
    }
}
