//! Meetings that want a bot: who wants one, and the coming occurrences of each event. Knows no network.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::audience::{self, Part};
use super::events::{self, Originals, Row};
use super::plan::{Event, Occurrence};
use crate::address::{Name, Pattern};
use crate::db::{Pool, accounts};
use crate::links::room;
use crate::recurrence::{self, Start};

/// Occurrences of one series within the window: more is no meeting.
const MOST: usize = 200;
/// A meeting that is this near its end gets no bot any more.
const TOO_SHORT: chrono::Duration = chrono::Duration::seconds(60);

/// What was found.
#[derive(Debug, Default)]
pub struct Eligibility {
    pub wanted: Vec<Occurrence>,
    /// Meetings of users who want bots, and virtual addresses in meetings, that come to nothing.
    pub left: Vec<Ineligible>,
}

/// A meeting without a bot, and why.
#[derive(Debug, Clone)]
pub struct Ineligible {
    pub meeting: Uuid,
    pub title: Option<String>,
    pub start: DateTime<Utc>,
    pub why: String,
}

/// Which times are looked at, what names a user, and whose invitations count.
pub struct Window<'a> {
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub pattern: &'a Pattern,
    /// Domains whose people are no strangers.
    pub inside: &'a BTreeSet<String>,
    /// Meetings of calendars that a user only overlays get bots too.
    pub with_overlaid: bool,
}

/// Why a meeting has no bot that nobody decided against.
pub const UNREADABLE: &str = "the rule of the series, or its time zone, cannot be read";
const OVERLAID: &str = "its calendar is only overlaid, and its user is not invited (attendee.overlaid_calendars)";
const UNANSWERED: &str =
    "its organizer is outside gmail.domains and the users' own domains, and its user has not accepted the invitation";

/// Finds the occurrences within the window that want a bot; none in calendars that are switched off.
pub async fn find(pool: &Pool, window: &Window<'_>) -> anyhow::Result<Eligibility> {
    let rows = events::rows(pool, window).await?;
    let replaced = events::replaced(pool, window, &rows).await?;
    let originals = Originals::of(pool, window, &rows).await?;
    let named: HashSet<Name> =
        rows.iter().flat_map(|row| &row.attendees).filter_map(|one| window.pattern.name(one.email.as_deref()?)).collect();
    let users = accounts::by_names(&pool.get().await?, &named).await?;
    let projects = projects_of(pool, &users).await?;
    let judge = Judge { window, originals, users, projects };
    let mut found = Eligibility::default();
    for row in &rows {
        let Some(times) = times(row, window, &replaced) else {
            let why = UNREADABLE.to_owned();
            found.left.push(Ineligible { meeting: row.meeting, title: row.title.clone(), start: row.start, why });
            continue;
        };
        for (original_start, start) in times {
            let end = start.checked_add_signed(row.end - row.start).unwrap_or(DateTime::<Utc>::MAX_UTC);
            if end - window.now > TOO_SHORT {
                judge.evaluate(row, &Time { original_start, start, end }, &mut found);
            }
        }
    }
    Ok(found)
}

/// When an occurrence takes place, and by which time its series knows it.
struct Time {
    original_start: DateTime<Utc>,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

/// A user who wants a bot for an occurrence, and the addresses that the user has in it.
struct BotRequest {
    user: Uuid,
    goes_by: Vec<String>,
    why: &'static str,
    project: Option<String>,
}

/// Says who wants a bot.
struct Judge<'a> {
    window: &'a Window<'a>,
    originals: Originals,
    /// Whom virtual addresses name.
    users: HashMap<Name, Uuid>,
    /// Their projects.
    projects: HashMap<Uuid, Option<String>>,
}

impl Judge<'_> {
    /// Who wants a bot for one occurrence, or why nobody does.
    fn evaluate(&self, row: &Row, time: &Time, found: &mut Eligibility) {
        let mut leave =
            |why: String| found.left.push(Ineligible { meeting: row.meeting, title: row.title.clone(), start: time.start, why });
        let mut wishes: Vec<BotRequest> = Vec::new();
        if row.wants {
            match self.objection(row) {
                None => {
                    let (goes_by, project) = (row.goes_by(), row.project.clone());
                    wishes.push(BotRequest { user: row.user, goes_by, why: "setting", project });
                }
                Some(why) => leave(why),
            }
        }
        for (name, address) in self.addressed(row) {
            match self.users.get(&name) {
                Some(_) if row.refusal().is_some() => {
                    leave("a virtual address is invited, but there is no link that a bot can join".into());
                }
                Some(_) if self.is_unanswered(row) => leave(UNANSWERED.into()),
                Some(user) if wishes.iter().any(|known| known.user == *user) => {}
                Some(user) => {
                    let project = self.projects.get(user).cloned().flatten();
                    wishes.push(BotRequest { user: *user, goes_by: vec![address], why: "address", project });
                }
                None => leave("a virtual address is invited that names no user, or several".into()),
            }
        }
        found.wanted.extend(wishes.into_iter().filter_map(|wish| self.occurrence(row, time, wish)));
    }

    /// Why the user of a calendar gets no bot for one of its meetings.
    fn objection(&self, row: &Row) -> Option<String> {
        row.refusal().or_else(|| match row.response() {
            None if !row.is_own && !self.window.with_overlaid => Some(OVERLAID.into()),
            Some("declined") => Some("its user has declined".into()),
            _ => self.is_unanswered(row).then(|| UNANSWERED.into()),
        })
    }

    /// Whether a stranger has invited the user of a calendar, who has not accepted.
    fn is_unanswered(&self, row: &Row) -> bool {
        !row.is_organized_by_user() && row.response() != Some("accepted") && !self.window.inside.contains(&row.domain())
    }

    fn occurrence(&self, row: &Row, time: &Time, wish: BotRequest) -> Option<Occurrence> {
        let link = row.link.as_ref()?;
        let original = self.originals.find(row, time.original_start);
        let part = Part {
            identity: audience::identity(&row.uid, &row.organizer()),
            goes_by: wish.goes_by,
            guests: original.map_or_else(|| Arc::new(row.guests()), |original| Arc::clone(&original.guests)),
            is_decided: original.is_some(),
            is_sure: row.is_organized_by_user() || row.response() == Some("accepted"),
        };
        // A copy can be a forgery: whoever is in the organizer's has its title.
        let title = original.filter(|_| part.takes_part()).map_or(&row.title, |original| &original.title);
        let id = row.series.clone().unwrap_or_else(|| row.event_id.clone());
        Some(Occurrence {
            user: wish.user,
            event: Event { stream: row.stream, id, original_start: time.original_start },
            meeting: row.meeting,
            shown_by: row.event_id.clone(),
            title: title.clone(),
            link: link.clone(),
            room: room(link),
            start: time.start,
            end: time.end,
            wanted_by: wish.why,
            project: wish.project,
            part,
            audience: String::new(),
        })
    }

    /// The virtual addresses among the attendees, in lower case, by whom they name.
    fn addressed(&self, row: &Row) -> BTreeMap<Name, String> {
        let addresses = row.attendees.iter().filter_map(|one| one.email.as_deref());
        addresses.filter_map(|address| Some((self.window.pattern.name(address)?, address.to_lowercase()))).collect()
    }
}

/// When an event takes place within the window, each with the time by which the series knows it. `None`: it cannot be told.
fn times(
    row: &Row,
    window: &Window<'_>,
    replaced: &HashSet<(i64, String, DateTime<Utc>)>,
) -> Option<Vec<(DateTime<Utc>, DateTime<Utc>)>> {
    if row.recurrence.is_empty() {
        return Some(vec![(row.original_start.unwrap_or(DateTime::UNIX_EPOCH), row.start)]);
    }
    let start = Start::at(row.start, row.time_zone.as_deref(), row.offset)?;
    let from = window.now - (row.end - row.start);
    let times = recurrence::rules(start, &row.recurrence)?.between(from, window.until, MOST)?;
    let own = times.into_iter().filter(|time| !replaced.contains(&(row.stream, row.event_id.clone(), *time)));
    Some(own.map(|time| (time, time)).collect())
}

/// The projects that users name for their bots.
async fn projects_of(pool: &Pool, users: &HashMap<Name, Uuid>) -> anyhow::Result<HashMap<Uuid, Option<String>>> {
    let ids: Vec<Uuid> = users.values().copied().collect();
    let rows = pool
        .get()
        .await?
        .query_typed("SELECT id, settings ->> 'attendee_project' FROM users WHERE id = ANY ($1)", &[(&ids, Type::UUID_ARRAY)])
        .await
        .context("reading the projects of users")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
