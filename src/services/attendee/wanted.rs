//! Meetings that want a bot: who wants one, and the coming occurrences of each event. Reads the tables of Calendar, as they are documented in the
//! schema; knows no network.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::Context as _;
use chrono::{DateTime, FixedOffset, Utc};
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::plan::{Event, Occurrence};
use crate::address::{Name, Pattern};
use crate::db::{Pool, accounts};
use crate::links::{self, room};
use crate::recurrence::{self, Start};

/// Occurrences of one series within the window: more is no meeting.
const MOST: usize = 200;
/// A meeting that is this near its end gets no bot any more.
const TOO_SHORT: chrono::Duration = chrono::Duration::seconds(60);

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub wanted: Vec<Occurrence>,
    /// Meetings of users who want bots, and virtual addresses in meetings, that come to nothing.
    pub left: Vec<Left>,
}

/// A meeting without a bot, and why.
#[derive(Debug, Clone)]
pub struct Left {
    pub meeting: Uuid,
    pub title: Option<String>,
    pub start: DateTime<Utc>,
    pub why: String,
}

/// Which times are looked at, and what names a user.
pub struct Window<'a> {
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub pattern: &'a Pattern,
}

struct Row {
    meeting: Uuid,
    stream: i64,
    event_id: String,
    user: Uuid,
    title: Option<String>,
    link: Option<String>,
    link_kind: Option<String>,
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    time_zone: Option<String>,
    /// As its start was written.
    offset: Option<FixedOffset>,
    series: Option<String>,
    original_start: Option<DateTime<Utc>>,
    recurrence: Vec<String>,
    attendees: Vec<Attendee>,
    wants: bool,
    project: Option<String>,
}

impl Row {
    /// Why no bot can join, by the link alone.
    fn refusal(&self) -> Option<String> {
        let (Some(link), Some(kind)) = (&self.link, &self.link_kind) else { return Some("it has no link".into()) };
        match links::of(link) {
            Some(link) => links::refusal(&link.url, link.kind).map(str::to_owned),
            None => Some(format!("bots cannot join {kind}")),
        }
    }
}

/// One of an event's attendees.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Attendee {
    email: Option<String>,
    #[serde(rename = "self")]
    is_owner: bool,
    response_status: Option<String>,
}

/// Why a meeting has no bot that nobody decided against.
pub const UNREADABLE: &str = "the rule of the series, or its time zone, cannot be read";

/// Finds the occurrences within the window that want a bot; none in calendars that are switched off.
pub async fn find(pool: &Pool, window: &Window<'_>) -> anyhow::Result<Found> {
    let rows = rows(pool, window).await?;
    let replaced = replaced(pool, window, &rows).await?;
    let named: HashSet<Name> =
        rows.iter().flat_map(|row| &row.attendees).filter_map(|one| window.pattern.name(one.email.as_deref()?)).collect();
    let users = accounts::by_names(&**pool.get().await?, &named).await?;
    let projects = projects_of(pool, &users).await?;
    let judge = Judge { pattern: window.pattern, users, projects };
    let mut found = Found::default();
    for row in &rows {
        let Some(times) = times(row, window, &replaced) else {
            let why = UNREADABLE.to_owned();
            found.left.push(Left { meeting: row.meeting, title: row.title.clone(), start: row.start, why });
            continue;
        };
        for (original_start, start) in times {
            let end = start.checked_add_signed(row.end - row.start).unwrap_or(DateTime::<Utc>::MAX_UTC);
            if end - window.now > TOO_SHORT {
                judge.judge(row, &Time { original_start, start, end }, &mut found);
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

/// Says who wants a bot.
struct Judge<'a> {
    pattern: &'a Pattern,
    /// Whom virtual addresses name.
    users: HashMap<Name, Uuid>,
    /// Their projects.
    projects: HashMap<Uuid, Option<String>>,
}

impl Judge<'_> {
    /// Who wants a bot for one occurrence, or why nobody does.
    fn judge(&self, row: &Row, time: &Time, found: &mut Found) {
        let mut leave =
            |why: String| found.left.push(Left { meeting: row.meeting, title: row.title.clone(), start: time.start, why });
        let mut wanting: Vec<(Uuid, &'static str, Option<String>)> = Vec::new();
        if row.wants {
            let declined = row.attendees.iter().any(|one| one.is_owner && one.response_status.as_deref() == Some("declined"));
            match (row.refusal(), declined) {
                (None, false) => wanting.push((row.user, "setting", row.project.clone())),
                (None, true) => leave("its user has declined".into()),
                (Some(why), _) => leave(why),
            }
        }
        for name in self.addressed(row) {
            match self.users.get(&name) {
                Some(_) if row.refusal().is_some() => {
                    leave("a virtual address is invited, but there is no link that a bot can join".into());
                }
                Some(user) if wanting.iter().any(|(known, ..)| known == user) => {}
                Some(user) => wanting.push((*user, "address", self.projects.get(user).cloned().flatten())),
                None => leave("a virtual address is invited that names no user, or several".into()),
            }
        }
        let Some(link) = row.link.as_ref().filter(|_| row.refusal().is_none()) else { return };
        let id = row.series.clone().unwrap_or_else(|| row.event_id.clone());
        let event = Event { stream: row.stream, id, original_start: time.original_start };
        found.wanted.extend(wanting.into_iter().map(|(user, wanted_by, project)| Occurrence {
            user,
            event: event.clone(),
            meeting: row.meeting,
            shown_by: row.event_id.clone(),
            title: row.title.clone(),
            link: link.clone(),
            room: room(link),
            start: time.start,
            end: time.end,
            wanted_by,
            project,
        }));
    }

    fn addressed(&self, row: &Row) -> BTreeSet<Name> {
        row.attendees.iter().filter_map(|one| self.pattern.name(one.email.as_deref()?)).collect()
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

async fn rows(pool: &Pool, window: &Window<'_>) -> anyhow::Result<Vec<Row>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT m.id, m.stream_id, m.event_id, m.user_id, m.title, m.link, m.link_kind, m.start_at,
               coalesce(m.end_at, m.start_at), e.time_zone, e.recurring_event_id, e.original_start_at, e.raw -> 'recurrence',
               e.raw -> 'attendees', u.settings @> '{\"attendee\": true}', u.settings ->> 'attendee_project', e.raw -> 'start' ->> 'dateTime'
             FROM meetings m JOIN calendar_events e USING (stream_id, event_id) JOIN users u ON u.id = m.user_id
               JOIN streams s ON s.id = m.stream_id
             -- What is stored of a calendar that is switched off says nothing of its meetings any more.
             WHERE s.state <> 'off' AND m.event_status <> 'cancelled' AND e.deleted_at IS NULL
               AND ((m.is_series AND m.start_at < $2) OR (m.start_at > $1 - interval '1 day' AND m.start_at < $2 AND m.end_at > $1))
               AND (u.settings @> '{\"attendee\": true}' OR strpos(lower(e.raw ->> 'attendees'), $3) > 0)",
            &[
                (&window.now, Type::TIMESTAMPTZ),
                (&window.until, Type::TIMESTAMPTZ),
                (&window.pattern.beginning(), Type::TEXT),
            ],
        )
        .await
        .context("reading coming meetings")?;
    rows.iter()
        .map(|row| {
            // What Google sends in another form wants nothing.
            let list = |value: Option<Value>| value.unwrap_or_default();
            let written: Option<&str> = row.try_get(16)?;
            Ok(Row {
                meeting: row.try_get(0)?,
                stream: row.try_get(1)?,
                event_id: row.try_get(2)?,
                user: row.try_get(3)?,
                title: row.try_get(4)?,
                link: row.try_get(5)?,
                link_kind: row.try_get(6)?,
                start: row.try_get(7)?,
                end: row.try_get(8)?,
                time_zone: row.try_get(9)?,
                offset: written.and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|at| *at.offset()),
                series: row.try_get(10)?,
                original_start: row.try_get(11)?,
                recurrence: serde_json::from_value(list(row.try_get(12)?)).unwrap_or_default(),
                attendees: serde_json::from_value(list(row.try_get(13)?)).unwrap_or_default(),
                wants: row.try_get(14)?,
                project: row.try_get(15)?,
            })
        })
        .collect()
}

/// The times of series that other events stand for, moved or cancelled.
async fn replaced(pool: &Pool, window: &Window<'_>, rows: &[Row]) -> anyhow::Result<HashSet<(i64, String, DateTime<Utc>)>> {
    let series: Vec<&Row> = rows.iter().filter(|row| !row.recurrence.is_empty()).collect();
    let streams: Vec<i64> = series.iter().map(|row| row.stream).collect();
    let ids: Vec<&str> = series.iter().map(|row| row.event_id.as_str()).collect();
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT e.stream_id, e.recurring_event_id, e.original_start_at
             FROM unnest($1::bigint[], $2::text[]) AS s (stream_id, event_id)
             JOIN calendar_events e ON e.stream_id = s.stream_id AND e.recurring_event_id = s.event_id
             WHERE e.original_start_at <= $3 AND e.original_start_at >= $4",
            &[
                (&streams, Type::INT8_ARRAY),
                (&ids, Type::TEXT_ARRAY),
                (&window.until, Type::TIMESTAMPTZ),
                // Nothing that lasts longer is looked at.
                (&(window.now - chrono::Duration::days(7)), Type::TIMESTAMPTZ),
            ],
        )
        .await
        .context("reading exceptions of series")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
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
