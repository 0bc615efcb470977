//! Files that others read while they are written anew.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Puts a file in place at once: whoever opens it finds the old text or the new one, whole. Anybody may read it.
pub fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = || format!("writing {}", path.display());
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
