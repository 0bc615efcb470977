//! Files of shared drives that a user's own feed shows as well. For members, the drive's feed is authoritative (Google's guide: members must not
//! rely on their own log for these); for all others, their own feed is. No network access.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::action::{Action, LastSeen};
use super::last_seen::SeenFile;
use super::permissions::store as permissions;
use super::{CHANGES, Change, MY_DRIVE, REGISTERED};
use crate::db::items;
use crate::engine::{Item, Stream};

/// The relation of a page's files to the user's other feeds.
#[derive(Default)]
pub struct Others {
    /// Files of drives that the user is a member of: the drive's own feed is authoritative.
    pub left_to_drives: HashSet<String>,
    /// The last state of files that another feed of the user shows.
    pub known: HashMap<String, LastSeen>,
}

/// Reads the relation of a page's files to the user's other feeds.
pub async fn others(tx: &Transaction<'_>, stream: &Stream, items: &BTreeMap<&str, &Item<Change>>) -> anyhow::Result<Others> {
    let in_drives = items.values().filter_map(|item| match &item.change {
        Change::File(file, _) => Some((file.id.as_str(), file.drive_id.as_deref()?)),
        _ => None,
    });
    let (ids, drives): (Vec<&str>, Vec<&str>) = in_drives.unzip();
    if ids.is_empty() {
        return Ok(Others::default());
    }
    if stream.resource == MY_DRIVE {
        let rows = tx
            .query_typed(
                "SELECT drive_id FROM drives WHERE user_id = $1 AND drive_id = ANY ($2) AND deleted_at IS NULL",
                &[(&stream.user_id, Type::UUID), (&drives, Type::TEXT_ARRAY)],
            )
            .await
            .context("reading which drives the user is a member of")?;
        let member_of = rows.iter().map(|row| row.try_get(0)).collect::<Result<HashSet<&str>, _>>()?;
        let in_own = ids.iter().zip(drives).filter(|(_, drive)| member_of.contains(drive)).map(|(id, _)| (*id).to_owned());
        return Ok(Others { left_to_drives: in_own.collect(), known: HashMap::new() });
    }
    let rows = tx
        .query_typed(
            "SELECT file_id, name, parents, trashed, version, content_key, permissions_known FROM drive_file_access
             WHERE user_id = $1 AND stream_id <> $2 AND file_id = ANY ($3) AND deleted_at IS NULL",
            &[(&stream.user_id, Type::UUID), (&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading the last state of files in other feeds")?;
    let mut known = HashMap::new();
    for row in &rows {
        let other = LastSeen {
            name: row.try_get(1)?,
            parents: row.try_get(2)?,
            trashed: row.try_get(3)?,
            version: row.try_get(4)?,
            content_key: row.try_get(5)?,
            lost: false,
            permissions: row.try_get(6)?,
        };
        known.insert(row.try_get(0)?, other);
    }
    Ok(Others { known, ..Others::default() })
}

/// Records that this feed also shows files that are left to their drives: it may be the only feed that shows them once the user leaves the drive.
pub async fn leave(tx: &Transaction<'_>, stream: &Stream, pass: Option<i64>, ids: &[&str]) -> anyhow::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    tx.execute_typed(
        "INSERT INTO drive_file_access AS a (stream_id, user_id, seen_pass, file_id, content_key, deleted_at)
         SELECT $1, $2, $3, unnest($4::text[]), '', now()
         ON CONFLICT (stream_id, file_id) DO UPDATE SET seen_pass = coalesce(excluded.seen_pass, a.seen_pass)",
        &[(&stream.id, Type::INT8), (&stream.user_id, Type::UUID), (&pass, Type::INT8), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("leaving files to their drives")?;
    Ok(())
}

/// Makes a drive's feed authoritative for its files that another feed of the user showed so far.
pub async fn take_over(tx: &Transaction<'_>, stream: &Stream, seen: &[SeenFile<'_>]) -> anyhow::Result<()> {
    let ours =
        |seen: &&SeenFile<'_>| seen.file.drive_id.as_deref() == Some(&stream.resource) && seen.action == Some(Action::Created);
    let ids: Vec<&str> = seen.iter().filter(ours).map(|seen| seen.file.id.as_str()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let taken = tx
        .query_typed(
            "UPDATE drive_file_access SET deleted_at = now(), permissions_known = NULL, changed_xid = DEFAULT
             WHERE user_id = $1 AND stream_id <> $2 AND file_id = ANY ($3) AND deleted_at IS NULL RETURNING stream_id, file_id",
            &[(&stream.user_id, Type::UUID), (&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("taking files over from another feed")?;
    let taken = taken.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<anyhow::Result<Vec<(i64, &str)>>>()?;
    permissions::forget(tx, stream.user_id, &taken).await
}

/// Records that the user is no longer a member of this drive.
pub async fn leave_drive(tx: &Transaction<'_>, user: Uuid, drive: &str) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE drives SET deleted_at = now(), synced_at = now() WHERE user_id = $1 AND drive_id = $2 AND deleted_at IS NULL",
        &[(&user, Type::UUID), (&drive, Type::TEXT)],
    )
    .await
    .context("leaving a drive")?;
    Ok(())
}

/// Returns the files of a drive that the user has left, and that the user's own feed also showed, to that feed. Its next polls check whether the
/// user still sees them: by a full pass, and by the ids of the files that it does not list.
pub async fn give_back(tx: &Transaction<'_>, drive: &Stream) -> anyhow::Result<()> {
    let own = tx
        .query_typed_opt(
            "SELECT id FROM streams WHERE user_id = $1 AND service = $2 AND kind = $3 AND resource = $4",
            &[(&drive.user_id, Type::UUID), (&REGISTERED.service, Type::TEXT), (&CHANGES, Type::TEXT), (&MY_DRIVE, Type::TEXT)],
        )
        .await
        .context("looking for the user's own feed")?;
    let Some(own) = own else { return Ok(()) };
    let own: i64 = own.try_get(0)?;
    let back = tx
        .execute_typed(
            "UPDATE drive_file_access a SET deleted_at = NULL, changed_xid = DEFAULT FROM drive_file_access d
             WHERE a.stream_id = $2 AND d.stream_id = $1 AND d.file_id = a.file_id AND d.deleted_at IS NULL AND a.deleted_at IS NOT NULL",
            &[(&drive.id, Type::INT8), (&own, Type::INT8)],
        )
        .await
        .context("giving files back to the user's own feed")?;
    // Files left to a drive whose feed never showed them: the user's own feed lists them again.
    let unseen = tx
        .query_typed(
            "DELETE FROM drive_file_access a
             WHERE a.stream_id = $2 AND a.deleted_at IS NOT NULL AND a.content_key = ''
               AND NOT EXISTS (SELECT 1 FROM drive_file_access d
                 WHERE d.user_id = $1 AND d.file_id = a.file_id AND d.stream_id <> $2 AND d.deleted_at IS NULL)
             RETURNING a.file_id",
            &[(&drive.user_id, Type::UUID), (&own, Type::INT8)],
        )
        .await
        .context("looking for files that no feed showed")?;
    let unseen = unseen.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    items::ask_for(tx, own, &unseen, "left to a shared drive whose feed never showed it: requested by its id").await?;
    if back > 0 || !unseen.is_empty() {
        tx.execute_typed(
            "UPDATE streams SET full_pass_at = 'epoch', due_at = least(due_at, now()) WHERE id = $1 AND full_pass_at IS NOT NULL",
            &[(&own, Type::INT8)],
        )
        .await
        .context("making a full pass due")?;
    }
    Ok(())
}
