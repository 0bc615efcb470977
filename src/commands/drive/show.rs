//! `syncctl drive show`: everything that is stored of one file, as a user sees it.

use serde::Serialize;
use uuid::Uuid;

use super::incomplete::{self, Incomplete};
use super::list::{owner, shared, time};
use crate::commands::{Output, table, users};
use crate::engine::Context;
use crate::error::{Exit, Fault, one_line};
use crate::nul;
use crate::services::drive::browse::details::{self, FullEntry};
use crate::services::drive::permissions::Permission;
use crate::state::PermissionsKnown;
use crate::zone::Zone;

/// Arguments of `drive show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// User, by UUID or address
    user: String,
    /// File, by Google's id
    #[arg(value_name = "FILE_ID")]
    file: String,
}

#[derive(Debug, Serialize)]
struct Shown {
    user_id: Uuid,
    #[serde(flatten)]
    file: FullEntry,
    /// Drives of which files may be missing or outdated.
    incomplete: Vec<Incomplete>,
}

/// Runs the command. Exit code 1 if what is shown may be outdated.
pub async fn run(context: &Context, args: &Args, output: Output) -> anyhow::Result<Exit> {
    let user_id = users::find(context, &args.user).await?;
    if nul::is_in(&args.file) {
        return Err(Fault::usage(format!("the file id {}", nul::REFUSED)).into());
    }
    let incomplete = incomplete::report(context, user_id).await?;
    let Some(file) = details::read(&context.pool, user_id, &args.file).await? else {
        return Err(Fault::usage(format!("the user sees no file {}: give an id from `syncctl drive list`", args.file)).into());
    };
    let shown = Shown { user_id, file, incomplete };
    output.print(&shown, || text(&shown.file, Zone::of_this_machine()))?;
    Ok(if shown.incomplete.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

fn text(file: &FullEntry, zone: Zone) -> String {
    let entry = &file.entry;
    let at = |at: Option<chrono::DateTime<chrono::Utc>>| Some(format!("{} {zone}", time(zone.at(at?))));
    let by = file.last_modified_by.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
    let is = |flag: Option<bool>, word: &str| flag.unwrap_or_default().then(|| word.to_owned());
    let flags = [is(entry.starred, "starred"), is(Some(entry.trashed), "in the trash")];
    let flags: Vec<String> = flags.into_iter().flatten().collect();
    let rows = [
        ("name", entry.name.clone()),
        ("path", Some(entry.location())),
        ("type", entry.mime_type.clone()),
        ("size", entry.size.map(|size| format!("{size} bytes"))),
        ("owner", Some(owner(entry))),
        ("shared", Some(shared(entry).to_owned())),
        ("state", (!flags.is_empty()).then(|| flags.join(", "))),
        ("created", at(entry.created_at)),
        ("modified", at(entry.modified_at).map(|at| at + &by)),
        ("version", version(file)),
        ("shortcut", file.shortcut_target_id.as_ref().map(|id| shortcut(id, file.shortcut_target_mime_type.as_deref()))),
        ("link", entry.web_view_link.clone()),
        ("document", Some(document(file))),
        ("about", file.description.clone()),
    ];
    let rows = rows.into_iter().filter_map(|(name, value)| Some(format!("{name:<10}{}\n", one_line(&value?))));
    format!("{}\n{}", rows.collect::<String>(), permissions(entry.permissions_known, &file.permissions, zone))
}

fn version(file: &FullEntry) -> Option<String> {
    let parts = [
        file.version.map(|version| version.to_string()),
        file.head_revision_id.as_ref().map(|revision| format!("revision {revision}")),
        file.md5_checksum.as_ref().map(|sum| format!("MD5 {sum}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn shortcut(id: &str, mime: Option<&str>) -> String {
    mime.map_or_else(|| format!("to {id}"), |mime| format!("to {id} ({mime})"))
}

fn document(file: &FullEntry) -> String {
    match (&file.document, file.is_followed) {
        (None, false) => "none: see `syncctl drive watch-file add`".into(),
        (None, true) => "none yet: the next poll creates it".into(),
        (Some(document), _) => {
            let of = document.file_version.map(|version| format!(" of version {version}")).unwrap_or_default();
            let note = document.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
            format!("{}, version {}{of}, {}{note}", document.id, document.version, document.status)
        }
    }
}

fn permissions(known: Option<PermissionsKnown>, list: &[Permission], zone: Zone) -> String {
    let note = match known {
        Some(PermissionsKnown::All) => String::new(),
        Some(PermissionsKnown::Some) => format!("only the first {} permissions are stored", list.len()),
        Some(PermissionsKnown::Ids) => {
            format!("{} permissions, of which Google shows only the ids, as in shared drives", list.len())
        }
        Some(PermissionsKnown::None) => "Google does not show the permissions to this user, who may not share the file".into(),
        None => "the permissions have not been read yet".into(),
    };
    if matches!(known, Some(PermissionsKnown::Ids | PermissionsKnown::None) | None) {
        return note;
    }
    let mut table = table(&["permission", "role", "name", "remarks"]);
    for one in list {
        let who = one.email.as_deref().or(one.domain.as_deref()).map(|name| format!(" {name}")).unwrap_or_default();
        table.add_row([
            one_line(&format!("{}{who}", one.grantee.as_deref().unwrap_or("unknown"))),
            one_line(one.role.as_deref().unwrap_or_default()),
            one_line(one.display_name.as_deref().unwrap_or_default()),
            remarks(one, zone),
        ]);
    }
    format!("{}\n{note}", table.trim_fmt())
}

fn remarks(one: &Permission, zone: Zone) -> String {
    let remarks = [
        one.inherited.unwrap_or_default().then(|| "inherited".to_owned()),
        one.allow_file_discovery.unwrap_or_default().then(|| "found by search".to_owned()),
        one.pending_owner.then(|| "will own it".to_owned()),
        one.deleted.then(|| "deleted account".to_owned()),
        one.expires_at.map(|at| format!("until {} {zone}", time(zone.at(at)))),
    ];
    remarks.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
