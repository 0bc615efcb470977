//! Compares what `drives.list` and `files.list` name, as in a first pass, with what is stored.

use std::collections::HashSet;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::details::Details;
use super::permissions::store as permissions;
use super::{CHANGES, Change, Drive, LIST, MY_DRIVE, REGISTERED, derived, fetch, file::File};
use crate::engine::verify::{AllDerived, ItemState, News, Things, Verify};
use crate::engine::{Calls, Item, Next, Position, Stream};
use crate::error::{Class, Failure};

/// Placeholder for a start token, which a comparison does not need.
const UNPINNED: &str = "compared";

impl Verify for Drive {
    type Scope = ();
    const DERIVED_BY_PASS: &'static [&'static str] = &["documents"];

    fn scope(&self, _stream: &Stream, _full_pass_at: DateTime<Utc>) -> Self::Scope {}

    async fn list(&self, stream: &Stream, calls: &Calls, _scope: &(), stored: &Things) -> Result<Things, Failure> {
        // Read when the first file of a shared drive is named.
        let mut drives: Option<HashSet<String>> = None;
        let mut at = Position { pinned: Some(UNPINNED.into()), ..Position::default() };
        let mut listed = Things::new();
        loop {
            let page = match stream.kind.as_str() {
                LIST => fetch::drives(self, calls, &at).await,
                _ => fetch::listing(self, stream, calls, &at).await,
            };
            let page = match page {
                // No longer a member: nothing is visible.
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
                    // The user is a member of the drive: compared with the drive's feed, not here.
                    if drives.as_ref().is_some_and(|drives| drives.contains(drive)) {
                        listed.extend(stored.get(&item.id).map(|same| (item.id, same.clone())));
                        continue;
                    }
                }
                listed.extend(version(&item.change, stored.get(&item.id)).map(|version| (item.id, ItemState::alive(version))));
            }
            listed.extend(page.poison.into_iter().map(|poison| (poison.item_id, ItemState::alive("unreadable"))));
            match page.next {
                Next::Page(token) => at.page_token = Some(token),
                Next::Cursor(_) => break,
            }
        }
        if stream.kind == CHANGES && !is_shared(stream) {
            self.add_unlisted(calls, stored, &mut listed).await?;
        }
        Ok(listed)
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
            // Unlike a poll, this does not read contents.
            let page = match fetch::changes(self, stream, calls, &at, cursor).await {
                // The next poll finds out whether the user is still a member and, if so, lists everything.
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
        // Lock in the order in which the feeds of several users write files.
        tx.execute_typed(
            "WITH files AS (SELECT file_id FROM drive_files WHERE file_id = ANY ($2) ORDER BY file_id FOR NO KEY UPDATE),
             unknown AS (UPDATE drive_file_access SET version = NULL, changed_xid = DEFAULT WHERE stream_id = $1 AND file_id = ANY ($2))
             UPDATE drive_files f SET version = NULL, changed_xid = DEFAULT FROM files WHERE f.file_id = files.file_id",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("distrusting files")?;
        Ok(())
    }

    async fn derived(&self, tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<AllDerived> {
        Ok(match stream.kind.as_str() {
            CHANGES => [("documents", derived::compared(tx, stream).await?)].into(),
            _ => AllDerived::new(),
        })
    }

    async fn distrust_derived(&self, tx: &Transaction<'_>, stream: &Stream, derived: &AllDerived) -> anyhow::Result<()> {
        for documents in derived.values() {
            derived::distrust(self, tx, stream, &documents.found).await?;
        }
        Ok(())
    }

    async fn derive(&self, tx: &Transaction<'_>, stream: &Stream, derived: &AllDerived) -> anyhow::Result<()> {
        for documents in derived.values() {
            derived::retire(tx, stream, &documents.found).await?;
        }
        Ok(())
    }
}

impl Drive {
    /// Adds stored files that the list does not name: files in a shared folder may still be visible.
    async fn add_unlisted(&self, calls: &Calls, stored: &Things, listed: &mut Things) -> Result<(), Failure> {
        let unlisted = stored.iter().filter(|(id, file)| file.alive && !listed.contains_key(*id));
        let unlisted: Vec<String> = unlisted.map(|(id, _)| id.clone()).collect();
        let (items, poison) = fetch::seen(self, calls, &unlisted).await?;
        let alive = |item: Item<Change>| Some((ItemState::alive(version(&item.change, stored.get(&item.id))?), item.id));
        listed.extend(items.into_iter().filter_map(alive).map(|(state, id)| (id, state)));
        listed.extend(poison.into_iter().map(|poison| (poison.item_id, ItemState::alive("unreadable"))));
        Ok(())
    }

    /// Returns the ids of the shared drives that the user is a member of.
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

/// The version of an item in a list. `stored`: the stored form.
fn version(change: &Change, stored: Option<&ItemState>) -> Option<String> {
    match change {
        Change::Drive(drive) => Some(drive.name.clone().unwrap_or_default()),
        Change::File(file, _) => Some(version_of(file, stored)),
        Change::Removed | Change::Other => None,
    }
}

/// The properties of a file that a user sees. Without its version number, which also increases with changes that no feed shows.
fn fingerprint(name: Option<&str>, trashed: bool, parents: &[String], content: &str) -> String {
    let mut parents: Vec<&str> = parents.iter().map(String::as_str).collect();
    parents.sort_unstable();
    format!("{}|{trashed}|{}|{content}", name.unwrap_or_default(), parents.join(","))
}

fn version_of(file: &File, stored: Option<&ItemState>) -> String {
    let version = fingerprint(file.name.as_deref(), file.trashed, &file.parents, &file.content_key());
    // A row of an earlier version has no details until the next complete pass.
    if stored.is_some_and(|stored| stored.version == version) {
        return version;
    }
    with_details(&version, &Details::of(file))
}

fn with_details(version: &str, details: &Details) -> String {
    format!("{version}|{:x}", details.digest())
}

/// Returns the last state of a feed's files; for the user's own feed, without files that are compared with their drive's feed. A file whose row in
/// `drive_files` is older, or differs at the same version, is a mismatch.
async fn files(tx: &Transaction<'_>, stream: &Stream) -> anyhow::Result<Things> {
    let rows = tx
        .query_typed(
            "SELECT a.file_id, a.deleted_at IS NULL AND f.file_id IS NOT NULL AND f.deleted_at IS NULL,
               coalesce(f.version, 0) < a.version
                 OR (f.version = a.version AND (coalesce(f.md5_checksum <> a.content_key, false) OR f.name IS DISTINCT FROM a.name)),
               a.name, a.trashed, a.parents, a.content_key,
               f.description, f.shared, f.shortcut_target_id, a.owned_by_me, a.starred, a.permissions_known
             FROM drive_file_access a LEFT JOIN drive_files f USING (file_id)
             WHERE a.stream_id = $1
               AND ($2 OR NOT EXISTS (SELECT 1 FROM drives d WHERE d.user_id = a.user_id AND d.drive_id = f.drive_id AND d.deleted_at IS NULL))",
            &[(&stream.id, Type::INT8), (&is_shared(stream), Type::BOOL)],
        )
        .await
        .context("reading stored files")?;
    let mut permissions = permissions::of_files(&**tx, (stream.user_id, stream.id), None).await?;
    rows.iter()
        .map(|row| {
            let id: String = row.try_get(0)?;
            let details = Details::stored(row, 7, permissions.remove(&id).unwrap_or_default())?;
            let file = match (row.try_get(1)?, row.try_get::<_, Option<bool>>(2)?) {
                (false, _) => ItemState::dead(),
                (true, Some(true)) => ItemState::alive("not stored as the feed showed it"),
                (true, _) => {
                    let (name, parents): (Option<String>, Vec<String>) = (row.try_get(3)?, row.try_get(5)?);
                    let version = fingerprint(name.as_deref(), row.try_get(4)?, &parents, row.try_get(6)?);
                    ItemState::alive(details.map_or(version.clone(), |details| with_details(&version, &details)))
                }
            };
            Ok((id, file))
        })
        .collect()
}

/// Returns the stored drives. A drive without a feed counts as not stored.
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
    let drive = |alive, version: String| if alive { ItemState::alive(version) } else { ItemState::dead() };
    rows.iter().map(|row| Ok((row.try_get(0)?, drive(row.try_get(1)?, row.try_get(2)?)))).collect()
}
