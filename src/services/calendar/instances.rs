//! The times at which events take place: single events, and the occurrences of series (table `calendar_instances`).

pub mod agenda;
pub mod roll;
mod rows;
pub mod verify;
pub mod windows;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};

use super::event::Event;
use crate::zone::Zone;

pub use rows::{delete, replace};
use windows::midnight;

/// Maximum number of occurrences of a series in a window: one every hour in 500 days. Google's own interface offers no rule more frequent than daily.
const MAX_OCCURRENCES: usize = 12_000;

/// The span that `calendar_instances` covers: occurrences that end after its start and begin before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

/// One occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// As in Google's API: the id of a single event, or that of the series with the original start (`abc_20260316T080000Z`, `abc_20260316`).
    pub id: String,
    pub start: DateTime<Utc>,
    /// Exclusive. The same as `start` if the event takes no time.
    pub end: DateTime<Utc>,
    /// First and last day, the latter exclusive, of an all-day event.
    pub days: Option<(NaiveDate, NaiveDate)>,
}

/// Start and length of an event.
#[derive(Debug, Clone, Copy)]
enum Time {
    Days(NaiveDate, TimeDelta),
    At(DateTime<Utc>, TimeDelta),
}

/// The occurrences of an event in a window, in the zone of its calendar. Those that the series' exceptions replace are among them. A single event has
/// one even if it begins after the window. Only the first occurrence of a series whose rules cannot be parsed is known.
pub fn of(event: &Event, zone: Zone, window: Window) -> Vec<Instance> {
    let Some(time) = time(event) else { return Vec::new() };
    let first = || occurrence(event.id.clone(), time, zone).filter(|instance| instance.ends_after(window.from));
    if event.recurrence.is_empty() {
        return first().into_iter().collect();
    }
    let id = |time: Time| match time {
        Time::Days(date, _) => format!("{}_{}", event.id, date.format("%Y%m%d")),
        Time::At(at, _) => format!("{}_{}", event.id, at.format("%Y%m%dT%H%M%SZ")),
    };
    let Some(starts) = starts(event, time, window) else {
        return first().map(|instance| Instance { id: id(time), ..instance }).into_iter().collect();
    };
    let times = starts.into_iter().map(|start| match time {
        Time::Days(_, length) => Time::Days(start.date_naive(), length),
        Time::At(_, length) => Time::At(start, length),
    });
    let instances = times.filter_map(|time| occurrence(id(time), time, zone));
    instances.filter(|instance| instance.ends_after(window.from) && instance.start < window.until).collect()
}

/// The original starts of a series' occurrences near a window; a day begins at midnight in UTC.
fn starts(event: &Event, time: Time, window: Window) -> Option<Vec<DateTime<Utc>>> {
    let (length, margin) = match time {
        Time::At(_, length) => (length, TimeDelta::zero()),
        // Midnight in any zone is at most a day from midnight in UTC.
        Time::Days(_, length) => (length, TimeDelta::days(1)),
    };
    let from = window.from.checked_sub_signed(length)?.checked_sub_signed(margin)?;
    event.rules(Some(from))?.between(from, window.until + margin, MAX_OCCURRENCES)
}

fn time(event: &Event) -> Option<Time> {
    let (start, end) = (event.start.as_ref()?, event.end.as_ref());
    if let Some(date) = start.date {
        let length = end.and_then(|end| end.date).map_or(TimeDelta::days(1), |end| end - date);
        return Some(Time::Days(date, length.max(TimeDelta::days(1))));
    }
    let at = start.instant()?;
    let length = end.and_then(super::event::When::instant).map_or(TimeDelta::zero(), |end| end - at);
    Some(Time::At(at, length.max(TimeDelta::zero())))
}

/// `None`: beyond the times that can be stored.
fn occurrence(id: String, time: Time, zone: Zone) -> Option<Instance> {
    match time {
        Time::At(start, length) => Some(Instance { id, start, end: start.checked_add_signed(length)?, days: None }),
        Time::Days(date, length) => {
            let until = date.checked_add_signed(length)?;
            Some(Instance { id, start: midnight(zone, date)?, end: midnight(zone, until)?, days: Some((date, until)) })
        }
    }
}

impl Instance {
    fn ends_after(&self, from: DateTime<Utc>) -> bool {
        self.end > from || (self.end == self.start && self.end >= from)
    }
}
