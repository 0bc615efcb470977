//! `syncctl drive list`: a user's files, from the database.

use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use serde::Serialize;
use uuid::Uuid;

use super::incomplete::{self, Incomplete};
use crate::commands::paging::Page;
use crate::commands::{Output, table, users};
use crate::config::duration;
use crate::engine::Context;
use crate::error::{Exit, Fault, one_line};
use crate::nul;
use crate::services::drive::browse::{self, Entry, Filter, Folder};
use crate::zone::Zone;

/// Arguments of `drive list`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// User, by UUID or address (default: the only one)
    user: Option<String>,
    /// Only the contents of this folder: a path such as /Plans/2026, Team:/Plans in a shared drive, / for the top, or an id
    #[arg(long, value_name = "PATH|FILE_ID")]
    folder: Option<String>,
    /// Only files that are shared with others, including those in shared drives
    #[arg(long)]
    shared: bool,
    /// Only files that this address owns
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<String>,
    /// Only files that changed within this time, such as `7days`
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    #[command(flatten)]
    page: Page,
}

#[derive(Debug, Serialize)]
struct Files {
    user_id: Uuid,
    files: Vec<Entry>,
    /// Number of files without the limit; 0 if the offset is beyond the last one.
    of: i64,
    /// Drives of which files may be missing or outdated.
    incomplete: Vec<Incomplete>,
}

/// Runs the command. Exit code 1 if files may be missing or outdated.
pub async fn run(context: &Context, args: &Args, output: Output) -> anyhow::Result<Exit> {
    let user_id = users::find_or_only(context, args.user.as_deref()).await?;
    let folder = match &args.folder {
        Some(name) => Some(folder(context, user_id, name).await?),
        None => None,
    };
    if args.owner.as_deref().is_some_and(nul::is_in) {
        return Err(Fault::usage(format!("the owner {}", nul::REFUSED)).into());
    }
    let incomplete = incomplete::report(context, user_id).await?;
    let within_seconds = args.since.map(|since| since.as_secs_f64());
    let filter = Filter { folder, shared: args.shared, owner: args.owner.as_deref(), within_seconds };
    let page = args.page;
    let (files, of) = browse::list(&context.pool, user_id, &filter, (page.limit.into(), page.offset.into())).await?;
    let files = Files { user_id, files, of, incomplete };
    let ids = files.files.iter().map(|file| file.file_id.clone());
    page.ids.print(output, &files, ids, || {
        if files.files.is_empty() { empty(&filter, page) } else { text(&files, Zone::of_this_machine()) }
    })?;
    if !files.files.is_empty() {
        page.footer(output, files.files.len(), Some(files.of));
    }
    Ok(if files.incomplete.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

async fn folder(context: &Context, user: Uuid, name: &str) -> anyhow::Result<Folder> {
    if nul::is_in(name) {
        return Err(Fault::usage(format!("the folder {}", nul::REFUSED)).into());
    }
    if name == "/" {
        return Ok(Folder::Top);
    }
    let found = browse::folders(&context.pool, user, name).await?;
    match found.as_slice() {
        [(id, _)] => Ok(Folder::Id(id.clone())),
        [] => {
            Err(Fault::usage(format!("the user sees no folder {name}: give a path as `syncctl drive list` shows it, or an id"))
                .into())
        }
        several => {
            let ids: Vec<&str> = several.iter().map(|(id, _)| id.as_str()).collect();
            Err(Fault::usage(format!("{} folders have the path {name}: give one of the ids {}", ids.len(), ids.join(", ")))
                .into())
        }
    }
}

/// Says why no files are listed.
fn empty(filter: &Filter<'_>, page: Page) -> String {
    let is_all = filter.folder.is_none() && !filter.shared && filter.owner.is_none() && filter.within_seconds.is_none();
    match (is_all, page.offset) {
        (true, 0) => "no files: the user sees none outside the trash".into(),
        (false, 0) => "no files match these options".into(),
        _ => "no files so far back in the list".into(),
    }
}

fn text(files: &Files, zone: Zone) -> String {
    let mut table = table(&["modified", "owner", "shared", "file", "path"]);
    for file in &files.files {
        table.add_row([
            file.modified_at.map(|at| time(zone.at(at))).unwrap_or_default(),
            owner(file),
            shared(file).into(),
            file.file_id.clone(),
            one_line(&file.location()),
        ]);
    }
    let rest = match files.of - files.files.len() as i64 {
        0 => String::new(),
        _ => format!(", {} files of {}", files.files.len(), files.of),
    };
    format!("{}\n\ntimes in {zone}{rest}", table.trim_fmt())
}

/// A time, to the minute.
pub fn time(at: DateTime<FixedOffset>) -> String {
    at.format("%F %H:%M").to_string()
}

/// Who owns a file.
pub fn owner(file: &Entry) -> String {
    match (file.owners(), &file.drive, file.permissions_known) {
        (owners, _, _) if !owners.is_empty() => one_line(&owners.join(", ")),
        (_, Some(drive), _) => one_line(&format!("shared drive {drive}")),
        (_, None, Some(_)) => "a shared drive".into(),
        (_, None, None) => "not read yet".into(),
    }
}

/// Whether a file is shared, in a word.
pub fn shared(file: &Entry) -> &'static str {
    match (file.shared, file.permissions_known) {
        (Some(true), _) => "yes",
        (Some(false), _) => "no",
        (None, Some(_)) => "in a drive",
        (None, None) => "not read yet",
    }
}
