//! Which of a user's drives may be incomplete: reported on stderr by `drive list` and `drive show`.

use serde::Serialize;
use uuid::Uuid;

use crate::commands::complain;
use crate::engine::Context;
use crate::services::drive::browse::gaps::{self, Gap};

/// A drive whose files may be missing or outdated.
#[derive(Debug, Serialize)]
pub struct Incomplete {
    /// Its name; `None`: the user has none yet.
    pub drive: Option<String>,
    pub reason: String,
}

/// The drives of a user that may be incomplete; reports each on stderr.
///
/// # Errors
/// Returns an error of the database.
pub async fn report(context: &Context, user: Uuid) -> anyhow::Result<Vec<Incomplete>> {
    let found = gaps::incomplete(&context.pool, user).await?;
    let found: Vec<_> = found.into_iter().map(|gap| Incomplete { drive: gap.drive, reason: reason(gap.why) }).collect();
    for Incomplete { drive, reason } in &found {
        let drive = drive.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        complain(format!("files may be missing or outdated: {drive}{reason}"));
    }
    Ok(found)
}

fn reason(gap: Gap) -> String {
    match gap {
        Gap::NoDrive => "no drive has been synced yet".into(),
        Gap::NotSynced(state) => format!("it is not synced ({state})"),
        Gap::NotListed => "its first full pass is not complete".into(),
        Gap::BeingListed => "a full pass is in progress".into(),
        Gap::Failing => "its last poll failed: `syncctl sync explain` shows why".into(),
        Gap::Unread => "files could not be read: see `syncctl items list`".into(),
        Gap::NotFilled => "owners and permissions are read by its next full pass: `syncctl resync` begins it now".into(),
    }
}
