//! Which user follows which file (table `drive_file_watches`): read by runs, edited by `drive watch-file`. No network access.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Serialize;
use uuid::Uuid;

use super::file::File;
use super::last_seen::SeenFile;
use super::{CHANGES, MY_DRIVE, REGISTERED};
use crate::config::DriveDocuments;
use crate::db::Pool;
use crate::db::claims::Selection;
use crate::engine::Stream;

/// The followed files of a run, by user and file, and the shared drives that the users are members of.
#[derive(Debug, Default)]
pub struct Watched {
    files: HashMap<Uuid, HashMap<String, Watch>>,
    drives: HashSet<(Uuid, String)>,
    /// Files whose content is read again even if their documents hold it.
    distrusted: Mutex<HashSet<(Uuid, String)>>,
}

#[derive(Debug)]
struct Watch {
    /// The content that the document holds.
    content_key: Option<String>,
    /// The feed that shows the file, if the document is older than the file in that feed.
    pending: Option<i64>,
}

impl Watched {
    /// Loads the followed files of the users that a selection polls.
    pub async fn load(pool: &Pool, selection: &Selection) -> anyhow::Result<Self> {
        let client = pool.get().await?;
        let rows = client
            .query_typed(
                "SELECT w.user_id, w.file_id, w.content_key, a.stream_id FROM drive_file_watches w
                 LEFT JOIN LATERAL (
                   SELECT a.stream_id FROM drive_file_access a
                   WHERE a.file_id = w.file_id AND a.user_id = w.user_id AND a.deleted_at IS NULL
                     AND (w.told_version IS NULL OR (w.content_key IS DISTINCT FROM a.content_key AND coalesce(w.retry_at <= now(), true)))
                     -- It is fetched again from quarantine, ever more rarely.
                     AND NOT EXISTS (SELECT FROM quarantined_items q
                       WHERE q.stream_id = a.stream_id AND q.item_id = a.file_id AND q.retry_at > now())
                   LIMIT 1) a ON true
                 WHERE w.user_id IN (SELECT s.user_id FROM streams s WHERE s.service = $1 AND s.state NOT IN ('removed', 'revoked', 'off')
                   AND (s.due_at <= now() OR $2) AND ($3::uuid[] IS NULL OR s.user_id = ANY ($3)))",
                &[
                    (&REGISTERED.service, Type::TEXT),
                    (&selection.force, Type::BOOL),
                    (&selection.users, Type::UUID_ARRAY),
                ],
            )
            .await
            .context("reading followed files")?;
        let mut watched = Self::default();
        for row in &rows {
            let watch = Watch { content_key: row.try_get(2)?, pending: row.try_get(3)? };
            watched.files.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, watch);
        }
        let rows = client
            .query_typed(
                "SELECT user_id, drive_id FROM drives WHERE deleted_at IS NULL AND ($1::uuid[] IS NULL OR user_id = ANY ($1))",
                &[(&selection.users, Type::UUID_ARRAY)],
            )
            .await
            .context("reading who is a member of which drive")?;
        for row in &rows {
            watched.drives.insert((row.try_get(0)?, row.try_get(1)?));
        }
        Ok(watched)
    }

    /// Makes the content of these files be read again.
    pub fn distrust(&self, user: Uuid, files: &[&str]) {
        self.distrusted().extend(files.iter().map(|file| (user, (*file).to_owned())));
    }

    fn distrusted(&self) -> MutexGuard<'_, HashSet<(Uuid, String)>> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of files that a user follows.
    pub fn count(&self, user: Uuid) -> u64 {
        self.files.get(&user).map_or(0, |files| files.len() as u64)
    }

    /// Whether to read the content of a file of this feed for its user.
    pub fn wants(&self, stream: &Stream, file: &File, followed: DriveDocuments) -> bool {
        let user = stream.user_id;
        // The drive's own feed brings it.
        let elsewhere = file.drive_id.as_ref().filter(|drive| stream.resource == MY_DRIVE && !drive.is_empty());
        if elsewhere.is_some_and(|drive| self.drives.contains(&(user, drive.clone()))) {
            return false;
        }
        match self.files.get(&user).and_then(|files| files.get(&file.id)) {
            Some(watch) => {
                watch.content_key.as_deref() != Some(&file.content_key()) || self.distrusted().contains(&(user, file.id.clone()))
            }
            None => followed == DriveDocuments::All && file.is_readable(),
        }
    }

    /// The files of a feed whose documents are outdated.
    pub fn pending(&self, stream: &Stream) -> impl Iterator<Item = &str> {
        let files = self.files.get(&stream.user_id).into_iter().flatten();
        files.filter(|(_, watch)| watch.pending == Some(stream.id)).map(|(id, _)| id.as_str())
    }
}

/// Follows all these files that have content, for `drive.documents = "all"`.
pub async fn follow(tx: &Transaction<'_>, user: Uuid, seen: &[SeenFile<'_>]) -> anyhow::Result<()> {
    let ids: Vec<&str> = seen.iter().filter(|seen| seen.file.is_readable()).map(|seen| seen.file.id.as_str()).collect();
    tx.execute_typed(
        "INSERT INTO drive_file_watches (user_id, file_id) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING",
        &[(&user, Type::UUID), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("following all files")?;
    Ok(())
}

/// A file to follow.
#[derive(Debug, Clone)]
pub struct FollowRequest {
    pub user: Uuid,
    pub file: String,
    /// The id for the document; `None`: a new one, or the one it already has.
    pub document: Option<Uuid>,
    pub project: Option<Uuid>,
}

/// Follows files, each given once, and makes the feeds of known files due immediately. Returns the indexes of those refused because another file
/// has that document.
pub async fn add(pool: &Pool, requests: &[FollowRequest]) -> anyhow::Result<Vec<usize>> {
    let users: Vec<Uuid> = requests.iter().map(|one| one.user).collect();
    let files: Vec<&str> = requests.iter().map(|one| one.file.as_str()).collect();
    let documents: Vec<Option<Uuid>> = requests.iter().map(|one| one.document).collect();
    let projects: Vec<Option<Uuid>> = requests.iter().map(|one| one.project).collect();
    let rows = pool
        .get()
        .await?
        .query_typed(
            include_str!("sql/add_watches.sql"),
            &[
                (&users, Type::UUID_ARRAY),
                (&files, Type::TEXT_ARRAY),
                (&documents, Type::UUID_ARRAY),
                (&projects, Type::UUID_ARRAY),
                (&REGISTERED.service, Type::TEXT),
                (&CHANGES, Type::TEXT),
                (&MY_DRIVE, Type::TEXT),
            ],
        )
        .await
        .context("adding followed files")?;
    rows.iter().map(|row| Ok(usize::try_from(row.try_get::<_, i64>(0)? - 1)?)).collect()
}

/// Stops following a file. Returns false if it was not followed.
pub async fn remove(pool: &Pool, user: Uuid, file: &str) -> anyhow::Result<bool> {
    let removed = pool
        .get()
        .await?
        .execute_typed(
            "DELETE FROM drive_file_watches WHERE user_id = $1 AND file_id = $2",
            &[(&user, Type::UUID), (&file, Type::TEXT)],
        )
        .await
        .context("removing a followed file")?;
    Ok(removed > 0)
}

/// A followed file, for `watch-file list`.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub user_id: Uuid,
    pub email: String,
    pub file_id: String,
    /// The name that this user saw last; absent if no feed of theirs has shown the file yet.
    pub name: Option<String>,
    pub document_id: Uuid,
    pub project_id: Option<Uuid>,
    /// `not seen yet`, `lost`, `pending` (the next poll creates its document) or `followed`.
    pub state: String,
}

/// Lists all followed files, or those of one user.
pub async fn list(pool: &Pool, user: Option<Uuid>) -> anyhow::Result<Vec<Listed>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT w.user_id, u.email, w.file_id, a.name, coalesce(d.id, w.document_id), w.project_id,
               CASE WHEN a.live IS NULL THEN 'not seen yet' WHEN NOT a.live THEN 'lost' WHEN w.told_version IS NULL THEN 'pending' ELSE 'followed' END
             FROM drive_file_watches w JOIN users u ON u.id = w.user_id
             LEFT JOIN documents d ON d.source = $2 AND d.source_id = w.file_id AND d.user_id = w.user_id
             CROSS JOIN LATERAL (
               SELECT bool_or(a.deleted_at IS NULL) AS live,
                 (array_agg(a.name ORDER BY a.deleted_at DESC NULLS FIRST) FILTER (WHERE a.name IS NOT NULL))[1] AS name
               FROM drive_file_access a WHERE a.file_id = w.file_id AND a.user_id = w.user_id) a
             WHERE $1::uuid IS NULL OR w.user_id = $1 ORDER BY lower(u.email), w.file_id",
            &[(&user, Type::UUID), (&REGISTERED.service, Type::TEXT)],
        )
        .await
        .context("listing followed files")?;
    rows.iter()
        .map(|row| {
            Ok(Listed {
                user_id: row.try_get(0)?,
                email: row.try_get(1)?,
                file_id: row.try_get(2)?,
                name: row.try_get(3)?,
                document_id: row.try_get(4)?,
                project_id: row.try_get(5)?,
                state: row.try_get(6)?,
            })
        })
        .collect()
}

/// Returns the feeds through which to request files one by one, ordered by file: for each user who follows the file or, without followers, for
/// one user who sees it. Files without either are missing from the result.
pub async fn ways(pool: &Pool, files: &[&str]) -> anyhow::Result<Vec<(String, Uuid, i64)>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            include_str!("sql/ways_to_files.sql"),
            &[(&files, Type::TEXT_ARRAY), (&REGISTERED.service, Type::TEXT), (&CHANGES, Type::TEXT), (&MY_DRIVE, Type::TEXT)],
        )
        .await
        .context("looking for feeds of files")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}
