//! Drive settings.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{HOUR, MINUTE};

/// Google Drive.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drive {
    /// Whether to sync this service and request its OAuth scope.
    pub enabled: bool,
    /// Which files become documents: `watched` (those added by `drive watch-file`) or `all` that users can see.
    pub documents: DriveDocuments,
    /// Maximum size of the text read into a document, in bytes.
    pub content_max_size: u64,
    /// Files or changes per page, 1 to 1000.
    pub page_size: u32,
    /// Minimum interval between polls of a drive.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub min_interval: Duration,
    /// Maximum interval between polls of a drive.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub max_interval: Duration,
    /// Interval between polls of a user's list of shared drives.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub list_interval: Duration,
}

/// Which files become documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriveDocuments {
    Watched,
    All,
}

impl Default for Drive {
    fn default() -> Self {
        Self {
            enabled: true,
            documents: DriveDocuments::Watched,
            content_max_size: 1 << 20,
            page_size: 1000,
            min_interval: Duration::from_secs(5 * MINUTE),
            max_interval: Duration::from_secs(HOUR),
            list_interval: Duration::from_secs(6 * HOUR),
        }
    }
}

impl Drive {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 3] {
        [
            ((1..=1000).contains(&self.page_size), "drive.page_size", "1 to 1000"),
            (self.content_max_size <= 16 << 20, "drive.content_max_size", "at most 16777216"),
            (self.min_interval <= self.max_interval, "drive.min_interval", "at most drive.max_interval"),
        ]
    }
}
