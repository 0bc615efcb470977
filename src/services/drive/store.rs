//! Writes a page of files: the files, who sees them, their permissions, and their documents. No network access.

use std::collections::{BTreeMap, HashSet};

use deadpool_postgres::Transaction;

use super::action::{self, Action, LastSeen};
use super::file::{Content, File};
use super::last_seen::SeenFile;
use super::permissions::announce::announce;
use super::permissions::store as permissions;
use super::{Change, MY_DRIVE, access, documents, files, shared, watches};
use crate::config::DriveDocuments;
use crate::db::{items, streams};
use crate::engine::{Counts, Item, Stream};

/// Writes a page of files. `requested`: the opt-in event types that targets ask for.
pub async fn apply(
    tx: &Transaction<'_>,
    requested: &HashSet<&'static str>,
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
                let file = compared(item, (file, content), known.get(*id), others.known.get(*id), pass);
                match file.action {
                    None => counts.unchanged += 1,
                    Some(Action::Created) => counts.created += 1,
                    Some(_) => counts.updated += 1,
                }
                seen.push(file);
            }
            Change::Removed if known.get(*id).is_some_and(|known| !known.lost) => lost.push(*id),
            Change::Removed => counts.unchanged += 1,
            Change::Drive(_) | Change::Other => {}
        }
    }
    let (news, same): (Vec<&SeenFile<'_>>, Vec<&SeenFile<'_>>) = seen.iter().partition(|seen| seen.is_written);
    files::upsert(tx, &news, &lost).await?;
    access::upsert(tx, stream, pass, &news).await?;
    let changes = permissions::replace(tx, stream, &news).await?;
    if let Some(pass) = pass {
        let same: Vec<&str> = same.iter().map(|seen| seen.file.id.as_str()).collect();
        access::stamp(tx, stream, pass, &same).await?;
    }
    shared::leave(tx, stream, pass, &left_to_drives).await?;
    shared::take_over(tx, stream, &seen).await?;
    if followed == DriveDocuments::All {
        watches::follow(tx, stream.user_id, &seen).await?;
    }
    let watches = documents::watches(tx, stream.user_id, &seen).await?;
    announce(tx, requested, stream, &news, &changes).await?;
    counts.permissions = changes.iter().filter(|change| watches.contains_key(&change.file_id)).count() as u64;
    documents::update(tx, stream, &seen, &watches).await?;
    counts.deleted = access::lose(tx, stream, &lost).await?;
    Ok(counts)
}

/// Compares a file with its last state in this feed (`own`), and in another feed of the same user (`other`).
fn compared<'a>(
    item: &'a Item<Change>,
    (file, content): (&'a File, &'a Content),
    own: Option<&LastSeen>,
    other: Option<&LastSeen>,
    pass: Option<i64>,
) -> SeenFile<'a> {
    let action = action::since(own, file);
    let own = own.filter(|own| !own.lost);
    let is_unread = own.is_some_and(|own| own.permissions.is_none());
    let is_written = action.is_some() || (is_unread && own.is_some_and(|own| own.version == file.version));
    // A row of an earlier version lacks columns. That they are read now is no change, even if the version has risen unseen, as it does for anything;
    // only a feed says that something has happened.
    let is_announced = pass.is_none() && item.changed_at.is_some();
    let action = action.filter(|action| !is_unread || is_announced || *action != Action::Metadata);
    let news = match other.filter(|_| own.is_none()) {
        Some(other) => action::since(Some(other), file),
        None => action,
    };
    SeenFile { file, raw: item.raw.get(), content, action, news, is_written, permissions: own.and_then(|own| own.permissions) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::PermissionsKnown;
    use chrono::Utc;
    use serde_json::value::RawValue;

    /// Action, news, and whether it is written, of a file at version 2, named "x".
    fn seen(own: &LastSeen, is_announced: bool, pass: Option<i64>) -> (Option<Action>, Option<Action>, bool) {
        let file = File { id: "a".into(), name: Some("x".into()), version: Some(2), ..File::default() };
        let raw = RawValue::from_string("{}".into()).expect("JSON");
        let item = Item { id: "a".into(), changed_at: is_announced.then(Utc::now), raw, change: Change::Other };
        let seen = compared(&item, (&file, &Content::Unread), Some(own), None, pass);
        (seen.action, seen.news, seen.is_written)
    }

    #[test]
    fn a_row_of_an_earlier_version_is_filled_without_a_change() {
        let name = |name: &str| Some(name.to_owned());
        let unread = |version| LastSeen { name: name("x"), version: Some(version), ..LastSeen::default() };
        let read = |version| LastSeen { permissions: Some(PermissionsKnown::None), ..unread(version) };
        for (own, is_announced, pass, expected) in [
            // The same version: written once.
            (unread(2), true, Some(1), (None, None, true)),
            (unread(2), true, None, (None, None, true)),
            (read(2), true, Some(1), (None, None, false)),
            // An older answer.
            (unread(3), true, Some(1), (None, None, false)),
            // The version has risen, and nothing that was known has changed.
            (unread(1), true, Some(1), (None, None, true)),
            (unread(1), false, None, (None, None, true)),
            (unread(1), true, None, (Some(Action::Metadata), Some(Action::Metadata), true)),
            (read(1), true, Some(1), (Some(Action::Metadata), Some(Action::Metadata), true)),
            // A change that the pass finds is reported.
            (LastSeen { name: name("y"), ..unread(1) }, true, Some(1), (Some(Action::Renamed), Some(Action::Renamed), true)),
        ] {
            assert_eq!(seen(&own, is_announced, pass), expected, "{own:?} {is_announced} {pass:?}");
        }
    }
}
