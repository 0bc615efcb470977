//! The settings of Attendee.

use serde::{Deserialize, Serialize};

/// How Attendee is reached.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attendee {
    /// Origin of the API; empty: the hosted service.
    pub root: String,
}
