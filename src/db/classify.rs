//! What classification reads and writes (tables `classify_queue`, `classify_passes`, `project_models`, `document_judgements`, `document_projects`).

pub mod answers;
pub mod classified;
pub mod corrections;
pub mod judgements;
pub mod models;
pub mod offers;
pub mod passes;
pub mod queue;
pub mod review;

use tokio_postgres::Row;
use uuid::Uuid;

use crate::classify::Label;

/// Columns that say what a document `d` has in common with others: thread, series, folder and sender, each NULL where there is none.
const TRAITS: &str = "CASE d.source WHEN 'gmail' THEN nullif(d.details ->> 'thread_id', '') END,
  CASE d.source WHEN 'attendee' THEN (
    SELECT e.ical_uid FROM meetings m JOIN calendar_events e ON e.stream_id = m.stream_id AND e.event_id = m.event_id
    WHERE m.id = CASE WHEN d.details ->> 'meeting_id' ~ '^[0-9a-f-]{36}$' THEN (d.details ->> 'meeting_id')::uuid END) END,
  -- The root of a drive, whose id begins so, says nothing about what lies in it.
  CASE WHEN d.source = 'drive' AND d.details #>> '{parents,0}' NOT LIKE '0A%' THEN d.details #>> '{parents,0}' END,
  nullif(lower(coalesce(substring(d.author FROM '<([^<>]+)>'), d.author)), '')";

/// What a document has in common with others of its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// Gmail's thread.
    pub thread: Option<String>,
    /// The iCalendar UID that the instances of a recurring event share.
    pub series: Option<String>,
    /// Drive's id of the folder, the root of a drive excepted.
    pub folder: Option<String>,
    /// The author's address in lower case, or the name where there is no address.
    pub sender: Option<String>,
}

/// Reads `TRAITS`, of which the first is at this place.
fn traits(row: &Row, place: usize) -> Result<Traits, tokio_postgres::Error> {
    Ok(Traits {
        thread: row.try_get(place)?,
        series: row.try_get(place + 1)?,
        folder: row.try_get(place + 2)?,
        sender: row.try_get(place + 3)?,
    })
}

/// `project_id` as a label: NULL is "none of them".
pub fn label(project: Option<Uuid>) -> Label {
    project.map_or(Label::NoneOfThem, Label::Project)
}

/// A label as `project_id`.
pub fn project(label: Label) -> Option<Uuid> {
    match label {
        Label::Project(id) => Some(id),
        Label::NoneOfThem => None,
    }
}
