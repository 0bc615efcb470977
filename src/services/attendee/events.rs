//! Reads upcoming meetings from users' calendars, and their organizers' own copies, from the tables of Calendar as documented in the schema. No
//! network access.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use anyhow::Context as _;
use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use super::window::Window;
use crate::db::Pool;
use crate::links;

/// Maximum duration of a meeting that is considered.
const LONGEST: TimeDelta = TimeDelta::days(7);
/// Suffix of the addresses of calendars that no user owns.
pub const SHARED: &str = "@group.calendar.google.com";

/// An event that is a meeting.
pub struct Row {
    pub meeting: Uuid,
    pub stream: i64,
    pub event_id: String,
    pub user: Uuid,
    pub title: Option<String>,
    pub link: Option<String>,
    link_kind: Option<String>,
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    pub time_zone: Option<String>,
    /// The UTC offset in which its start is written.
    pub offset: Option<FixedOffset>,
    pub series: Option<String>,
    pub original_start: Option<DateTime<Utc>>,
    pub recurrence: Vec<String>,
    pub wants: bool,
    pub project: Option<String>,
    /// The iCalUID, which all copies of the event share.
    pub uid: String,
    /// The calendar is the user's own, not only overlaid.
    pub is_own: bool,
    organizer: Person,
    creator: Option<String>,
    pub attendees: Vec<Person>,
    /// The user's address.
    email: String,
}

/// A participant of an event.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Person {
    pub email: Option<String>,
    /// The participant is the calendar that shows the event.
    #[serde(rename = "self")]
    is_calendar: bool,
    response_status: Option<String>,
}

impl Person {
    fn address(&self) -> Option<String> {
        self.email.as_deref().filter(|email| !email.is_empty()).map(str::to_lowercase)
    }
}

impl Row {
    /// Why no bot can join, judged by the link alone.
    pub fn refusal(&self) -> Option<String> {
        let (Some(link), Some(kind)) = (&self.link, &self.link_kind) else { return Some("it has no link".into()) };
        match links::of(link) {
            Some(link) => links::refusal(&link.url, link.kind).map(str::to_owned),
            None => Some(format!("bots cannot join {kind}")),
        }
    }

    /// The organizer's address, in lower case; empty if Google names none.
    pub fn organizer(&self) -> String {
        self.organizer.address().unwrap_or_default()
    }

    /// The user's addresses in the event, in lower case: the user's own address and, in the user's own calendar, that of the calendar.
    pub fn goes_by(&self) -> Vec<String> {
        let of_calendar = self.attendees.iter().chain([&self.organizer]).filter(|one| self.is_own && one.is_calendar);
        of_calendar.filter_map(Person::address).chain([self.email.clone()]).collect()
    }

    /// Organizer and attendees, in lower case.
    pub fn guests(&self) -> BTreeSet<String> {
        guests(&self.organizer(), &self.attendees)
    }

    /// The response of the user; `None` if the user is not invited.
    pub fn response(&self) -> Option<&str> {
        let goes_by = self.goes_by();
        let own = self.attendees.iter().find(|one| one.address().is_some_and(|address| goes_by.contains(&address)))?;
        Some(own.response_status.as_deref().unwrap_or("needsAction"))
    }

    /// Whether the user organizes the event. An event without an organizer counts if it is in the user's own calendar.
    pub fn is_organized_by_user(&self) -> bool {
        match self.organizer.address() {
            Some(organizer) => self.goes_by().contains(&organizer),
            None => self.is_own,
        }
    }

    /// The domain that the invitation comes from: the organizer's, or the creator's if no user owns the calendar.
    pub fn domain(&self) -> String {
        let organizer = self.organizer();
        let address = match &self.creator {
            Some(creator) if organizer.ends_with(SHARED) => creator.to_lowercase(),
            _ => organizer,
        };
        address.rsplit_once('@').map(|(_, domain)| domain.to_owned()).unwrap_or_default()
    }
}

fn guests(organizer: &str, attendees: &[Person]) -> BTreeSet<String> {
    let organizer = Some(organizer.to_owned()).filter(|address| !address.is_empty());
    attendees.iter().filter_map(Person::address).chain(organizer).collect()
}

/// Reads the meetings of the window whose users want bots, or to which a virtual address may be invited.
pub async fn rows(pool: &Pool, window: &Window<'_>) -> anyhow::Result<Vec<Row>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            include_str!("sql/coming_meetings.sql"),
            &[
                (&window.now, Type::TIMESTAMPTZ),
                (&window.until, Type::TIMESTAMPTZ),
                (&window.pattern.beginning(), Type::TEXT),
                (&format!("%{SHARED}"), Type::TEXT),
            ],
        )
        .await
        .context("reading upcoming meetings")?;
    rows.iter().map(read).collect()
}

fn read(row: &tokio_postgres::Row) -> anyhow::Result<Row> {
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
        recurrence: lenient(row.try_get(12)?),
        attendees: lenient(row.try_get(13)?),
        wants: row.try_get(14)?,
        project: row.try_get(15)?,
        uid: row.try_get(17)?,
        is_own: row.try_get(18)?,
        organizer: lenient(row.try_get(19)?),
        creator: row.try_get(20)?,
        email: row.try_get(21)?,
    })
}

/// Decodes a value, or returns the default if it has an unexpected form.
fn lenient<T: DeserializeOwned + Default>(value: Option<Value>) -> T {
    value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}

/// Reads the original times of series occurrences that were moved or cancelled.
pub async fn replaced(pool: &Pool, window: &Window<'_>, rows: &[Row]) -> anyhow::Result<HashSet<(i64, String, DateTime<Utc>)>> {
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
                (&(window.now - LONGEST), Type::TIMESTAMPTZ),
            ],
        )
        .await
        .context("reading exceptions of series")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}

/// The organizers' own copies of events, by iCalUID and organizer.
#[derive(Default)]
pub struct Originals(HashMap<(String, String), Vec<Original>>);

/// The organizer's own copy of an event.
pub struct Original {
    /// The original start of an exception of a series; `None` for a single event or a series.
    at: Option<DateTime<Utc>>,
    pub title: Option<String>,
    pub guests: Arc<BTreeSet<String>>,
}

impl Originals {
    /// Reads the copies of those organizers of these meetings who are users with synced calendars.
    pub async fn of(pool: &Pool, window: &Window<'_>, rows: &[Row]) -> anyhow::Result<Self> {
        let ids = |row: &Row| [Some(row.event_id.clone()), row.series.clone()].into_iter().flatten();
        let keys: HashSet<(String, String)> = rows.iter().flat_map(|row| ids(row).map(|id| (row.organizer(), id))).collect();
        let (organizers, ids): (Vec<String>, Vec<String>) = keys.into_iter().unzip();
        let rows = pool
            .get()
            .await?
            .query_typed(
                include_str!("sql/organizers_copies.sql"),
                &[
                    (&organizers, Type::TEXT_ARRAY),
                    (&ids, Type::TEXT_ARRAY),
                    (&(window.now - LONGEST), Type::TIMESTAMPTZ),
                    (&window.until, Type::TIMESTAMPTZ),
                ],
            )
            .await
            .context("reading organizers' copies of meetings")?;
        let mut originals = Self::default();
        for row in &rows {
            let (uid, organizer): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let guests = Arc::new(guests(&organizer, &lenient::<Vec<Person>>(row.try_get(4)?)));
            let original = Original { at: row.try_get(2)?, title: row.try_get(3)?, guests };
            originals.0.entry((uid, organizer)).or_default().push(original);
        }
        Ok(originals)
    }

    /// Returns the organizer's copy of an occurrence; `None` if the organizer is not a user, or has no such event.
    pub fn find(&self, row: &Row, original_start: DateTime<Utc>) -> Option<&Original> {
        let all = self.0.get(&(row.uid.clone(), row.organizer()))?;
        all.iter().find(|one| one.at == Some(original_start)).or_else(|| all.iter().find(|one| one.at.is_none()))
    }
}
