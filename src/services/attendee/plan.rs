//! What is to be done so that each meeting that wants a bot has one, and no other. Pure.

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

/// An occurrence as its calendar knows it: it stays the same when it is moved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Event {
    /// `streams.id`
    pub stream: i64,
    /// The event, or its series.
    pub id: String,
    /// When the series has it; the epoch for a single event.
    pub original_start: DateTime<Utc>,
}

/// An occurrence for which a user wants a bot.
#[derive(Debug, Clone)]
pub struct Occurrence {
    pub user: Uuid,
    pub event: Event,
    /// `meetings.id`
    pub meeting: Uuid,
    /// The event whose row in `meetings` it is.
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
    /// Who shares the bot (`audience::assign`).
    pub audience: String,
}

/// One real meeting, however many calendars show it: what happens in one room at one time, for those who take part in one event.
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
    /// For whom its bot is.
    pub fn users(&self) -> BTreeSet<Uuid> {
        self.occurrences.iter().map(|one| one.user).collect()
    }
}

/// A bot that there is, or that was asked for.
#[derive(Debug, Clone)]
pub struct ExistingBot {
    /// `attendee_bots.id`
    pub id: Uuid,
    pub project: Uuid,
    pub dedup_key: String,
    pub state: String,
    pub room: String,
    pub start: DateTime<Utc>,
    pub title: Option<String>,
    pub bot_id: Option<String>,
    pub raw_state: Option<String>,
    /// Attendee has refused to make it, and is not asked again before then.
    pub refused_until: Option<DateTime<Utc>>,
    /// Who shares it; `None`: it was asked for by a version that knew no audiences.
    pub audience: Option<String>,
    /// For whom.
    pub links: BTreeSet<(Uuid, Event)>,
}

impl ExistingBot {
    /// Whether it has not joined yet, as far as is known.
    pub fn is_ahead(&self) -> bool {
        self.state == "creating" || (self.state == "open" && self.raw_state.as_deref() == Some(SCHEDULED))
    }

    /// Whether it has to go to another time or room for its meeting.
    pub fn is_elsewhere(&self, meeting: &Meeting) -> bool {
        self.is_ahead() && (self.start != meeting.start || self.room != meeting.room)
    }

    /// For whom it is.
    pub fn users(&self) -> BTreeSet<Uuid> {
        self.links.iter().map(|(user, _)| *user).collect()
    }

    fn is_at(&self, meeting: &Meeting) -> bool {
        self.room == meeting.room && self.start == meeting.start
    }

    /// Whether it is for this event, though others share it now.
    fn is_of(&self, meeting: &Meeting) -> bool {
        let is_same = self.audience.as_deref().is_none_or(|audience| audience::is_same_event(audience, &meeting.audience));
        is_same && meeting.occurrences.iter().any(|one| self.links.contains(&(one.user, one.event.clone())))
    }
}

/// One thing to do.
#[derive(Debug, Clone)]
pub enum Step {
    Create(Meeting),
    /// The bot is there, or was asked for: it is found again, told who wants it, and moved if the meeting was.
    Keep(ExistingBot, Meeting),
    /// No meeting of the window has it any more.
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

    /// For people.
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

/// An occurrence that gets no bot although somebody wants one.
#[derive(Debug)]
pub struct Without {
    pub occurrence: Occurrence,
    /// For the log of a run.
    pub what: &'static str,
    pub why: String,
}

/// The projects that bots may be of.
pub struct Projects {
    pub by_name: HashMap<String, Uuid>,
    pub default: Option<Uuid>,
}

/// Whether a bot that there is becomes a meeting's. Nobody gets to read what a bot has heard for others: it changes hands within one event, or among
/// those whom it is for already.
type Fit = fn(&ExistingBot, &Meeting) -> bool;

/// In this order: each bot is kept for whom it fits best.
const FITS: [Fit; 3] = [
    |bot, meeting| bot.is_at(meeting) && bot.audience.as_deref() == Some(&meeting.audience),
    // Whatever else has happened to the event.
    |bot, meeting| bot.is_at(meeting) && (bot.is_of(meeting) || meeting.users().is_subset(&bot.users())),
    // A bot that has not joined yet goes where its meeting goes.
    |bot, meeting| bot.is_ahead() && bot.is_of(meeting),
];

/// What to do, and the occurrences that get no bot.
pub fn plan(
    wanted: Vec<Occurrence>,
    known: Vec<ExistingBot>,
    projects: &Projects,
    bounds: Bounds,
    now: DateTime<Utc>,
) -> (Vec<Step>, Vec<Without>) {
    let (mut open, mut without) = meetings(wanted, projects);
    // A bot for which several could be chosen stays with most of those for whom it was.
    open.sort_by_key(|meeting| Reverse(meeting.users().len()));
    let mut left: Vec<Option<ExistingBot>> = known.into_iter().map(Some).collect();
    let mut steps = Vec::new();
    for fits in FITS {
        let mut unmet = Vec::new();
        for meeting in open {
            match left.iter_mut().find(|bot| bot.as_ref().is_some_and(|bot| fits(bot, &meeting))).and_then(Option::take) {
                Some(bot) => steps.push(Step::Keep(bot, meeting)),
                None => unmet.push(meeting),
            }
        }
        open = unmet;
    }
    let is_unwanted = |bot: &ExistingBot| bot.is_ahead() && (bot.start > now || bot.state == "creating");
    let (unwanted, others): (Vec<ExistingBot>, Vec<ExistingBot>) = left.into_iter().flatten().partition(is_unwanted);
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
    // What begins first is done first: a run may be stopped.
    steps.sort_by_key(Step::start);
    (steps, without)
}

/// Brings the occurrences together that share a bot. And those for which there is no project.
fn meetings(wanted: Vec<Occurrence>, projects: &Projects) -> (Vec<Meeting>, Vec<Without>) {
    let mut found: BTreeMap<(DateTime<Utc>, String, String), Meeting> = BTreeMap::new();
    let mut homeless = Vec::new();
    let mut wanted = wanted;
    audience::assign(&mut wanted);
    // In one order, whatever order the database had: those who name a project decide which.
    wanted.sort_by(|a, b| {
        (a.project.is_none(), &a.project, a.user, &a.event).cmp(&(b.project.is_none(), &b.project, b.user, &b.event))
    });
    for one in wanted {
        let project = match &one.project {
            Some(name) => projects.by_name.get(name).copied().ok_or_else(|| format!("there is no Attendee project {name:?}")),
            None => projects.default.ok_or_else(|| "there is no Attendee project".to_owned()),
        };
        let key = (one.start, one.room.clone(), one.audience.clone());
        match (project, found.get_mut(&key)) {
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
                found.entry(key).or_insert(meeting).occurrences.push(one);
            }
            (Err(why), None) => {
                homeless.push(Without { occurrence: one, what: "no bot, see `syncctl attendee project list`", why });
            }
        }
    }
    (found.into_values().collect(), homeless)
}

/// The deduplication key of those who share a bot in a room at a time. `turn`: of how many bots for the same, from 0; more than one is only asked for
/// if the meeting came back to a time at which it has had a bot.
pub fn dedup_key(room: &str, start: DateTime<Utc>, audience: &str, turn: u32) -> String {
    let digest = Sha256::digest(format!("{room}\n{}\n{audience}", start.to_rfc3339_opts(SecondsFormat::Secs, true)));
    let key = format!("syncctl-{}", HEXLOWER.encode(&digest[..16]));
    if turn == 0 { key } else { format!("{key}-{turn}") }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
