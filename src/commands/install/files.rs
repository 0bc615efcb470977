//! Writes files only if they differ, and keeps a copy of what they replace.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::fs::Access;
use serde::Serialize;

use crate::commands::file;
use crate::error::Fault;

/// A file to install.
pub(super) struct File {
    pub path: PathBuf,
    pub text: String,
    /// The package's file, used instead if it has the same text.
    pub packaged: Option<PathBuf>,
}

/// The result for a file, or the planned result.
#[derive(Debug, Serialize)]
pub(super) struct Written {
    pub path: PathBuf,
    pub state: State,
    /// Where the previous text was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<PathBuf>,
    /// The text, in a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    New,
    Changed,
    Unchanged,
    /// The package's file is used.
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

/// Writes the files that differ.
///
/// # Errors
/// Returns a usage error (exit 2) if a folder is not writable; then nothing was written.
pub(super) fn write(files: &[File], dry_run: bool) -> anyhow::Result<Vec<Written>> {
    let mut planned = Vec::new();
    for file in files {
        let same = |path: &Path| std::fs::read_to_string(path).is_ok_and(|text| text == file.text);
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
            let mode = std::fs::metadata(&file.path).map_or(0o600, |metadata| metadata.permissions().mode() & 0o777);
            file::replace_with(kept, before, mode)?;
        }
        if matches!(written.state, State::New | State::Changed) {
            let folder = file.path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
            file::replace(&file.path, &file.text)?;
        }
    }
    Ok(planned)
}

/// Returns the name for the saved copy. systemd and cron ignore files with this ending.
fn kept(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bak");
    PathBuf::from(name)
}

/// Checks whether a file can be created here, without creating it.
fn may_write(path: &Path) -> anyhow::Result<()> {
    let folder = path.ancestors().skip(1).find(|folder| folder.exists()).unwrap_or(Path::new("/"));
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| {
        Fault::usage(format!(
            "{} cannot be written ({}: {error}): run this as root, or with --user for yourself only; nothing was written",
            path.display(),
            folder.display()
        ))
        .into()
    })
}
