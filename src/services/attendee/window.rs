//! The time window of a plan.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::address::Pattern;

/// The time window, and the settings that decide who gets a bot.
pub struct Window<'a> {
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub pattern: &'a Pattern,
    /// Domains whose invitations count without being accepted.
    pub inside: &'a BTreeSet<String>,
    /// Whether meetings in calendars that a user only overlays get bots too.
    pub with_overlaid: bool,
}
