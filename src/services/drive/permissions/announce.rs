//! Outbox events for changed permissions: an opt-in type, written in the transaction of the change. No network access.

use std::collections::{HashMap, HashSet};

use deadpool_postgres::Transaction;
use serde_json::{Map, Value, json};

use super::{Permission, PermissionChange};
use crate::db::outbox::{self, ItemEvent, short};
use crate::engine::Stream;
use crate::services::drive::last_seen::SeenFile;

const CHANGED: &str = "drive.permission.changed";
/// All opt-in event types of Drive.
pub const OPT_IN: [&str; 1] = [CHANGED];
/// Maximum number of permissions in a list of an event.
const MAX_LISTED: usize = 100;

/// Writes one event for each of these files.
///
/// # Errors
/// Returns an error of the database.
pub async fn announce(
    tx: &Transaction<'_>,
    requested: &HashSet<&'static str>,
    stream: &Stream,
    seen: &[&SeenFile<'_>],
    changes: &[PermissionChange],
) -> anyhow::Result<()> {
    if !requested.contains(CHANGED) || changes.is_empty() {
        return Ok(());
    }
    let files: HashMap<&str, &SeenFile<'_>> = seen.iter().map(|seen| (seen.file.id.as_str(), *seen)).collect();
    let event = |change: &PermissionChange| ItemEvent {
        kind: CHANGED,
        stream: stream.id,
        item: change.file_id.clone(),
        user: stream.user_id,
        id: None,
        about: about(change, files.get(change.file_id.as_str()).copied()),
    };
    outbox::emit_of_items(tx, &changes.iter().map(event).collect::<Vec<_>>()).await
}

fn about(change: &PermissionChange, seen: Option<&SeenFile<'_>>) -> Map<String, Value> {
    let file = seen.map(|seen| {
        let file = seen.file;
        json!({ "name": file.name.as_deref().map(short), "mime_type": file.mime_type, "web_view_link": file.web_view_link })
    });
    let list = |permissions: &[Permission]| permissions.iter().take(MAX_LISTED).map(shown).collect::<Value>();
    let changed = change.differences.changed.iter().take(MAX_LISTED);
    let changed: Value = changed.map(|(before, after)| json!({ "before": shown(before), "after": shown(after) })).collect();
    Map::from_iter([
        ("file_id".into(), change.file_id.as_str().into()),
        ("file".into(), file.into()),
        ("added".into(), list(&change.differences.added)),
        ("removed".into(), list(&change.differences.removed)),
        ("changed".into(), changed),
    ])
}

/// A permission as events show it. In shared drives only the id is known.
fn shown(one: &Permission) -> Value {
    json!({
        "permission_id": one.id, "type": one.grantee, "role": one.role, "email": one.email, "domain": one.domain,
        "display_name": one.display_name.as_deref().map(short), "expires_at": one.expires_at, "inherited": one.inherited,
    })
}
