//! Limits the bots per day: invitations come from others, but the operator pays for the bots. Pure.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

use super::plan::{ExistingBot, Meeting, Step};
use crate::config;

/// Maximum number of bots per UTC day.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Per user.
    user: u32,
    /// Per project.
    project: u32,
    /// Per series.
    series: u32,
}

impl From<&config::Attendee> for Bounds {
    fn from(settings: &config::Attendee) -> Self {
        Self { user: settings.bots_per_day, project: settings.project_bots_per_day, series: settings.series_bots_per_day }
    }
}

/// The subject of a limit.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Subject {
    User(Uuid),
    Project(Uuid),
    Series(String),
}

/// The number of bots by the day on which their meetings begin.
pub struct Days {
    bounds: Bounds,
    counts: HashMap<(NaiveDate, Subject), u32>,
}

impl Days {
    /// Counts the bots that are kept, and the `others` that exist.
    pub fn new(bounds: Bounds, kept: &[Step], others: &[ExistingBot]) -> Self {
        let mut days = Self { bounds, counts: HashMap::new() };
        for step in kept {
            if let Step::Keep(bot, meeting) = step {
                days.count(meeting.start, bot.project, &meeting.audience, meeting.users());
            }
        }
        for bot in others {
            days.count(bot.start, bot.project, bot.audience.as_deref().unwrap_or_default(), bot.users());
        }
        days
    }

    /// Counts a new bot for a meeting.
    ///
    /// # Errors
    /// Returns the limit that is reached, and an explanation. The limit per user is reached only if it is for all users of the meeting.
    pub fn take(&mut self, meeting: &Meeting) -> Result<(), (&'static str, String)> {
        let day = meeting.start.date_naive();
        let is_reached = |subject: Subject, max: u32| self.counts.get(&(day, subject)).is_some_and(|count| *count >= max);
        let Bounds { user, project, series } = self.bounds;
        let (what, max) = if meeting.users().into_iter().all(|id| is_reached(Subject::User(id), user)) {
            ("no bot, limit reached: attendee.bots_per_day", user)
        } else if is_reached(Subject::Project(meeting.project), project) {
            ("no bot, limit reached: attendee.project_bots_per_day", project)
        } else if is_reached(Subject::Series(meeting.audience.clone()), series) {
            ("no bot, limit reached: attendee.series_bots_per_day", series)
        } else {
            self.count(meeting.start, meeting.project, &meeting.audience, meeting.users());
            return Ok(());
        };
        let key = what.trim_start_matches("no bot, limit reached: ");
        Err((what, format!("its day already has {max} bots ({key})")))
    }

    fn count(&mut self, start: DateTime<Utc>, project: Uuid, audience: &str, users: impl IntoIterator<Item = Uuid>) {
        let users = users.into_iter().map(Subject::User);
        for subject in users.chain([Subject::Project(project), Subject::Series(audience.to_owned())]) {
            *self.counts.entry((start.date_naive(), subject)).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Event, Occurrence, Part};
    use super::*;

    fn meeting(user: u128, audience: &str, minute: i64) -> Meeting {
        let start = DateTime::UNIX_EPOCH + chrono::Duration::minutes(minute);
        let occurrence = Occurrence {
            user: Uuid::from_u128(user),
            event: Event { stream: 1, id: audience.into(), original_start: start },
            meeting: Uuid::from_u128(user),
            shown_by: audience.into(),
            title: None,
            link: String::new(),
            room: String::new(),
            start,
            end: start,
            wanted_by: "setting",
            project: None,
            part: Part::default(),
            audience: audience.into(),
        };
        Meeting {
            project: Uuid::nil(),
            room: String::new(),
            start,
            end: start,
            link: String::new(),
            title: None,
            audience: audience.into(),
            occurrences: vec![occurrence],
        }
    }

    #[test]
    fn each_limit_applies_per_day() {
        let mut days = Days::new(Bounds { user: 3, project: 5, series: 2 }, &[], &[]);
        let mut taken = |user: u128, audience: &str, minute: i64| {
            days.take(&meeting(user, audience, minute))
                .err()
                .map(|(what, _)| what.trim_start_matches("no bot, limit reached: attendee."))
        };
        assert_eq!((taken(1, "a", 0), taken(1, "a", 1)), (None, None));
        assert_eq!(taken(1, "a", 2), Some("series_bots_per_day"));
        assert_eq!(taken(1, "b", 3), None);
        assert_eq!(taken(1, "c", 4), Some("bots_per_day"));
        assert_eq!((taken(2, "c", 5), taken(2, "d", 6)), (None, None));
        assert_eq!(taken(3, "e", 7), Some("project_bots_per_day"));
        assert_eq!(taken(1, "a", 24 * 60), None);
    }

    #[test]
    fn a_bot_allowed_for_one_user_is_shared_by_all() {
        let mut days = Days::new(Bounds { user: 1, project: 9, series: 9 }, &[], &[]);
        assert_eq!(days.take(&meeting(1, "a", 0)), Ok(()));
        let mut both = meeting(1, "b", 1);
        both.occurrences.extend(meeting(2, "b", 1).occurrences);
        assert_eq!(days.take(&both), Ok(()));
        assert!(days.take(&both).is_err(), "both users have reached the limit");
    }

    #[test]
    fn existing_bots_count_towards_the_limits() {
        let bot = ExistingBot {
            id: Uuid::nil(),
            project: Uuid::nil(),
            dedup_key: String::new(),
            state: crate::state::BotState::Settled,
            room: String::new(),
            start: DateTime::UNIX_EPOCH,
            title: None,
            bot_id: None,
            raw_state: None,
            refused_until: None,
            audience: Some("x".into()),
            links: [(Uuid::from_u128(1), Event { stream: 1, id: "x".into(), original_start: DateTime::UNIX_EPOCH })].into(),
        };
        let bounds = Bounds { user: 1, project: 9, series: 9 };
        assert!(Days::new(bounds, &[], std::slice::from_ref(&bot)).take(&meeting(1, "a", 0)).is_err());
        let kept = Step::Keep(bot, meeting(2, "x", 0));
        assert!(Days::new(bounds, &[kept], &[]).take(&meeting(2, "a", 0)).is_err());
    }
}
