//! What a process that polls apart is at, as it says it: a line of JSON each.

use serde::{Deserialize, Serialize};

/// A stream, and the item of it that is read or written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, Option<String>)", into = "(i64, Option<String>)")]
pub struct Place {
    /// `streams.id`
    pub stream: i64,
    /// The provider's id.
    pub item: Option<String>,
}

impl From<(i64, Option<String>)> for Place {
    fn from((stream, item): (i64, Option<String>)) -> Self {
        Self { stream, item }
    }
}

impl From<Place> for (i64, Option<String>) {
    fn from(place: Place) -> Self {
        (place.stream, place.item)
    }
}
