//! Projects that this process does not call because their daily quota is used up.

use super::{Meter, locked};
use crate::db::quota;
use crate::error::{Class, Failure};

/// The reason of a failure that did not come from a provider: the project was known to be paused, and no call was made.
pub const PAUSED: &str = "paused";

impl Meter {
    /// Pauses these projects; each comes with the reason.
    pub fn are_paused(&self, projects: impl IntoIterator<Item = (String, String)>) {
        locked(&self.paused).extend(projects);
    }

    /// Whether any project is paused.
    pub fn has_paused(&self) -> bool {
        !locked(&self.paused).is_empty()
    }

    /// Pauses a project whose daily quota is used up, according to the provider or to our own limit: this process stops calling it immediately, others
    /// until the day ends.
    pub async fn used_up(&self, project: &str, why: &str) {
        let is_new = locked(&self.paused).insert(project.to_owned(), why.to_owned()).is_none();
        if !is_new || !self.writes {
            return;
        }
        log::info!(project; "paused for the day: {why}");
        if let Err(error) = quota::pause_until_day_ends(&self.pool, self.service, project, why).await {
            log::error!(project; "could not store the pause: {error:#}");
        }
    }

    /// Ends a project's pause; returns the reason for it.
    pub fn resume(&self, project: &str) -> Option<String> {
        locked(&self.paused).remove(project)
    }

    /// # Errors
    /// Returns `DailyQuota` with the reason `PAUSED` if the project is paused.
    pub fn must_not_be_paused(&self, project: &str) -> Result<(), Failure> {
        match locked(&self.paused).get(project) {
            None => Ok(()),
            Some(why) => {
                let failure = Failure::new(Class::DailyQuota, format!("project {project} is paused for the day: {why}"));
                Err(Failure { reason: PAUSED.into(), ..failure })
            }
        }
    }
}
