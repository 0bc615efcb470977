//! Log settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Logging to stderr.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// env_logger filter, such as `warn` or `syncctl=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "warn".into() }
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
