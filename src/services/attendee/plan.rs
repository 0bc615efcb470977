//! Plans the steps after which each eligible meeting has exactly one bot, and no other meeting has any. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::audience::{self, Part};
use super::bot::SCHEDULED;
use super::bounds::{Bounds, Days};
use super::rescheduled::Why;
use crate::state::BotState;

/// The identity of an occurrence in its calendar. It does not change when the occurrence is moved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// `streams.id`
    pub stream: i64,
    /// The event, or its series.
    pub id: String,
    /// Its original start in the series; the epoch for a single event.
    pub original_start: DateTime<Utc>,
}

/// An occurrence for which a user wants a bot.
#[derive(Debug, Clone)]
pub struct Occurrence {
    pub user: Uuid,
    pub event: Event,
    /// `meetings.id`
    pub meeting: Uuid,
    /// The event of its row in `meetings`.
    pub shown_by: String,
    pub title: Option<String>,
    pub link: String,
    pub room: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    /// `setting` or `address`
    pub wanted_by: &'static str,
    /// The project that the user names, if any.
    pub project: Option<String>,
    /// How the user takes part.
    pub part: Part,
    /// Identifies the users who share the bot (`audience::assign`).
    pub audience: String,
}

/// One real meeting, regardless of the number of calendars that show it: one room, one time, and the participants of one event.
#[derive(Debug, Clone)]
pub struct Meeting {
    pub project: Uuid,
    pub room: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub link: String,
    pub title: Option<String>,
    pub audience: String,
    /// At least one.
    pub occurrences: Vec<Occurrence>,
}

impl Meeting {
    /// The users its bot is for.
    pub fn users(&self) -> BTreeSet<Uuid> {
        self.occurrences.iter().map(|one| one.user).collect()
    }
}

/// A bot that exists, or that was requested.
#[derive(Debug, Clone)]
pub struct ExistingBot {
    /// `attendee_bots.id`
    pub id: Uuid,
    pub project: Uuid,
    pub dedup_key: String,
    pub state: BotState,
    pub room: String,
    pub start: DateTime<Utc>,
    pub title: Option<String>,
    pub bot_id: Option<String>,
    pub raw_state: Option<String>,
    /// Attendee has refused to create it, and is not asked again before then.
    pub refused_until: Option<DateTime<Utc>>,
    /// Identifies the users who share it; `None` if an older version without audiences requested it.
    pub audience: Option<String>,
    /// The users and events it is for.
    pub links: BTreeSet<(Uuid, Event)>,
}

impl ExistingBot {
    /// Whether it has not joined yet, by its last known state.
    pub fn is_ahead(&self) -> bool {
        self.state == BotState::Creating || (self.state == BotState::Open && self.raw_state.as_deref() == Some(SCHEDULED))
    }

    /// Whether it must be moved to another time or room for its meeting.
    pub fn is_elsewhere(&self, meeting: &Meeting) -> bool {
        self.is_ahead() && (self.start != meeting.start || self.room != meeting.room)
    }

    /// The users it is for.
    pub fn users(&self) -> BTreeSet<Uuid> {
        self.links.iter().map(|(user, _)| *user).collect()
    }

    fn is_at(&self, meeting: &Meeting) -> bool {
        self.room == meeting.room && self.start == meeting.start
    }

    /// Whether it is for this event, even if other users share it now.
    fn is_of(&self, meeting: &Meeting) -> bool {
        let is_same = self.audience.as_deref().is_none_or(|audience| audience::is_same_event(audience, &meeting.audience));
        is_same && meeting.occurrences.iter().any(|one| self.links.contains(&(one.user, one.event.clone())))
    }
}

/// One step of a plan.
#[derive(Debug, Clone)]
pub enum Step {
    Create(Meeting),
    /// Keep a bot that exists or was requested: find it again, update its users, and move it if the meeting was moved.
    Keep(ExistingBot, Meeting),
    /// Remove a bot that no meeting in the window needs.
    Remove(ExistingBot, Why),
}

impl Step {
    /// When its meeting begins.
    pub fn start(&self) -> DateTime<Utc> {
        match self {
            Self::Create(meeting) | Self::Keep(_, meeting) => meeting.start,
            Self::Remove(bot, _) => bot.start,
        }
    }

    /// The step for display.
    pub fn shown(&self) -> Value {
        let of = |meeting: &Meeting| {
            let ids: Vec<Uuid> = meeting.occurrences.iter().map(|one| one.meeting).collect();
            let whys: Vec<&str> = meeting.occurrences.iter().map(|one| one.wanted_by).collect();
            json!({ "meeting_ids": ids, "title": meeting.title, "start_at": meeting.start, "wanted_by": whys })
        };
        let (action, mut shown) = match self {
            Self::Create(meeting) => ("create", of(meeting)),
            Self::Keep(bot, meeting) if bot.is_elsewhere(meeting) => ("move", of(meeting)),
            Self::Keep(_, meeting) => ("keep", of(meeting)),
            Self::Remove(bot, why) => ("remove", json!({ "title": bot.title, "start_at": bot.start, "why": why.to_string() })),
        };
        shown["action"] = json!(action);
        if let Self::Keep(ExistingBot { bot_id, .. }, _) | Self::Remove(ExistingBot { bot_id, .. }, _) = self {
            shown["bot_id"] = json!(bot_id);
        }
        shown
    }
}

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
    |bot, meeting| bot.is_at(meeting) && bot.audience.as_deref() == Some(&meeting.audience),
    // The room and time are the same; the event may have changed otherwise.
    |bot, meeting| bot.is_at(meeting) && (bot.is_of(meeting) || meeting.users().is_subset(&bot.users())),
    // A bot that has not joined yet moves with its meeting.
    |bot, meeting| bot.is_ahead() && bot.is_of(meeting),
];

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

/// The deduplication key of the bot for an audience in a room at a time. `turn` counts the bots with the same three, from 0; a further one is
/// requested only if the meeting returns to a time at which it has had a bot.
pub fn dedup_key(room: &str, start: DateTime<Utc>, audience: &str, turn: u32) -> String {
    let digest = Sha256::digest(format!("{room}\n{}\n{audience}", start.to_rfc3339_opts(SecondsFormat::Secs, true)));
    let key = format!("syncctl-{}", HEXLOWER.encode(&digest[..16]));
    if turn == 0 { key } else { format!("{key}-{turn}") }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
