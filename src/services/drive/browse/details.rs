//! Reads everything that is stored of one file, as a user sees it. No network access.

use anyhow::Context as _;
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Serialize;
use uuid::Uuid;

use super::{ENTRY, Entry};
use crate::db::Pool;
use crate::services::drive::permissions::{self, Permission};
use crate::services::drive::{CHANGES, REGISTERED};
use crate::state::DocumentStatus;

/// A file with all that is stored of it.
#[derive(Debug, Serialize)]
pub struct FullEntry {
    #[serde(flatten)]
    pub entry: Entry,
    pub description: Option<String>,
    /// Increases with every change, visible to the user or not.
    pub version: Option<i64>,
    pub head_revision_id: Option<String>,
    pub md5_checksum: Option<String>,
    pub last_modified_by: Option<String>,
    /// Of its shared drive.
    pub drive_id: Option<String>,
    pub parents: Vec<String>,
    pub shortcut_target_id: Option<String>,
    pub shortcut_target_mime_type: Option<String>,
    /// By the order of their ids; `entry.permissions_known` says how many of them are known.
    pub permissions: Vec<Permission>,
    /// Whether the user follows it.
    pub is_followed: bool,
    /// Its document, if it has one.
    pub document: Option<DocumentOf>,
}

/// The document of a file.
#[derive(Debug, Serialize)]
pub struct DocumentOf {
    pub id: Uuid,
    pub status: DocumentStatus,
    /// Increases with each change of the document.
    pub version: i64,
    /// The version of the file that it shows.
    pub file_version: Option<i64>,
    pub note: Option<String>,
}

/// Reads a file. `None`: the user does not see it.
///
/// # Errors
/// Returns an error of the database.
pub async fn read(pool: &Pool, user: Uuid, id: &str) -> anyhow::Result<Option<FullEntry>> {
    let client = pool.get().await?;
    let row = client
        .query_typed_opt(
            &format!(
                "SELECT {ENTRY}, f.description, a.version, f.head_revision_id, f.md5_checksum, f.raw #>> '{{lastModifyingUser,displayName}}', f.drive_id,
                   a.parents, f.shortcut_target_id, f.shortcut_target_mime_type, w.file_id IS NOT NULL, d.id, d.status, d.version::bigint, w.told_version,
                   d.note, a.stream_id
                 FROM streams s JOIN drive_file_access a ON a.stream_id = s.id JOIN drive_files f ON f.file_id = a.file_id
                 JOIN drive_paths p ON p.stream_id = a.stream_id AND p.file_id = a.file_id
                 LEFT JOIN drive_file_watches w ON w.user_id = s.user_id AND w.file_id = a.file_id
                 LEFT JOIN documents d ON d.source = $2 AND d.source_id = a.file_id AND d.user_id = s.user_id
                 WHERE s.user_id = $1 AND s.service = $2 AND s.kind = $3 AND a.file_id = $4 AND a.deleted_at IS NULL
                 ORDER BY a.stream_id LIMIT 1"
            ),
            &[(&user, Type::UUID), (&REGISTERED.service, Type::TEXT), (&CHANGES, Type::TEXT), (&id, Type::TEXT)],
        )
        .await
        .context("reading a file")?;
    let Some(row) = row else { return Ok(None) };
    let document = match row.try_get(26)? {
        Some(id) => Some(DocumentOf {
            id,
            status: row.try_get(27)?,
            version: row.try_get(28)?,
            file_version: row.try_get(29)?,
            note: row.try_get(30)?,
        }),
        None => None,
    };
    let mut permissions = permissions::store::of_files(&client, (user, row.try_get(31)?), Some(&[id])).await?;
    Ok(Some(FullEntry {
        entry: Entry::of(&row)?,
        description: row.try_get(16)?,
        version: row.try_get(17)?,
        head_revision_id: row.try_get(18)?,
        md5_checksum: row.try_get(19)?,
        last_modified_by: row.try_get(20)?,
        drive_id: row.try_get(21)?,
        parents: row.try_get(22)?,
        shortcut_target_id: row.try_get(23)?,
        shortcut_target_mime_type: row.try_get(24)?,
        permissions: permissions.remove(id).unwrap_or_default(),
        is_followed: row.try_get(25)?,
        document,
    }))
}
