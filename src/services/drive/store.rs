//! Writes a page of files: the files, who sees them, and their documents. No network access.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;

use super::action::{self, Action};
use super::last_seen::SeenFile;
use super::{Change, MY_DRIVE, access, documents, files, shared, watches};
use crate::config::DriveDocuments;
use crate::db::{items, streams};
use crate::engine::{Counts, Item, Stream};

/// Writes a page of files.
pub async fn apply(
    tx: &Transaction<'_>,
    followed: DriveDocuments,
    stream: &Stream,
    pass: Option<i64>,
    items: &[Item<Change>],
) -> anyhow::Result<Counts> {
    // The last change of a file counts. Files are written in the order of their ids, because feeds of several users show the same files.
    let latest: BTreeMap<&str, &Item<Change>> = items.iter().map(|item| (item.id.as_str(), item)).collect();
    let ids: Vec<&str> = latest.keys().copied().collect();
    let known = access::known(tx, stream, &ids).await?;
    let others = shared::others(tx, stream, &latest).await?;
    let (mut seen, mut lost, mut left_to_drives, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Counts::default());
    for (id, item) in &latest {
        match &item.change {
            Change::File(file, _) if others.left_to_drives.contains(*id) => {
                left_to_drives.push(file.id.as_str());
                counts.unchanged += 1;
            }
            Change::File(file, content) => {
                let own = known.get(*id);
                let action = action::since(own, file);
                match action {
                    None => counts.unchanged += 1,
                    Some(Action::Created) => counts.created += 1,
                    Some(_) => counts.updated += 1,
                }
                let other = others.known.get(*id).filter(|_| own.is_none_or(|own| own.lost));
                let news = other.map_or(action, |other| action::since(Some(other), file));
                seen.push(SeenFile { file, raw: item.raw.get(), content, action, news });
            }
            Change::Removed if known.get(*id).is_some_and(|known| !known.lost) => lost.push(*id),
            Change::Removed => counts.unchanged += 1,
            Change::Drive(_) | Change::Other => {}
        }
    }
    let news: Vec<&SeenFile<'_>> = seen.iter().filter(|seen| seen.action.is_some()).collect();
    let same: Vec<&str> = seen.iter().filter(|seen| seen.action.is_none()).map(|seen| seen.file.id.as_str()).collect();
    files::upsert(tx, &news, &lost).await?;
    access::upsert(tx, stream, pass, &news).await?;
    if let Some(pass) = pass {
        access::stamp(tx, stream, pass, &same).await?;
    }
    shared::leave(tx, stream, pass, &left_to_drives).await?;
    shared::take_over(tx, stream, &seen).await?;
    if followed == DriveDocuments::All {
        watches::follow(tx, stream.user_id, &seen).await?;
    }
    documents::update(tx, stream, &seen).await?;
    counts.deleted = access::lose(tx, stream, &lost).await?;
    Ok(counts)
}

/// Marks files that a complete pass of a shared drive did not name as lost. Files that a pass of My Drive did not name may still be visible, so
/// they are requested by id: Google lists files that the user created, opened or was given directly, but not those in a folder shared with them.
/// A feed that is `gone` is not polled until the list of drives names it again.
pub async fn sweep(tx: &Transaction<'_>, stream: &Stream, pass: i64, gone: bool) -> anyhow::Result<Counts> {
    if gone {
        streams::retire(tx, stream.id).await?;
        shared::leave_drive(tx, stream.user_id, &stream.resource).await?;
        shared::give_back(tx, stream).await?;
        items::forget(tx, stream.id, None).await?;
    }
    items::doubt(tx, stream.id, pass).await?;
    if stream.resource == MY_DRIVE {
        access::doubt(tx, stream, pass).await?;
        return Ok(Counts::default());
    }
    Ok(Counts { deleted: access::lose_all(tx, stream, Some(pass)).await?, ..Counts::default() })
}
