//! What to run.

use std::time::Duration;

use uuid::Uuid;

use crate::db::claims::Selection;

/// What to run.
#[derive(Debug, Clone)]
pub struct Job {
    /// `calendar cron`: the name in the run tables, and of the lock.
    pub name: String,
    /// At most one run of this job at a time.
    pub exclusive: bool,
    /// Fetch and compare, but write nothing.
    pub dry_run: bool,
    /// The streams to poll.
    pub selection: Selection,
    /// Wind down after this long.
    pub max_duration: Option<Duration>,
    /// OAuth scopes of all enabled services.
    pub scopes: Vec<&'static str>,
    /// Given ids that match nothing; they count as failed.
    pub unknown: Vec<String>,
    /// The run that this process polls some streams for; that run records them.
    pub part_of: Option<Uuid>,
}

impl Job {
    /// Whether this is a scheduled run for all users, not one for selected users: only such runs show that all is well.
    pub(in crate::engine) fn is_for_everybody(&self) -> bool {
        self.selection.users.is_none() && !self.selection.pushed && self.selection.apart.is_none()
    }
}
