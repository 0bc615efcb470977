//! Log settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logging to stderr.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// env_logger filter, such as `warn` or `syncctl=debug`.
    pub level: String,
    /// Form of the lines: `text`; `json`, an object per line; `systemd`, with priorities for the journal; `auto`, systemd if stderr is the journal, else text.
    pub format: LogFormat,
}

/// Form of the lines on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Text,
    Json,
    Systemd,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "warn".into(), format: LogFormat::Auto }
    }
}

impl Log {
    /// Whether the level is a valid env_logger filter. A word that is not a level would be read as a module name, which silences all other modules.
    pub(super) fn is_a_filter(&self) -> bool {
        let parts = self.level.split('/').next().unwrap_or_default().split(',').map(str::trim).filter(|part| !part.is_empty());
        let is_level = |text: &str| text.trim().parse::<log::LevelFilter>().is_ok();
        parts.map(|part| part.split_once('=').map_or(part, |(_, level)| level)).all(is_level)
    }
}
