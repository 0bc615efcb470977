//! Finds the upcoming occurrences for which users want a bot. No network access.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::audience;
use super::events::{self, Originals, Row};
use super::plan::{Event, Occurrence, Part};
use super::window::Window;
use crate::address::Name;
use crate::db::{Pool, accounts};
use crate::links::room;
use crate::recurrence::{self, Start};

/// Maximum number of occurrences of one series considered within the window.
const MAX_OCCURRENCES: usize = 200;
/// Minimum remaining duration of a meeting that still gets a bot.
const TOO_SHORT: chrono::Duration = chrono::Duration::seconds(60);

/// The eligible occurrences, and the ineligible meetings.
#[derive(Debug, Default)]
pub struct Eligibility {
    pub occurrences: Vec<Occurrence>,
    /// Meetings of users who want bots, or with virtual addresses, that get no bot.
    pub ineligible: Vec<Ineligible>,
}

/// A meeting without a bot, and why.
#[derive(Debug, Clone)]
pub struct Ineligible {
    pub meeting: Uuid,
    pub title: Option<String>,
    pub start: DateTime<Utc>,
    pub why: String,
}

/// Why a meeting has no bot although no one decided against it.
pub const UNREADABLE: &str = "the rule of the series, or its time zone, cannot be read";
const OVERLAID: &str = "its calendar is only overlaid, and its user is not invited (attendee.overlaid_calendars)";
const UNANSWERED: &str =
    "its organizer is outside gmail.domains and the users' own domains, and its user has not accepted the invitation";

/// Finds the occurrences within the window for which users want a bot. Skips calendars that are switched off.
pub async fn find(pool: &Pool, window: &Window<'_>) -> anyhow::Result<Eligibility> {
    let rows = events::rows(pool, window).await?;
    let replaced = events::replaced(pool, window, &rows).await?;
    let originals = Originals::of(pool, window, &rows).await?;
    let named: HashSet<Name> =
        rows.iter().flat_map(|row| &row.attendees).filter_map(|one| window.pattern.name(one.email.as_deref()?)).collect();
    let users = accounts::by_names(&pool.get().await?, &named).await?;
    let projects = projects_of(pool, &users).await?;
    let evaluator = Evaluator { window, originals, users, projects };
    let mut result = Eligibility::default();
    for row in &rows {
        let Some(times) = times(row, window, &replaced) else {
            let why = UNREADABLE.to_owned();
            result.ineligible.push(Ineligible { meeting: row.meeting, title: row.title.clone(), start: row.start, why });
            continue;
        };
        for (original_start, start) in times {
            let end = start.checked_add_signed(row.end - row.start).unwrap_or(DateTime::<Utc>::MAX_UTC);
            if end - window.now > TOO_SHORT {
                evaluator.evaluate(row, &Time { original_start, start, end }, &mut result);
            }
        }
    }
    Ok(result)
}

/// When an occurrence takes place, and its original start in the series.
struct Time {
    original_start: DateTime<Utc>,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

/// A user's request for a bot for an occurrence, with the user's addresses in it.
struct BotRequest {
    user: Uuid,
    goes_by: Vec<String>,
    why: &'static str,
    project: Option<String>,
}

/// Decides who wants a bot.
struct Evaluator<'a> {
    window: &'a Window<'a>,
    originals: Originals,
    /// Users by the names in virtual addresses.
    users: HashMap<Name, Uuid>,
    /// Their projects.
    projects: HashMap<Uuid, Option<String>>,
}

impl Evaluator<'_> {
    /// Adds who wants a bot for one occurrence, or why it gets no bot.
    fn evaluate(&self, row: &Row, time: &Time, result: &mut Eligibility) {
        let mut reject = |why: String| {
            result.ineligible.push(Ineligible { meeting: row.meeting, title: row.title.clone(), start: time.start, why });
        };
        let mut requests: Vec<BotRequest> = Vec::new();
        if row.wants {
            match self.objection(row) {
                None => {
                    let (goes_by, project) = (row.goes_by(), row.project.clone());
                    requests.push(BotRequest { user: row.user, goes_by, why: "setting", project });
                }
                Some(why) => reject(why),
            }
        }
        for (name, address) in self.addressed(row) {
            match self.users.get(&name) {
                Some(_) if row.refusal().is_some() => {
                    reject("a virtual address is invited, but there is no link that a bot can join".into());
                }
                Some(_) if self.is_unanswered(row) => reject(UNANSWERED.into()),
                Some(user) if requests.iter().any(|known| known.user == *user) => {}
                Some(user) => {
                    let project = self.projects.get(user).cloned().flatten();
                    requests.push(BotRequest { user: *user, goes_by: vec![address], why: "address", project });
                }
                None => reject("a virtual address is invited that matches no user, or several".into()),
            }
        }
        result.occurrences.extend(requests.into_iter().filter_map(|request| self.occurrence(row, time, request)));
    }

    /// Why the user of a calendar gets no bot for one of its meetings.
    fn objection(&self, row: &Row) -> Option<String> {
        row.refusal().or_else(|| match row.response() {
            None if !row.is_own && !self.window.with_overlaid => Some(OVERLAID.into()),
            Some("declined") => Some("its user has declined".into()),
            _ => self.is_unanswered(row).then(|| UNANSWERED.into()),
        })
    }

    /// Whether someone from outside invited the user of the calendar, who has not accepted.
    fn is_unanswered(&self, row: &Row) -> bool {
        !row.is_organized_by_user() && row.response() != Some("accepted") && !self.window.inside.contains(&row.domain())
    }

    fn occurrence(&self, row: &Row, time: &Time, request: BotRequest) -> Option<Occurrence> {
        let link = row.link.as_ref()?;
        let original = self.originals.find(row, time.original_start);
        let part = Part {
            identity: audience::identity(&row.uid, &row.organizer()),
            goes_by: request.goes_by,
            guests: original.map_or_else(|| Arc::new(row.guests()), |original| Arc::clone(&original.guests)),
            is_decided: original.is_some(),
            is_sure: row.is_organized_by_user() || row.response() == Some("accepted"),
        };
        // A copy can be forged: users in the organizer's copy get its title.
        let title = original.filter(|_| part.takes_part()).map_or(&row.title, |original| &original.title);
        let id = row.series.clone().unwrap_or_else(|| row.event_id.clone());
        Some(Occurrence {
            user: request.user,
            event: Event { stream: row.stream, id, original_start: time.original_start },
            meeting: row.meeting,
            shown_by: row.event_id.clone(),
            title: title.clone(),
            link: link.clone(),
            room: room(link),
            start: time.start,
            end: time.end,
            wanted_by: request.why,
            project: request.project,
            part,
            audience: String::new(),
        })
    }

    /// The virtual addresses among the attendees, in lower case, by the names in them.
    fn addressed(&self, row: &Row) -> BTreeMap<Name, String> {
        let addresses = row.attendees.iter().filter_map(|one| one.email.as_deref());
        addresses.filter_map(|address| Some((self.window.pattern.name(address)?, address.to_lowercase()))).collect()
    }
}

/// Returns the original and actual start times of an event's occurrences within the window; `None` if its recurrence or time zone cannot be read.
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
    let times = recurrence::rules(start, &row.recurrence, Some(from))?.between(from, window.until, MAX_OCCURRENCES)?;
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
