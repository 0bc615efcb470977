//! Data that classification reads and writes (tables `classify_queue`, `classify_passes`, `project_models`, `document_judgements`, `document_projects`).

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

/// Columns with what a document `d` shares with others: thread, series, folder and sender, each NULL if absent.
const TRAITS: &str = "CASE d.source WHEN 'gmail' THEN nullif(d.details ->> 'thread_id', '') END,
  CASE d.source WHEN 'attendee' THEN (
    SELECT e.ical_uid FROM meetings m JOIN calendar_events e ON e.stream_id = m.stream_id AND e.event_id = m.event_id
    WHERE m.id = CASE WHEN d.details ->> 'meeting_id' ~ '^[0-9a-f-]{36}$' THEN (d.details ->> 'meeting_id')::uuid END) END,
  -- The root of a drive (its id has this prefix) says nothing about the files in it.
  CASE WHEN d.source = 'drive' AND d.details #>> '{parents,0}' NOT LIKE '0A%' THEN d.details #>> '{parents,0}' END,
  nullif(lower(coalesce(substring(d.author FROM '<([^<>]+)>'), d.author)), '')";

/// What a document shares with other documents of its user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    /// Gmail's thread.
    pub thread: Option<String>,
    /// The iCalendar UID that the instances of a recurring event share.
    pub series: Option<String>,
    /// Drive's id of the folder, except the root of a drive.
    pub folder: Option<String>,
    /// The author's address in lower case, or the name if there is no address.
    pub sender: Option<String>,
}

/// Reads the columns of `TRAITS`, starting at `first_column`.
fn traits(row: &Row, first_column: usize) -> Result<Traits, tokio_postgres::Error> {
    Ok(Traits {
        thread: row.try_get(first_column)?,
        series: row.try_get(first_column + 1)?,
        folder: row.try_get(first_column + 2)?,
        sender: row.try_get(first_column + 3)?,
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
