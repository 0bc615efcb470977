//! The settings files of a process: one that is named, or those of the machine and of the user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Flags;
use crate::config::secrets::MACHINE_SETTINGS;
use crate::error::Fault;

/// The file named explicitly, which must exist, or else those of the default files that exist: the machine's, then the user's, whose values win.
pub(super) fn find(flags: &Flags, environment: &BTreeMap<String, String>) -> anyhow::Result<Vec<PathBuf>> {
    let named = flags.config.clone().or_else(|| environment.get("SYNCCTL_CONFIG").map(PathBuf::from));
    if let Some(path) = named {
        if !path.is_file() {
            let message = format!("settings file {} does not exist", path.display());
            return Err(Fault::settings(message).into());
        }
        return Ok(vec![path]);
    }
    let personal = environment
        .get("XDG_CONFIG_HOME")
        .filter(|dir| !dir.is_empty())
        .map(PathBuf::from)
        .or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".config")))
        .map(|dir| dir.join("syncctl/syncctl.toml"));
    Ok([Some(PathBuf::from(MACHINE_SETTINGS)), personal].into_iter().flatten().filter(|path| path.is_file()).collect())
}
