//! Drives and files for comparison: what `drives.list` and `files.list` name as in a first pass, and what is stored.

use std::collections::HashSet;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::{CHANGES, Change, Drive, LIST, MY_DRIVE, REGISTERED, derived, fetch, file::File};
use crate::engine::verify::{Derived, Differences, News, Thing, Things, Verify};
use crate::engine::{Calls, Next, Position, Stream};
use crate::error::{Class, Failure};

/// In the place of a start token, which a comparison has no use for.
const UNPINNED: &str = "compared";

impl Verify for Drive {
    type Scope = ();
    const DERIVED: &'static str = "documents";
    const DERIVED_BY_PASS: bool = true;

    fn scope(&self, _stream: &Stream, _full_pass_at: DateTime<Utc>) -> Self::Scope {}

    async fn list(&self, stream: &Stream, calls: &Calls, _scope: &(), stored: &Things) -> Result<Things, Failure> {
        // Read once a file of a shared drive is named.
        let mut drives: Option<HashSet<String>> = None;
        let mut at = Position { pinned: Some(UNPINNED.into()), ..Position::default() };
        let mut things = Things::new();
        loop {
            let page = match stream.kind.as_str() {
                LIST => fetch::drives(self, calls, &at).await,
                _ => fetch::listing(self, stream, calls, &at).await,
            };
            let page = match page {
                // No member any more: there is nothing to see.
                Err(failure) if failure.class == Class::Gone && is_shared(stream) => return Ok(Things::new()),
                page => page?,
            };
            for item in page.items {
                if let Change::File(file, _) = &item.change
                    && let Some(drive) = &file.drive_id
                    && !is_shared(stream)
                {
                    if drives.is_none() {
                        drives = Some(self.drives(calls).await?);
                    }
                    // Of a member's drive: compared there, not here.
                    if drives.as_ref().is_some_and(|drives| drives.contains(drive)) {
                        things.extend(stored.get(&item.id).map(|thing| (item.id, thing.clone())));
                        continue;
                    }
                }
                things.extend(version(&item.change).map(|version| (item.id, Thing::alive(version))));
            }
            things.extend(page.poison.into_iter().map(|poison| (poison.item_id, Thing::alive("unreadable"))));
            match page.next {
                Next::Page(token) => at.page_token = Some(token),
                Next::Cursor(_) => break,
            }
        }
        if stream.kind == CHANGES && !is_shared(stream) {
            self.add_unlisted(calls, stored, &mut things).await?;
        }
        Ok(things)
    }

    async fn stored(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
        match stream.kind.as_str() {
            LIST => drives(tx, stream).await,
            _ => files(tx, stream).await,
        }
    }

    async fn owed(&self, _tx: &Transaction<'_>, _stream: &Stream, _scope: &(), ids: &[&str]) -> anyhow::Result<Vec<String>> {
        Ok(ids.iter().map(|id| (*id).to_owned()).collect())
    }

    async fn news(&self, stream: &Stream, calls: &Calls, cursor: &str) -> Result<News, Failure> {
        if stream.kind == LIST {
            return Ok(News::Unknown);
        }
        let mut at = Position { cursor: Some(cursor.to_owned()), ..Position::default() };
        let mut ids = HashSet::new();
        loop {
            // Without what a poll does besides: contents are not read.
            let page = match fetch::changes(self, stream, calls, &at, cursor).await {
                // The next poll finds out whether the user still is a member, and if so lists everything.
                Err(failure) if failure.class == Class::CursorExpired && is_shared(stream) => return Ok(News::Unknown),
                page => page?,
            };
            ids.extend(page.items.into_iter().map(|item| item.id).chain(page.poison.into_iter().map(|poison| poison.item_id)));
            match page.next {
                Next::Page(token) => at.page_token = Some(token),
                Next::Cursor(_) => return Ok(News::Of(ids)),
            }
        }
    }

    async fn distrust(&self, tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> anyhow::Result<()> {
        if stream.kind != CHANGES {
            return Ok(());
        }
        // Files of several users, in the order in which their feeds write them.
        tx.execute_typed(
            "WITH files AS (SELECT file_id FROM drive_files WHERE file_id = ANY ($2) ORDER BY file_id FOR NO KEY UPDATE),
             unknown AS (UPDATE drive_file_access SET version = NULL WHERE stream_id = $1 AND file_id = ANY ($2))
             UPDATE drive_files f SET version = NULL FROM files WHERE f.file_id = files.file_id",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("distrusting files")?;
        Ok(())
    }

    async fn derived(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Derived> {
        match stream.kind.as_str() {
            CHANGES => derived::compared(tx, stream).await,
            _ => Ok(Derived::default()),
        }
    }

    async fn distrust_derived(&self, tx: &Transaction<'_>, stream: &Stream, found: &Differences) -> anyhow::Result<()> {
        derived::distrust(self, tx, stream, found).await
    }

    async fn derive(&self, tx: &Transaction<'_>, stream: &Stream, found: &Differences) -> anyhow::Result<()> {
        derived::retire(tx, stream, found).await
    }
}

impl Drive {
    /// Adds what is stored and the list does not name: in a folder that was shared, it may be there all the same.
    async fn add_unlisted(&self, calls: &Calls, stored: &Things, things: &mut Things) -> Result<(), Failure> {
        let unlisted = stored.iter().filter(|(id, thing)| thing.alive && !things.contains_key(*id));
        let unlisted: Vec<String> = unlisted.map(|(id, _)| id.clone()).collect();
        let (found, poison) = fetch::seen(self, calls, &unlisted).await?;
        things.extend(found.into_iter().filter_map(|item| Some((item.id, Thing::alive(version(&item.change)?)))));
        things.extend(poison.into_iter().map(|poison| (poison.item_id, Thing::alive("unreadable"))));
        Ok(())
    }

    /// The shared drives that the user is a member of.
    async fn drives(&self, calls: &Calls) -> Result<HashSet<String>, Failure> {
        let (mut at, mut drives) = (Position::default(), HashSet::new());
        loop {
            let page = fetch::drives(self, calls, &at).await?;
            drives.extend(page.items.into_iter().map(|item| item.id));
            match page.next {
                Next::Page(token) => at.page_token = Some(token),
                Next::Cursor(_) => return Ok(drives),
            }
        }
    }
}

fn is_shared(stream: &Stream) -> bool {
    stream.kind == CHANGES && stream.resource != MY_DRIVE
}

fn version(change: &Change) -> Option<String> {
    match change {
        Change::Drive(drive) => Some(drive.name.clone().unwrap_or_default()),
        Change::File(file, _) => Some(version_of(file)),
        Change::Removed | Change::Other => None,
    }
}

/// What a user sees of a file. Not its version number: that rises with changes that no feed tells of, too.
fn fingerprint(name: Option<&str>, trashed: bool, parents: &[String], content: &str) -> String {
    let mut parents: Vec<&str> = parents.iter().map(String::as_str).collect();
    parents.sort_unstable();
    format!("{}|{trashed}|{}|{content}", name.unwrap_or_default(), parents.join(","))
}

fn version_of(file: &File) -> String {
    fingerprint(file.name.as_deref(), file.trashed, &file.parents, &file.content_key())
}

/// What a feed told last of its files; of the user's own feed without those that are compared with the drive which they are in. A file whose own row is behind that, or says something else of the same version, is no such file.
async fn files(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
    let rows = tx
        .query_typed(
            "SELECT a.file_id, a.lost_at IS NULL AND f.file_id IS NOT NULL AND f.gone_at IS NULL,
               coalesce(f.version, 0) < a.version
                 OR (f.version = a.version AND (coalesce(f.md5_checksum <> a.content_key, false) OR f.name IS DISTINCT FROM a.name)),
               a.name, a.trashed, a.parents, a.content_key
             FROM drive_file_access a LEFT JOIN drive_files f USING (file_id)
             WHERE a.stream_id = $1
               AND ($2 OR NOT EXISTS (SELECT 1 FROM drives d WHERE d.user_id = a.user_id AND d.drive_id = f.drive_id AND d.deleted_at IS NULL))",
            &[(&stream.id, Type::INT8), (&is_shared(stream), Type::BOOL)],
        )
        .await
        .context("reading stored files")?;
    rows.iter()
        .map(|row| {
            let thing = match (row.try_get(1)?, row.try_get::<_, Option<bool>>(2)?) {
                (false, _) => Thing::dead(),
                (true, Some(true)) => Thing::alive("not kept as it was told"),
                (true, _) => {
                    let (name, parents): (Option<String>, Vec<String>) = (row.try_get(3)?, row.try_get(5)?);
                    Thing::alive(fingerprint(name.as_deref(), row.try_get(4)?, &parents, row.try_get(6)?))
                }
            };
            Ok((row.try_get(0)?, thing))
        })
        .collect()
}

/// A drive without a feed is as good as not stored.
async fn drives(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
    let rows = tx
        .query_typed(
            "SELECT d.drive_id, EXISTS (SELECT 1 FROM streams s WHERE s.user_id = d.user_id AND s.service = $2 AND s.kind = $3
               AND s.resource = d.drive_id AND s.state <> 'removed'), coalesce(d.name, '')
             FROM drives d WHERE d.user_id = $1 AND d.deleted_at IS NULL",
            &[(&stream.user_id, Type::UUID), (&REGISTERED.service, Type::TEXT), (&CHANGES, Type::TEXT)],
        )
        .await
        .context("reading stored drives")?;
    let thing = |alive, version: String| if alive { Thing::alive(version) } else { Thing::dead() };
    rows.iter().map(|row| Ok((row.try_get(0)?, thing(row.try_get(1)?, row.try_get(2)?)))).collect()
}
