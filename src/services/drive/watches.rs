//! Which user follows which file (table `drive_file_watches`): for a run, and for those who say so. Knows no network.

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
    /// Files whose content is read anew, whatever their documents hold.
    distrusted: Mutex<HashSet<(Uuid, String)>>,
}

#[derive(Debug)]
struct Watch {
    /// The content that the document holds.
    content_key: Option<String>,
    /// The feed that shows the file, if the document is behind what that feed told.
    pending: Option<i64>,
}

impl Watched {
    /// Those of the users whom a selection polls.
    pub async fn load(pool: &Pool, selection: &Selection) -> anyhow::Result<Self> {
        let client = pool.get().await?;
        let rows = client
            .query_typed(
                "SELECT w.user_id, w.file_id, w.content_key, a.stream_id FROM drive_file_watches w
                 LEFT JOIN LATERAL (
                   SELECT a.stream_id FROM drive_file_access a
                   WHERE a.file_id = w.file_id AND a.user_id = w.user_id AND a.lost_at IS NULL
                     AND (w.told_version IS NULL OR (w.content_key IS DISTINCT FROM a.content_key AND coalesce(w.retry_at <= now(), true)))
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

    /// Lets the content of these files be read anew.
    pub fn distrust(&self, user: Uuid, files: &[&str]) {
        self.distrusted().extend(files.iter().map(|file| (user, (*file).to_owned())));
    }

    fn distrusted(&self) -> MutexGuard<'_, HashSet<(Uuid, String)>> {
        self.distrusted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many files a user follows.
    pub fn count(&self, user: Uuid) -> u64 {
        self.files.get(&user).map_or(0, |files| files.len() as u64)
    }

    /// Whether the content of a file of this feed is to be read for its user.
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

    /// The files of a feed whose documents are behind.
    pub fn pending(&self, stream: &Stream) -> impl Iterator<Item = &str> {
        let files = self.files.get(&stream.user_id).into_iter().flatten();
        files.filter(|(_, watch)| watch.pending == Some(stream.id)).map(|(id, _)| id.as_str())
    }
}

/// Follows every file that a user sees, with `drive.documents = "all"`.
pub async fn follow(tx: &Transaction<'_>, user: Uuid, told: &[SeenFile<'_>]) -> anyhow::Result<()> {
    let ids: Vec<&str> = told.iter().filter(|told| told.file.is_readable()).map(|told| told.file.id.as_str()).collect();
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
pub struct Wanted {
    pub user: Uuid,
    pub file: String,
    /// The id that the document gets; `None`: a new one, or the one that it has.
    pub document: Option<Uuid>,
    pub project: Option<Uuid>,
}

/// Follows files, each named once. Their feeds are due at once where the file is known already. Answers which were refused because
/// another file has that document, by place.
pub async fn add(pool: &Pool, wanted: &[Wanted]) -> anyhow::Result<Vec<usize>> {
    let users: Vec<Uuid> = wanted.iter().map(|one| one.user).collect();
    let files: Vec<&str> = wanted.iter().map(|one| one.file.as_str()).collect();
    let documents: Vec<Option<Uuid>> = wanted.iter().map(|one| one.document).collect();
    let projects: Vec<Option<Uuid>> = wanted.iter().map(|one| one.project).collect();
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

/// Follows a file no longer. False: it was not followed.
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
    /// As this user saw it last. Absent: no feed of theirs has told of it yet.
    pub name: Option<String>,
    pub document_id: Uuid,
    pub project_id: Option<Uuid>,
    /// `not seen yet`, `lost`, `pending` (the next poll makes its document) or `followed`.
    pub state: String,
}

/// All followed files, or those of one user.
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
               SELECT bool_or(a.lost_at IS NULL) AS live,
                 (array_agg(a.name ORDER BY a.lost_at DESC NULLS FIRST) FILTER (WHERE a.name IS NOT NULL))[1] AS name
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

/// Through which feeds files are asked for one by one: for each user who follows one, or if nobody does, for one who sees it. By file;
/// a file that nobody follows or sees is not there.
pub async fn ways(pool: &Pool, files: &[&str]) -> anyhow::Result<Vec<(String, Uuid, i64)>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            include_str!("sql/ways_to_files.sql"),
            &[(&files, Type::TEXT_ARRAY), (&REGISTERED.service, Type::TEXT), (&CHANGES, Type::TEXT), (&MY_DRIVE, Type::TEXT)],
        )
        .await
        .context("looking for ways to files")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}
