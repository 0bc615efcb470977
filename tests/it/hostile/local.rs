//! Other accounts of the same machine: what they may put where root reads and writes, and what they may read of it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::World;
use crate::support::receiver::Receiver;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The id of the account that attacks. Only root can act as it.
pub fn nobody() -> u32 {
    let output = Command::new("id").args(["-u", "nobody"]).output().expect("id");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("an id")
}

/// The binary where every account may run it.
pub fn binary_for_all(folder: &Path) -> PathBuf {
    let (built, binary) = (Path::new(env!("CARGO_BIN_EXE_syncctl")), folder.join("syncctl"));
    let is_ours = fs::metadata(built).expect("the binary").uid() == rustix::process::geteuid().as_raw();
    if !is_ours || fs::hard_link(built, &binary).is_err() {
        fs::copy(built, &binary).expect("a copy");
    }
    binary
}

/// A folder that belongs to the other account, below one of root's.
fn theirs(world: &World) -> PathBuf {
    fs::set_permissions(world.folder.path(), fs::Permissions::from_mode(0o755)).expect("a mode");
    let folder = world.folder.path().join("theirs");
    fs::create_dir(&folder).expect("a folder");
    chown(&folder, Some(nobody()), Some(nobody())).expect("an owner");
    folder
}

fn their_link(target: &Path, link: &Path) {
    symlink(target, link).expect("a link");
    lchown(link, Some(nobody()), None).expect("an owner");
}
