//! The stream that a service works on.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::db::claims::StreamRow;

/// One incremental feed of one user, claimed.
pub struct Stream {
    /// `streams.id`
    pub id: i64,
    /// The owner: `users.id` or `attendee_projects.id`.
    pub user_id: Uuid,
    /// The service's name for this kind of feed.
    pub kind: String,
    /// The provider's id of the feed's resource: a calendar id, a drive id.
    pub resource: String,
    /// When the last complete pass before this run ended. `None`: there was none, or a single item is applied.
    pub full_pass_at: Option<DateTime<Utc>>,
}

impl Stream {
    /// The stream of a claimed row.
    pub fn of(row: &StreamRow) -> Self {
        Self {
            id: row.id,
            user_id: row.user_id,
            kind: row.kind.clone(),
            resource: row.resource.clone(),
            full_pass_at: row.full_pass_at,
        }
    }
}
