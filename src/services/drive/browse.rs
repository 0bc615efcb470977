//! Reads what is stored of a user's files, for `drive list` and `drive show`. No network access.

pub mod details;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Serialize;
use uuid::Uuid;

use super::{CHANGES, REGISTERED};
use crate::db::Pool;
use crate::state::PermissionsKnown;

const FOLDER: &str = "application/vnd.google-apps.folder";

/// The columns of an entry, from `drive_file_access` (a), `drive_files` (f) and `drive_paths` (p).
const ENTRY: &str = "a.file_id, a.name, p.drive, p.path, f.mime_type, f.size, f.owners, f.owner_names, a.owned_by_me, f.shared, a.starred, a.trashed,
  f.created_at, f.modified_at, f.web_view_link, a.permissions_known";

/// A file, as a user sees it.
#[derive(Debug, Serialize)]
pub struct Entry {
    pub file_id: String,
    pub name: Option<String>,
    /// The shared drive in which it is, if the path begins there.
    pub drive: Option<String>,
    /// The names of its folders and its own, from the topmost folder that the user sees.
    pub path: String,
    pub mime_type: Option<String>,
    /// Bytes.
    pub size: Option<i64>,
    /// Addresses in lower case; `None`: Google does not show one. Absent in shared drives.
    pub owners: Option<Vec<Option<String>>>,
    /// In the same order.
    pub owner_names: Option<Vec<Option<String>>>,
    pub owned_by_me: Option<bool>,
    /// With anyone besides its owner. Absent in shared drives.
    pub shared: Option<bool>,
    pub starred: Option<bool>,
    pub trashed: bool,
    pub created_at: Option<DateTime<Utc>>,
    pub modified_at: Option<DateTime<Utc>>,
    pub web_view_link: Option<String>,
    /// `None`: not read yet.
    pub permissions_known: Option<PermissionsKnown>,
}

impl Entry {
    /// The entry in the first columns of a row.
    fn of(row: &Row) -> anyhow::Result<Self> {
        Ok(Self {
            file_id: row.try_get(0)?,
            name: row.try_get(1)?,
            drive: row.try_get(2)?,
            path: row.try_get(3)?,
            mime_type: row.try_get(4)?,
            size: row.try_get(5)?,
            owners: row.try_get(6)?,
            owner_names: row.try_get(7)?,
            owned_by_me: row.try_get(8)?,
            shared: row.try_get(9)?,
            starred: row.try_get(10)?,
            trashed: row.try_get(11)?,
            created_at: row.try_get(12)?,
            modified_at: row.try_get(13)?,
            web_view_link: row.try_get(14)?,
            permissions_known: row.try_get(15)?,
        })
    }

    /// Where it is: `/Plans/a.txt` in My Drive, `Team:/Plans/a.txt` in a shared drive.
    pub fn location(&self) -> String {
        match &self.drive {
            Some(drive) => format!("{drive}:{}", self.path),
            None => self.path.clone(),
        }
    }

    /// The owners by address or else by name. Empty in shared drives.
    pub fn owners(&self) -> Vec<&str> {
        let addresses = self.owners.iter().flatten().map(Option::as_deref);
        let mut names = self.owner_names.iter().flatten().map(Option::as_deref);
        addresses.map(|address| address.or(names.next().flatten()).unwrap_or("unknown")).collect()
    }
}

/// Which files to list.
#[derive(Debug, Default)]
pub struct Filter<'a> {
    pub folder: Option<Folder>,
    /// Only files that are shared, including those in shared drives.
    pub shared: bool,
    /// An owner's address.
    pub owner: Option<&'a str>,
    /// Only files that changed within this many seconds.
    pub within_seconds: Option<f64>,
}

/// A place whose contents are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Folder {
    /// What is in no folder that the user sees.
    Top,
    /// A folder or a shared drive, by id.
    Id(String),
}

/// Lists up to `limit` files after the first `offset`, without those in the trash: the contents of a folder by name, others by the time of their last
/// change. Also returns how many there are, unless none is listed.
///
/// # Errors
/// Returns an error of the database.
pub async fn list(
    pool: &Pool,
    user: Uuid,
    filter: &Filter<'_>,
    (limit, offset): (i64, i64),
) -> anyhow::Result<(Vec<Entry>, i64)> {
    let folder = match &filter.folder {
        Some(Folder::Id(id)) => Some(id.as_str()),
        Some(Folder::Top) | None => None,
    };
    let owner = filter.owner.map(str::to_ascii_lowercase);
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!(
                "WITH chosen AS (
                   SELECT a.stream_id, a.file_id, count(*) OVER () AS of,
                     row_number() OVER (ORDER BY CASE WHEN $4::text IS NOT NULL OR $5 THEN a.name END, f.modified_at DESC NULLS LAST, a.file_id) AS place
                   FROM streams s JOIN drive_file_access a ON a.stream_id = s.id JOIN drive_files f ON f.file_id = a.file_id
                   WHERE s.user_id = $1 AND s.service = $2 AND s.kind = $3 AND a.deleted_at IS NULL AND NOT a.trashed
                     AND ($4::text IS NULL OR $4 = ANY (a.parents))
                     AND (NOT $5 OR NOT EXISTS (SELECT FROM drive_file_access top
                       WHERE top.stream_id = a.stream_id AND top.file_id = a.parents[1] AND top.deleted_at IS NULL))
                     AND (NOT $6 OR coalesce(f.shared, f.drive_id IS NOT NULL))
                     AND ($7::text IS NULL OR $7 = ANY (f.owners))
                     AND ($9::float8 IS NULL OR f.modified_at > now() - make_interval(secs => $9))
                   ORDER BY place LIMIT $8 OFFSET $10)
                 SELECT {ENTRY}, c.of FROM chosen c
                 JOIN drive_file_access a ON a.stream_id = c.stream_id AND a.file_id = c.file_id
                 JOIN drive_files f ON f.file_id = c.file_id
                 JOIN drive_paths p ON p.stream_id = c.stream_id AND p.file_id = c.file_id
                 ORDER BY c.place"
            ),
            &[
                (&user, Type::UUID),
                (&REGISTERED.service, Type::TEXT),
                (&CHANGES, Type::TEXT),
                (&folder, Type::TEXT),
                (&(filter.folder == Some(Folder::Top)), Type::BOOL),
                (&filter.shared, Type::BOOL),
                (&owner, Type::TEXT),
                (&limit, Type::INT8),
                (&filter.within_seconds, Type::FLOAT8),
                (&offset, Type::INT8),
            ],
        )
        .await
        .context("listing files")?;
    let of = rows.first().map_or(Ok(0), |row| row.try_get(16))?;
    Ok((rows.iter().map(Entry::of).collect::<anyhow::Result<_>>()?, of))
}

/// The folders and shared drives with this id or path, each with its location. A path is as `Entry::location` shows it; `Team:` is the top of a
/// shared drive.
///
/// # Errors
/// Returns an error of the database.
pub async fn folders(pool: &Pool, user: Uuid, name: &str) -> anyhow::Result<Vec<(String, String)>> {
    let path = name.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(name);
    let rooted = if path.contains(":/") || path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT a.file_id, coalesce(p.drive || ':', '') || p.path
             FROM streams s JOIN drive_file_access a ON a.stream_id = s.id JOIN drive_files f ON f.file_id = a.file_id
             JOIN drive_paths p ON p.stream_id = a.stream_id AND p.file_id = a.file_id
             WHERE s.user_id = $1 AND s.service = $2 AND s.kind = $3 AND a.deleted_at IS NULL AND f.mime_type = $4
               AND (a.file_id = $5 OR right($6, length(a.name) + 1) = '/' || a.name)
               AND (a.file_id = $5 OR (NOT a.trashed AND $6 IN (p.path, p.drive || ':' || p.path)))
             UNION ALL
             SELECT drive_id, coalesce(name, drive_id) || ':' FROM drives
             WHERE user_id = $1 AND deleted_at IS NULL AND (drive_id = $5 OR name || ':' = $5)
             ORDER BY 1",
            &[
                (&user, Type::UUID),
                (&REGISTERED.service, Type::TEXT),
                (&CHANGES, Type::TEXT),
                (&FOLDER, Type::TEXT),
                (&path, Type::TEXT),
                (&rooted, Type::TEXT),
            ],
        )
        .await
        .context("looking for a folder")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
