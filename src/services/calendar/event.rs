//! An event in Google's JSON, and the typed columns that syncctl derives from it. Pure.

use chrono::{DateTime, FixedOffset, NaiveDate, NaiveDateTime, Utc};
use serde::Deserialize;

use crate::recurrence::{self, Rules, Start};
use crate::zone::Zone;

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
    /// `transparent`: the time counts as free.
    pub transparency: Option<String>,
    #[serde(rename = "iCalUID")]
    pub ical_uid: Option<String>,
    pub etag: Option<String>,
    pub updated: Option<DateTime<Utc>>,
    /// Fields that could not be parsed and count as absent, and `recurrence` if its rules cannot be interpreted.
    #[serde(skip)]
    pub unread: Vec<String>,
}

/// A date (all-day) or an instant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct When {
    pub date: Option<NaiveDate>,
    pub date_time: Option<Instant>,
    pub time_zone: Option<String>,
}

/// An RFC 3339 time, or a local time without an offset that needs a time zone.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Instant {
    Fixed(DateTime<FixedOffset>),
    Local(NaiveDateTime),
}

/// An attendee or organizer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Person {
    pub email: Option<String>,
    pub resource: bool,
    /// Whether this is the calendar's owner.
    #[serde(rename = "self")]
    pub is_self: bool,
    /// `needsAction`, `declined`, `tentative` or `accepted`
    #[serde(rename = "responseStatus")]
    pub response: Option<String>,
}

/// The ways to join a meeting.
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
    /// The instant in UTC; `None` for an all-day date.
    pub fn instant(&self) -> Option<DateTime<Utc>> {
        match self.date_time.as_ref()? {
            Instant::Fixed(at) => Some(at.to_utc()),
            Instant::Local(local) => Zone::of(self.time_zone.as_deref(), None)?.instant(*local),
        }
    }

    /// The start of a series.
    pub(super) fn start(&self) -> Option<Start> {
        if let Some(date) = self.date {
            return Some(Start::Date(date));
        }
        let offset = match self.date_time.as_ref()? {
            Instant::Fixed(at) => Some(*at.offset()),
            Instant::Local(_) => None,
        };
        Start::at(self.instant()?, self.time_zone.as_deref(), offset)
    }
}

impl Event {
    /// Whether the event is cancelled, which is how Google reports a deletion.
    pub fn is_cancelled(&self) -> bool {
        self.status.as_deref() == Some("cancelled")
    }

    /// The rules of a series, which may leave out times before `near`; `None` if they cannot be parsed.
    pub fn rules(&self, near: Option<DateTime<Utc>>) -> Option<Rules> {
        recurrence::rules(self.start.as_ref()?.start()?, &self.recurrence, near)
    }

    /// The response of the calendar's owner, if invited.
    pub fn response(&self) -> Option<&str> {
        self.attendees.iter().find(|person| person.is_self)?.response.as_deref()
    }

    /// Whether the event blocks its owner's time: neither shown as free nor declined.
    pub fn is_busy(&self) -> bool {
        self.transparency.as_deref() != Some("transparent") && self.response() != Some("declined")
    }

    /// The number of attendees that are people, not rooms.
    pub fn people(&self) -> usize {
        let is_room = |person: &Person| {
            person.resource || person.email.as_deref().is_some_and(|email| email.ends_with("@resource.calendar.google.com"))
        };
        self.attendees.iter().filter(|person| !is_room(person)).count()
    }
}
