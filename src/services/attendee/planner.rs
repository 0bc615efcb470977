//! Plans the steps after which each eligible meeting has exactly one bot, and no other meeting has any. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::audience;
use super::bounds::{Bounds, Days};
use super::plan::{ExistingBot, Meeting, Occurrence, Step, Why};
use crate::state::BotState;

/// An occurrence that gets no bot although a user wants one.
#[derive(Debug)]
pub struct Without {
    pub occurrence: Occurrence,
    /// For the log of a run.
    pub what: &'static str,
    pub why: String,
}

/// The projects that bots can belong to.
pub struct Projects {
    pub by_name: HashMap<String, Uuid>,
    pub default: Option<Uuid>,
}

/// Whether an existing bot can be used for a meeting. Users must not read what a bot has heard for others, so it is reassigned only within one
/// event, or among the users it is for already.
type Fit = fn(&ExistingBot, &Meeting) -> bool;

/// The criteria for reusing a bot, best first.
const FITS: [Fit; 3] = [
    |bot, meeting| is_at(bot, meeting) && bot.audience.as_deref() == Some(&meeting.audience),
    // The room and time are the same; the event may have changed otherwise.
    |bot, meeting| is_at(bot, meeting) && (is_of(bot, meeting) || meeting.users().is_subset(&bot.users())),
    // A bot that has not joined yet moves with its meeting.
    |bot, meeting| bot.is_ahead() && is_of(bot, meeting),
];

fn is_at(bot: &ExistingBot, meeting: &Meeting) -> bool {
    bot.room == meeting.room && bot.start == meeting.start
}

/// Whether the bot is for this event, even if other users share it now.
fn is_of(bot: &ExistingBot, meeting: &Meeting) -> bool {
    let is_same = bot.audience.as_deref().is_none_or(|audience| audience::is_same_event(audience, &meeting.audience));
    is_same && meeting.occurrences.iter().any(|one| bot.links.contains(&(one.user, one.event.clone())))
}

/// Returns the steps, and the occurrences that get no bot.
pub fn plan(
    occurrences: Vec<Occurrence>,
    known: Vec<ExistingBot>,
    projects: &Projects,
    bounds: Bounds,
    now: DateTime<Utc>,
) -> (Vec<Step>, Vec<Without>) {
    let (mut open, mut without) = meetings(occurrences, projects);
    // A bot that fits several meetings stays with the one with most users.
    open.sort_by_key(|meeting| Reverse(meeting.users().len()));
    let mut unassigned: Vec<Option<ExistingBot>> = known.into_iter().map(Some).collect();
    let mut steps = Vec::new();
    for fits in FITS {
        let mut unmet = Vec::new();
        for meeting in open {
            let fitting = unassigned.iter_mut().find(|bot| bot.as_ref().is_some_and(|bot| fits(bot, &meeting)));
            match fitting.and_then(Option::take) {
                Some(bot) => steps.push(Step::Keep(bot, meeting)),
                None => unmet.push(meeting),
            }
        }
        open = unmet;
    }
    let is_unwanted = |bot: &ExistingBot| bot.is_ahead() && (bot.start > now || bot.state == BotState::Creating);
    let (unwanted, others): (Vec<ExistingBot>, Vec<ExistingBot>) = unassigned.into_iter().flatten().partition(is_unwanted);
    let mut days = Days::new(bounds, &steps, &others);
    open.sort_by_key(|meeting| meeting.start);
    for meeting in open {
        match days.take(&meeting) {
            Ok(()) => steps.push(Step::Create(meeting)),
            Err((what, why)) => {
                let one = |occurrence| Without { occurrence, what, why: why.clone() };
                without.extend(meeting.occurrences.into_iter().map(one));
            }
        }
    }
    steps.extend(unwanted.into_iter().map(|bot| Step::Remove(bot, Why::Unwanted)));
    // Process the earliest meetings first, because a run may be stopped.
    steps.sort_by_key(Step::start);
    (steps, without)
}

/// Groups the occurrences that share a bot into meetings. Also returns those without a project.
fn meetings(mut occurrences: Vec<Occurrence>, projects: &Projects) -> (Vec<Meeting>, Vec<Without>) {
    let mut meetings: BTreeMap<(DateTime<Utc>, String, String), Meeting> = BTreeMap::new();
    let mut homeless = Vec::new();
    audience::assign(&mut occurrences);
    // A fixed order, independent of the database; users who name a project come first and decide which it is.
    occurrences.sort_by(|a, b| {
        (a.project.is_none(), &a.project, a.user, &a.event).cmp(&(b.project.is_none(), &b.project, b.user, &b.event))
    });
    for one in occurrences {
        let project = match &one.project {
            Some(name) => projects.by_name.get(name).copied().ok_or_else(|| format!("there is no Attendee project {name:?}")),
            None => projects.default.ok_or_else(|| "there is no Attendee project".to_owned()),
        };
        let key = (one.start, one.room.clone(), one.audience.clone());
        match (project, meetings.get_mut(&key)) {
            (_, Some(meeting)) => {
                meeting.end = meeting.end.max(one.end);
                meeting.occurrences.push(one);
            }
            (Ok(project), None) => {
                let meeting = Meeting {
                    project,
                    room: one.room.clone(),
                    start: one.start,
                    end: one.end,
                    link: one.link.clone(),
                    title: one.title.clone(),
                    audience: one.audience.clone(),
                    occurrences: Vec::new(),
                };
                meetings.entry(key).or_insert(meeting).occurrences.push(one);
            }
            (Err(why), None) => {
                homeless.push(Without { occurrence: one, what: "no bot, see `syncctl attendee project list`", why });
            }
        }
    }
    (meetings.into_values().collect(), homeless)
}

#[cfg(test)]
#[path = "planner_tests.rs"]
mod tests;
