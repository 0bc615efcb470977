//! The file of the seal keys: adds keys without losing any. Independent of the cipher.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::new_key_line;
use crate::error::Fault;
use crate::trusted;

/// Puts a new key at the top of a key file, creating the file if it is missing. Only its owner can read it.
///
/// # Errors
/// Returns `Fault::settings` with the name of the file.
pub fn add_key(path: &Path) -> anyhow::Result<()> {
    locked_folder(path).and_then(|_lock| put_key(path)).map_err(|error| not_written(path, &error))
}

/// A settings fault, because `seal.key_file` determines the path.
fn not_written(path: &Path, error: &anyhow::Error) -> anyhow::Error {
    Fault::settings(format!("cannot add a seal key to {} (seal.key_file): {error:#}", path.display())).into()
}

/// Locks the folder of a key file until the handle is dropped, so that keys added concurrently are not lost.
fn locked_folder(path: &Path) -> anyhow::Result<std::fs::File> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let handle = std::fs::File::open(folder).with_context(|| format!("opening {}", folder.display()))?;
    // Ignore errors: some network file systems do not support locks.
    let _ = rustix::fs::flock(&handle, rustix::fs::FlockOperation::LockExclusive);
    Ok(handle)
}

/// Creates a key file with its first key, unless another command has created it meanwhile.
pub(super) fn make(path: &Path) -> anyhow::Result<()> {
    let made = locked_folder(path).and_then(|_lock| if path.exists() { Ok(()) } else { put_key(path) });
    made.map_err(|error| not_written(path, &error))
}

fn put_key(path: &Path) -> anyhow::Result<()> {
    let old = match trusted::read_keys(path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Written to a temporary file and renamed, so that a crash never loses the old keys. Only the owner can read it from the start.
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(".seal-").tempfile_in(folder)?;
        file.write_all(new_key_line().as_bytes())?;
        file.write_all(old.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::super::{Vault, open_vault};
    use super::*;

    #[test]
    fn keys_added_concurrently_are_all_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("seal.keys");
        std::thread::scope(|threads| {
            for _ in 0..16 {
                threads.spawn(|| add_key(&file).expect("a key"));
            }
        });
        let lines = std::fs::read_to_string(&file).expect("the file");
        assert_eq!(Vault::parse("file", &lines).expect("keys").keys.len(), 16);
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 1, "a temporary file is left");
    }

    #[test]
    fn concurrent_first_commands_agree_on_one_key() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("seal.keys");
        let open = || open_vault(&SecretString::default(), &file, true).expect("a vault");
        let ids: std::collections::BTreeSet<String> = std::thread::scope(|threads| {
            let opened: Vec<_> = (0..16).map(|_| threads.spawn(|| open().writing_key().expect("a key").to_owned())).collect();
            opened.into_iter().map(|thread| thread.join().expect("a thread")).collect()
        });
        assert_eq!(ids.len(), 1, "{ids:?}");
    }
}
