//! The origin of a setting.

use std::fmt;
use std::path::PathBuf;

/// The origin of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File {
        path: PathBuf,
        line: usize,
    },
    Variable(String),
    /// A file named by a variable, or passed to the unit by systemd.
    Credential(PathBuf),
    /// A file in systemd's credential store, read directly by a user with access.
    Store(PathBuf),
    Flag,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "${name}"),
            Self::Credential(path) | Self::Store(path) => write!(f, "{}", path.display()),
            Self::Flag => f.write_str("flag"),
        }
    }
}
