//! An event as Google writes it, and the typed columns that syncctl draws from it. Pure.

use chrono::{DateTime, NaiveDate, NaiveDateTime, TimeZone as _, Utc};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Change;
use crate::db::items::Poison;
use crate::engine::Item;

/// The parts of an event that syncctl reads (`Event` of the Calendar API).
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Event {
    pub id: String,
    pub status: Option<String>,
    pub event_type: Option<String>,
    pub summary: Option<String>,
    pub description: Option<String>,
    pub location: Option<String>,
    pub start: Option<When>,
    pub end: Option<When>,
    pub organizer: Option<Person>,
    pub attendees: Vec<Person>,
    pub recurrence: Vec<String>,
    pub recurring_event_id: Option<String>,
    pub original_start_time: Option<When>,
    pub hangout_link: Option<String>,
    pub conference_data: Option<Conference>,
    #[serde(rename = "iCalUID")]
    pub ical_uid: Option<String>,
    pub etag: Option<String>,
    pub updated: Option<DateTime<Utc>>,
}

/// A date (all-day) or an instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct When {
    pub date: Option<NaiveDate>,
    pub date_time: Option<Instant>,
    pub time_zone: Option<String>,
}

/// An RFC 3339 time, or one without offset that its time zone completes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Instant {
    Fixed(DateTime<Utc>),
    Local(NaiveDateTime),
}

/// An attendee or organizer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Person {
    pub email: Option<String>,
    pub resource: bool,
}

/// Where a meeting can be joined.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Conference {
    pub entry_points: Vec<EntryPoint>,
}

/// One way to join.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EntryPoint {
    pub entry_point_type: Option<String>,
    pub uri: Option<String>,
}

impl When {
    /// The instant, in UTC. An all-day date has none.
    pub fn instant(&self) -> Option<DateTime<Utc>> {
        match self.date_time.as_ref()? {
            Instant::Fixed(at) => Some(*at),
            Instant::Local(local) => {
                let zone: chrono_tz::Tz = self.time_zone.as_deref().unwrap_or("UTC").parse().ok()?;
                zone.from_local_datetime(local).earliest().map(|at| at.to_utc())
            }
        }
    }
}

impl Event {
    /// Whether Google says that the event is gone.
    pub fn is_cancelled(&self) -> bool {
        self.status.as_deref() == Some("cancelled")
    }

    /// Attendees that are people: rooms do not meet.
    pub fn people(&self) -> usize {
        let is_room = |person: &Person| {
            person.resource || person.email.as_deref().is_some_and(|email| email.ends_with("@resource.calendar.google.com"))
        };
        self.attendees.iter().filter(|person| !is_room(person)).count()
    }
}

/// Makes an item of an event's JSON.
pub fn decode(raw: Box<RawValue>) -> Result<Item<Change>, Poison> {
    let event: Event = serde_json::from_str(raw.get()).map_err(|error| Poison::of(&raw, format!("not an event: {error}")))?;
    if event.id.is_empty() {
        return Err(Poison::of(&raw, "not an event: no id"));
    }
    if !event.is_cancelled() && event.start.as_ref().is_none_or(|start| start.date.is_none() && start.instant().is_none()) {
        return Err(Poison::of(&raw, "not an event: no start that can be read"));
    }
    Ok(Item { id: event.id.clone(), changed_at: event.updated, raw, change: Change::Event(Box::new(event)) })
}
