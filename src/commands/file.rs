//! Files that others read while they are written anew.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Puts a file in place at once: whoever opens it finds the old text or the new one, whole. Anybody may read it. What is no file, such as
/// /dev/stdout, stays what it is and gets the text.
pub fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = || format!("writing {}", path.display());
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return std::fs::write(path, text).with_context(written);
    }
    // A link stays one, too.
    let target = std::fs::canonicalize(path);
    let path = target.as_deref().unwrap_or(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".syncctl-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .with_context(|| format!("making a file in {}: it must exist and be writable", folder.display()))?;
    file.write_all(text.as_bytes()).with_context(written)?;
    // Not by the umask: whoever reads it is another user.
    file.as_file().set_permissions(Permissions::from_mode(0o644)).with_context(written)?;
    file.persist(path).with_context(written)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::FileTypeExt as _;

    use super::*;

    #[test]
    fn pipes_and_links_stay_what_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(at("pipe")).status();
        assert!(made.is_ok_and(|ended| ended.success()));
        // Open at both ends, so that nobody waits.
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
    }
}
