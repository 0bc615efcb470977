//! Files that are written only where they differ, and never over what somebody has changed without keeping it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::Access;
use serde::Serialize;

use crate::commands::file;
use crate::error::Fault;

/// A file as it should be.
pub(super) struct File {
    pub path: PathBuf,
    pub text: String,
    /// The package's own, which does if it says what this one would.
    pub packaged: Option<PathBuf>,
}

/// What became of a file, or would.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    pub path: PathBuf,
    pub state: State,
    /// Where the text went that was there before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
    /// Of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    New,
    Changed,
    Unchanged,
    /// The one that the package brought is used.
    Packaged,
}

impl Written {
    pub(super) fn text(&self) -> String {
        let state = match self.state {
            State::New => "new",
            State::Changed => "changed",
            State::Unchanged => "unchanged",
            State::Packaged => "packaged",
        };
        let mut text = format!("{state:<10}{}", self.path.display());
        if let Some(kept) = &self.kept {
            text.push_str(&format!(" (before: {})", kept.display()));
        }
        text.push('\n');
        if let Some(body) = &self.text {
            text.push_str(body.trim_end());
            text.push_str("\n\n");
        }
        text
    }
}

/// Writes what differs.
///
/// # Errors
/// A folder that may not be written to (exit 2): then nothing was written at all.
pub(super) fn write(files: &[File], dry_run: bool) -> anyhow::Result<Vec<Written>> {
    let mut planned = Vec::new();
    for file in files {
        let same = |path: &Path| std::fs::read_to_string(path).is_ok_and(|found| found == file.text);
        let (path, state) = match &file.packaged {
            Some(packaged) if !file.path.exists() && same(packaged) => (packaged, State::Packaged),
            _ if !file.path.exists() => (&file.path, State::New),
            _ if same(&file.path) => (&file.path, State::Unchanged),
            _ => (&file.path, State::Changed),
        };
        let written = matches!(state, State::New | State::Changed);
        let kept = (state == State::Changed).then(|| kept(path));
        planned.push(Written { path: path.clone(), state, kept, text: (dry_run && written).then(|| file.text.clone()) });
    }
    if dry_run {
        return Ok(planned);
    }
    for written in planned.iter().filter(|written| matches!(written.state, State::New | State::Changed)) {
        may_write(&written.path)?;
    }
    for (file, written) in files.iter().zip(&planned) {
        if let Some(kept) = &written.kept {
            let before = std::fs::read(&file.path).with_context(|| format!("reading {}", file.path.display()))?;
            let mode = std::fs::metadata(&file.path).map_or(0o600, |found| found.permissions().mode() & 0o777);
            file::replace_with(kept, before, mode)?;
        }
        if matches!(written.state, State::New | State::Changed) {
            let folder = file.path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
            file::replace(&file.path, &file.text)?;
        }
    }
    Ok(planned)
}

/// Neither systemd nor cron reads a file with this ending.
fn kept(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bak");
    PathBuf::from(name)
}

/// Whether a file may be made here, as far as can be told without making it.
fn may_write(path: &Path) -> anyhow::Result<()> {
    let there = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        Fault::usage(format!(
            "{} cannot be written ({}: {error}): run this as root, or with --user for yourself alone; nothing was written",
            path.display(),
            there.display()
        ))
        .into()
    })
}
