//! What is to be done so that each meeting that wants a bot has one, and no other. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::bot::SCHEDULED;

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
}

/// One real meeting, however many calendars show it: what happens in one room at one time.
#[derive(Debug, Clone)]
pub struct Meeting {
    pub project: Uuid,
    pub room: String,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub link: String,
    pub title: Option<String>,
    /// At least one.
    pub occurrences: Vec<Occurrence>,
}

/// A bot that there is, or that was asked for.
#[derive(Debug, Clone)]
pub struct Known {
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
    /// For whom.
    pub links: BTreeSet<(Uuid, Event)>,
}

impl Known {
    /// Whether it has not joined yet, as far as is known.
    pub fn is_ahead(&self) -> bool {
        self.state == "creating" || (self.state == "open" && self.raw_state.as_deref() == Some(SCHEDULED))
    }

    /// Whether it has to go to another time or room for its meeting.
    pub fn is_elsewhere(&self, meeting: &Meeting) -> bool {
        self.is_ahead() && (self.start != meeting.start || self.room != meeting.room)
    }
}

/// One thing to do.
#[derive(Debug, Clone)]
pub enum Step {
    Create(Meeting),
    /// The bot is there, or was asked for: it is found again, told who wants it, and moved if the meeting was.
    Keep(Known, Meeting),
    /// Nobody wants it any more.
    Remove(Known),
}

impl Step {
    /// When its meeting begins.
    pub fn start(&self) -> DateTime<Utc> {
        match self {
            Self::Create(meeting) | Self::Keep(_, meeting) => meeting.start,
            Self::Remove(bot) => bot.start,
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
            Self::Remove(bot) => {
                ("remove", json!({ "title": bot.title, "start_at": bot.start, "why": "nobody wants it any more" }))
            }
        };
        shown["action"] = json!(action);
        if let Self::Keep(Known { bot_id, .. }, _) | Self::Remove(Known { bot_id, .. }) = self {
            shown["bot_id"] = json!(bot_id);
        }
        shown
    }
}

/// The projects that bots may be of.
pub struct Projects {
    pub by_name: HashMap<String, Uuid>,
    pub default: Option<Uuid>,
}

/// What to do, and the occurrences for which there is no project, each with why.
pub fn plan(
    wanted: Vec<Occurrence>,
    known: Vec<Known>,
    projects: &Projects,
    now: DateTime<Utc>,
) -> (Vec<Step>, Vec<(Occurrence, String)>) {
    let (meetings, homeless) = meetings(wanted, projects);
    let mut left: Vec<Option<Known>> = known.into_iter().map(Some).collect();
    let mut steps = Vec::new();
    let mut without = Vec::new();
    // A bot for this room and time is the meeting's, whatever else has happened.
    for meeting in meetings {
        let fits = |bot: &Known| bot.room == meeting.room && bot.start == meeting.start;
        match take(&mut left, fits) {
            Some(bot) => steps.push(Step::Keep(bot, meeting)),
            None => without.push(meeting),
        }
    }
    // A bot that has not joined yet goes where its meeting goes.
    for meeting in without {
        let events: BTreeSet<&Event> = meeting.occurrences.iter().map(|one| &one.event).collect();
        let fits = |bot: &Known| bot.is_ahead() && bot.links.iter().any(|(_, event)| events.contains(event));
        match take(&mut left, fits) {
            Some(bot) => steps.push(Step::Keep(bot, meeting)),
            None => steps.push(Step::Create(meeting)),
        }
    }
    let unwanted = left.into_iter().flatten().filter(|bot| bot.is_ahead() && (bot.start > now || bot.state == "creating"));
    steps.extend(unwanted.map(Step::Remove));
    // What begins first is done first: a run may be stopped.
    steps.sort_by_key(Step::start);
    (steps, homeless)
}

fn take(left: &mut [Option<Known>], fits: impl Fn(&Known) -> bool) -> Option<Known> {
    left.iter_mut().find(|bot| bot.as_ref().is_some_and(&fits)).and_then(Option::take)
}

/// Brings the occurrences of one room and time together.
fn meetings(wanted: Vec<Occurrence>, projects: &Projects) -> (Vec<Meeting>, Vec<(Occurrence, String)>) {
    let mut found: BTreeMap<(DateTime<Utc>, String), Meeting> = BTreeMap::new();
    let mut homeless = Vec::new();
    let mut wanted = wanted;
    // In one order, whatever order the database had: those who name a project decide which.
    wanted.sort_by(|a, b| {
        (a.project.is_none(), &a.project, a.user, &a.event).cmp(&(b.project.is_none(), &b.project, b.user, &b.event))
    });
    for one in wanted {
        let project = match &one.project {
            Some(name) => projects.by_name.get(name).copied().ok_or_else(|| format!("there is no Attendee project {name:?}")),
            None => projects.default.ok_or_else(|| "there is no Attendee project".to_owned()),
        };
        match (project, found.get_mut(&(one.start, one.room.clone()))) {
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
                    occurrences: Vec::new(),
                };
                let key = (one.start, one.room.clone());
                found.entry(key).or_insert(meeting).occurrences.push(one);
            }
            (Err(why), None) => homeless.push((one, why)),
        }
    }
    (found.into_values().collect(), homeless)
}

/// The deduplication key of a room at a time. `turn`: of how many bots for the same, from 0; more than one is only asked for if the meeting
/// came back to a time at which it has had a bot.
pub fn dedup_key(room: &str, start: DateTime<Utc>, turn: u32) -> String {
    let digest = Sha256::digest(format!("{room}\n{}", start.to_rfc3339_opts(SecondsFormat::Secs, true)));
    let key = format!("syncctl-{}", HEXLOWER.encode(&digest[..16]));
    if turn == 0 { key } else { format!("{key}-{turn}") }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
