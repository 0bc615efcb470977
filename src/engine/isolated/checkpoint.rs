//! The current work of a process that polls in isolation, announced as one line of JSON each.

use serde::{Deserialize, Serialize};

/// A stream, and the item that is being read or written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, Option<String>)", into = "(i64, Option<String>)")]
pub struct Checkpoint {
    /// `streams.id`
    pub stream: i64,
    /// The provider's id.
    pub item: Option<String>,
}

impl From<(i64, Option<String>)> for Checkpoint {
    fn from((stream, item): (i64, Option<String>)) -> Self {
        Self { stream, item }
    }
}

impl From<Checkpoint> for (i64, Option<String>) {
    fn from(checkpoint: Checkpoint) -> Self {
        (checkpoint.stream, checkpoint.item)
    }
}
