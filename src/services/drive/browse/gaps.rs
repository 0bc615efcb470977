//! Which drives of a user are not stored completely, or not known to be current. No network access.

use anyhow::Context as _;
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;
use crate::services::drive::{CHANGES, LIST, MY_DRIVE, REGISTERED};
use crate::state::StreamState;

/// A drive whose files may be missing or outdated.
#[derive(Debug)]
pub struct Incomplete {
    /// Its name. `None`: the user has none yet.
    pub drive: Option<String>,
    pub why: Gap,
}

/// Why files may be missing or outdated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    /// No drive has been polled yet.
    NoDrive,
    /// The state of the stream in which it is not synced.
    NotSynced(StreamState),
    /// Its first full pass is not complete.
    NotListed,
    /// Another full pass is in progress.
    BeingListed,
    /// Its last poll failed, so that changes may be unknown.
    Failing,
    /// Files of it could not be read.
    Unread,
    /// Owners and permissions of its files have not been read since this version was installed.
    NotFilled,
}

/// The drives of a user that may be incomplete, and their list.
///
/// # Errors
/// Returns an error of the database.
pub async fn incomplete(pool: &Pool, user: Uuid) -> anyhow::Result<Vec<Incomplete>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT s.kind, s.resource, d.name, s.state, s.full_pass_at IS NULL, s.pass IS NOT NULL AND s.page_token IS NOT NULL, s.failures > 0,
               EXISTS (SELECT FROM quarantined_items q WHERE q.stream_id = s.id),
               EXISTS (SELECT FROM drive_file_access a WHERE a.stream_id = s.id AND a.lost_at IS NULL AND a.permissions_known IS NULL)
             FROM streams s LEFT JOIN drives d ON d.user_id = s.user_id AND d.drive_id = s.resource
             WHERE s.user_id = $1 AND s.service = $2 AND s.state <> 'removed' ORDER BY s.id",
            &[(&user, Type::UUID), (&REGISTERED.service, Type::TEXT)],
        )
        .await
        .context("looking for drives that are not complete")?;
    let (mut found, mut has_drive) = (Vec::new(), false);
    for row in &rows {
        let (kind, resource, name): (&str, &str, Option<&str>) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        has_drive |= kind == CHANGES;
        let why = match row.try_get(3)? {
            state @ (StreamState::Stopped | StreamState::Revoked | StreamState::Removed | StreamState::Off) => {
                Gap::NotSynced(state)
            }
            StreamState::Active | StreamState::Degraded if row.try_get(4)? => Gap::NotListed,
            StreamState::Active | StreamState::Degraded if row.try_get(6)? => Gap::Failing,
            StreamState::Active | StreamState::Degraded if kind == CHANGES && row.try_get(5)? => Gap::BeingListed,
            StreamState::Active | StreamState::Degraded if row.try_get(7)? => Gap::Unread,
            StreamState::Active | StreamState::Degraded if row.try_get(8)? => Gap::NotFilled,
            StreamState::Active | StreamState::Degraded => continue,
        };
        let drive = match (kind, resource) {
            (LIST, _) => "the list of shared drives",
            (_, MY_DRIVE) => "My Drive",
            (_, id) => name.unwrap_or(id),
        };
        found.push(Incomplete { drive: Some(drive.to_owned()), why });
    }
    if !has_drive && found.is_empty() {
        found.push(Incomplete { drive: None, why: Gap::NoDrive });
    }
    Ok(found)
}
