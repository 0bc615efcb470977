//! Projects that are not called in this process, because their quota of the day is used up.

use super::{Meter, locked};
use crate::db::quota;
use crate::error::{Class, Failure};

/// The reason of a failure that no provider gave: the project was known to be paused, and nothing was asked.
pub const PAUSED: &str = "paused";

impl Meter {
    /// Calls none of these projects; each comes with why.
    pub fn are_paused(&self, projects: impl IntoIterator<Item = (String, String)>) {
        locked(&self.paused).extend(projects);
    }

    /// Whether any project is paused.
    pub fn has_paused(&self) -> bool {
        !locked(&self.paused).is_empty()
    }

    /// The quota of the day is used up, by the provider's word or by our own cap: nothing is asked for the project any more, by this process at once
    /// and by others until the day ends.
    pub async fn used_up(&self, project: &str, why: &str) {
        let is_new = locked(&self.paused).insert(project.to_owned(), why.to_owned()).is_none();
        if !is_new || !self.writes {
            return;
        }
        log::info!(project; "paused for the day: {why}");
        if let Err(error) = quota::pause_until_day_ends(&self.pool, self.service, project, why).await {
            log::error!(project; "the pause could not be stored: {error:#}");
        }
    }

    /// Calls a project again; answers why it was paused.
    pub fn resume(&self, project: &str) -> Option<String> {
        locked(&self.paused).remove(project)
    }

    /// # Errors
    /// `DailyQuota`, for the reason `PAUSED`, where the project is paused.
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
