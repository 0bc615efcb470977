//! Which of a user's drives may be incomplete: reported on stderr by `drive list` and `drive show`.

use serde::Serialize;
use uuid::Uuid;

use crate::commands::complain;
use crate::commands::completeness::reason;
use crate::db::completeness::{self, Feed};
use crate::engine::Context;
use crate::services::drive::{CHANGES, LIST, REGISTERED};

/// A drive whose files may be missing or outdated.
#[derive(Debug, Serialize)]
pub struct Incomplete {
    /// Its name; `None`: the user has none yet.
    pub drive: Option<String>,
    pub reason: String,
}

/// The drives of a user that may be incomplete, and their list; reports each on stderr.
///
/// # Errors
/// Returns an error of the database.
pub async fn report(context: &Context, user: Uuid) -> anyhow::Result<Vec<Incomplete>> {
    let feeds = completeness::of_user(&context.pool, REGISTERED.service, user).await?;
    let has_drive = feeds.iter().any(|feed| feed.kind == CHANGES);
    let incomplete = feeds.iter().filter_map(|feed| Some(Incomplete { drive: Some(name(feed)), reason: reason(feed)? }));
    let mut incomplete: Vec<Incomplete> = incomplete.collect();
    if !has_drive && incomplete.is_empty() {
        incomplete.push(Incomplete { drive: None, reason: "no drive has been synced yet".into() });
    }
    for Incomplete { drive, reason } in &incomplete {
        let drive = drive.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        complain(format!("files may be missing or outdated: {drive}{reason}"));
    }
    Ok(incomplete)
}

fn name(feed: &Feed) -> String {
    match feed.kind.as_str() {
        LIST => "the list of shared drives".into(),
        _ => feed.name.as_ref().unwrap_or(&feed.resource).clone(),
    }
}
