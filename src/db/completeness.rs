//! Which feeds are not stored completely, or not known to be current (view `sync_completeness`). Read-only.

use anyhow::Context as _;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;
use crate::state::{Missing, StreamState};

/// The columns of `sync_completeness f` that [`Feed::of`] reads, in this order.
pub const COLUMNS: &str = "f.kind, f.resource, f.name, f.state, f.missing, f.labels_failed_message";

/// A feed of a user.
#[derive(Debug, PartialEq, Eq)]
pub struct Feed {
    pub kind: String,
    /// The provider's id of a calendar or drive; empty for other feeds.
    pub resource: String,
    /// Name of the calendar or drive, if it is known.
    pub name: Option<String>,
    pub state: StreamState,
    /// `None`: it is complete, as of its last poll.
    pub missing: Option<Missing>,
    /// Why labels, or their colours, could not be listed.
    pub labels_failure: Option<String>,
}

impl Feed {
    /// Reads [`COLUMNS`], the first of which is column `at` of the row.
    ///
    /// # Errors
    /// Returns an error if a column has a value that this version does not know.
    pub fn of(row: &Row, at: usize) -> anyhow::Result<Self> {
        Ok(Self {
            kind: row.try_get(at)?,
            resource: row.try_get(at + 1)?,
            name: row.try_get(at + 2)?,
            state: row.try_get(at + 3)?,
            missing: row.try_get(at + 4)?,
            labels_failure: row.try_get(at + 5)?,
        })
    }
}

/// The feeds of a user in a service, complete or not. Empty: the service has not been synced for this user yet.
///
/// # Errors
/// Returns an error of the database.
pub async fn of_user(pool: &Pool, service: &str, user: Uuid) -> anyhow::Result<Vec<Feed>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!("SELECT {COLUMNS} FROM sync_completeness f WHERE f.user_id = $1 AND f.service = $2 ORDER BY f.stream_id"),
            &[(&user, Type::UUID), (&service, Type::TEXT)],
        )
        .await
        .context("looking for feeds that are not complete")?;
    rows.iter().map(|row| Feed::of(row, 0)).collect()
}
