//! Retention of data that is no longer needed. Pending work is never deleted.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DAY;

/// What `syncctl db prune` deletes. It also deletes events and notifications, by `keep` in `[outbox]` and `[webhook]`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Finished runs: their rows in `runs` and in the tables of results, metrics and summaries, and the call counts
    /// of the model endpoint. 0s: kept forever.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub runs: Duration,
    /// Rows that record the deletion of events, messages and files at Google. 0s: kept forever.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub tombstones: Duration,
    /// Texts, in documents and messages, of mail deleted at Google and of files no longer visible to the user, whose rows stay, and
    /// attachments of such mail. 0s: kept forever.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub documents: Duration,
    /// Items that could not be applied, counted from their last attempt. 0s: kept forever, since they are stored nowhere else.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub quarantine: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            runs: Duration::from_secs(90 * DAY),
            tombstones: Duration::from_secs(365 * DAY),
            documents: Duration::from_secs(30 * DAY),
            quarantine: Duration::ZERO,
        }
    }
}

impl Retention {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 3] {
        // `metrics` compares a window with the previous one, and pace looks back several days.
        let days = |keep: Duration, min: u64| keep.is_zero() || keep >= Duration::from_secs(min * DAY);
        [
            (days(self.runs, 2), "retention.runs", "2days or more, or 0s"),
            (days(self.tombstones, 7), "retention.tombstones", "7days or more, or 0s"),
            (days(self.documents, 1), "retention.documents", "1day or more, or 0s"),
        ]
    }
}
