//! How long is kept what nobody needs any more. What waits for somebody is never in it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DAY;

/// What `syncctl db prune` deletes. Events and notifications have a `keep` of their own, in `[outbox]` and `[webhook]`; it deletes these too.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// Runs that have ended: their rows in `runs` and in the tables of results, metrics and summaries, and the counts of calls
    /// of the model endpoint; 0s: kept for ever.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub runs: Duration,
    /// Events, messages and files that are deleted at Google, of which a row still says so; 0s: kept for ever.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub tombstones: Duration,
    /// Texts of mail that is deleted at Google and of files that a user does not see any more, in documents and messages, of which a row stays; 0s: kept for ever.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub documents: Duration,
    /// Items that could not be applied, since their last try; 0s: kept for ever, since they are missing elsewhere.
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
    /// Bounds that types cannot say: whether each holds, its key, and what it must be.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 3] {
        // `metrics` compares a window with the one before it, and pace looks back some days.
        let days = |keep: Duration, least: u64| keep.is_zero() || keep >= Duration::from_secs(least * DAY);
        [
            (days(self.runs, 2), "retention.runs", "2days or more, or 0s"),
            (days(self.tombstones, 7), "retention.tombstones", "7days or more, or 0s"),
            (days(self.documents, 1), "retention.documents", "1day or more, or 0s"),
        ]
    }
}
