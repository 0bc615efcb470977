//! Documents of followed files, and their events. No network access.

use std::collections::HashMap;

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::REGISTERED;
use super::action::Action;
use super::file::{Content, File};
use super::last_seen::SeenFile;
use crate::db::documents::{self, Document};
use crate::db::outbox::{self, Event};
use crate::engine::Stream;

/// A row of `drive_file_watches`.
pub struct Watch {
    document: Uuid,
    project: Option<Uuid>,
    /// The file version that the document shows; absent if there is no document yet, or the file was lost since.
    document_version: Option<i64>,
    content_key: Option<String>,
    note: Option<String>,
}

/// Updates the documents of the followed files among these.
pub async fn update(
    tx: &Transaction<'_>,
    stream: &Stream,
    seen: &[SeenFile<'_>],
    watches: &HashMap<String, Watch>,
) -> anyhow::Result<()> {
    let (mut events, mut up_to_date, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for seen in seen {
        if let Content::Later { after: Some(after), .. } = seen.content {
            later.push((seen.file.id.as_str(), after.as_secs_f64()));
        }
        let Some(watch) = watches.get(&seen.file.id) else { continue };
        let Some((event, key)) = put(tx, stream.user_id, seen, watch).await? else { continue };
        events.extend(event);
        up_to_date.push((seen.file, key));
    }
    outbox::emit(tx, &events).await?;
    remember_versions(tx, stream.user_id, &up_to_date).await?;
    put_off(tx, stream.user_id, &later).await
}

/// Stores when to request content again that a limit withheld.
async fn put_off(tx: &Transaction<'_>, user: Uuid, files: &[(&str, f64)]) -> anyhow::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let (ids, waits): (Vec<&str>, Vec<f64>) = files.iter().copied().unzip();
    tx.execute_typed(
        "UPDATE drive_file_watches w SET retry_at = now() + make_interval(secs => t.wait)
         FROM unnest($2::text[], $3::float8[]) AS t (file_id, wait) WHERE w.user_id = $1 AND w.file_id = t.file_id",
        &[(&user, Type::UUID), (&ids, Type::TEXT_ARRAY), (&waits, Type::FLOAT8_ARRAY)],
    )
    .await
    .context("postponing content")?;
    Ok(())
}

/// The followed files among these, by id.
pub async fn watches(tx: &Transaction<'_>, user: Uuid, seen: &[SeenFile<'_>]) -> anyhow::Result<HashMap<String, Watch>> {
    let ids: Vec<&str> = seen.iter().map(|seen| seen.file.id.as_str()).collect();
    let rows = tx
        .query_typed(
            // Not a join: without table statistics, PostgreSQL would read all documents of the source.
            "SELECT w.file_id, w.document_id, w.project_id, w.told_version, w.content_key,
               (SELECT d.note FROM documents d WHERE d.source = $3 AND d.source_id = w.file_id AND d.user_id = w.user_id)
             FROM drive_file_watches w
             WHERE w.user_id = $1 AND w.file_id = ANY ($2)",
            &[(&user, Type::UUID), (&ids, Type::TEXT_ARRAY), (&REGISTERED.service, Type::TEXT)],
        )
        .await
        .context("reading which files are followed")?;
    rows.iter()
        .map(|row| {
            let watch = Watch {
                document: row.try_get(1)?,
                project: row.try_get(2)?,
                document_version: row.try_get(3)?,
                content_key: row.try_get(4)?,
                note: row.try_get(5)?,
            };
            Ok((row.try_get(0)?, watch))
        })
        .collect()
}

/// Stores the document of a file. Returns its event, if there is one, and the key of the content that the document holds now. `None` if there
/// is nothing to do yet.
async fn put(
    tx: &Transaction<'_>,
    user: Uuid,
    seen: &SeenFile<'_>,
    watch: &Watch,
) -> anyhow::Result<Option<(Option<Event>, Option<String>)>> {
    let SeenFile { file, content, .. } = seen;
    // An older version can arrive last, in a delayed answer: the document shows a newer one.
    if file.version.is_some() && file.version < watch.document_version {
        return Ok(None);
    }
    let key = file.content_key();
    let moved = watch.content_key.as_deref() != Some(&key);
    // Do not create an empty document; the next poll brings the content with it.
    if watch.document_version.is_none() && moved && matches!(content, Content::Unread) {
        return Ok(None);
    }
    let happened = happened(seen, watch);
    let read = !matches!(content, Content::Unread);
    if happened.is_none() && !(read && moved) {
        return Ok(None);
    }
    // The text decides whether the file was edited if its time changed with its name, or if the text arrives later than the change.
    let edited = match content {
        Content::Text { body, .. } => moved && !documents::holds(tx, user, REGISTERED.service, &file.id, body).await?,
        Content::Unread | Content::Absent(_) | Content::Later { .. } => false,
    };
    let stored = documents::put(tx, &document(user, seen, watch)).await?;
    let happened = match happened {
        None | Some(Action::Renamed | Action::Moved | Action::Metadata) if edited => Some(Action::Modified),
        happened => happened,
    };
    // A second event, `modified`, then follows for the same version.
    let text_follows = moved && matches!(content, Content::Unread | Content::Later { .. });
    let event = happened.map(|action| {
        let mut about = about(&file.id, action, shown(file));
        if text_follows {
            about.insert("text_follows".to_owned(), json!(true));
        }
        Event { kind: action.event(), document: stored.id, user, project: watch.project, about }
    });
    let held = match content {
        Content::Text { .. } | Content::Absent(_) => Some(key),
        Content::Unread | Content::Later { .. } => None,
    };
    Ok(Some((event, held)))
}

/// Returns the action to report, from the feed and the version that the document shows. Does not consider whether the text has changed.
fn happened(seen: &SeenFile<'_>, watch: &Watch) -> Option<Action> {
    match (watch.document_version, seen.news) {
        (None, _) => Some(Action::Created),
        // Another feed of the same user has reported it already.
        (Some(before), Some(_)) if seen.file.version.is_some_and(|version| version <= before) => None,
        // It moved here from another drive of the same user.
        (Some(_), Some(Action::Created)) => Some(Action::Moved),
        (Some(_), news) => news,
    }
}

/// The document of a file. Without a body, the stored one stays.
fn document<'a>(user: Uuid, seen: &'a SeenFile<'_>, watch: &'a Watch) -> Document<'a> {
    let file = seen.file;
    let (body, note) = match seen.content {
        Content::Unread => (None, watch.note.as_deref()),
        Content::Text { body, note } => (Some(body.as_str()), note.as_deref()),
        Content::Absent(note) => (None, note.as_deref()),
        Content::Later { note, .. } => (None, Some(note.as_str())),
    };
    Document {
        id: Some(watch.document),
        user,
        source: REGISTERED.service,
        source_id: &file.id,
        kind: "file",
        project: watch.project,
        title: file.name.as_deref(),
        author: file.last_modifying_user.as_ref().and_then(|person| person.display_name.as_deref()),
        occurred_at: file.modified_time,
        mime_type: file.mime_type.as_deref(),
        snippet: None,
        body,
        details: json!({
            "drive_id": file.drive_id, "parents": file.parents, "size": file.size, "trashed": file.trashed,
            "web_view_link": file.web_view_link,
        }),
        note,
    }
}

/// Stores the versions that the documents show now, and the content keys of those whose content was read.
async fn remember_versions(tx: &Transaction<'_>, user: Uuid, files: &[(&File, Option<String>)]) -> anyhow::Result<()> {
    if files.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = files.iter().map(|(file, _)| file.id.as_str()).collect();
    let versions: Vec<i64> = files.iter().map(|(file, _)| file.version.unwrap_or(0)).collect();
    let keys: Vec<Option<&str>> = files.iter().map(|(_, key)| key.as_deref()).collect();
    tx.execute_typed(
        "UPDATE drive_file_watches w SET told_version = t.version, content_key = coalesce(t.content_key, w.content_key)
         FROM unnest($2::text[], $3::bigint[], $4::text[]) AS t (file_id, version, content_key)
         WHERE w.user_id = $1 AND w.file_id = t.file_id",
        &[(&user, Type::UUID), (&ids, Type::TEXT_ARRAY), (&versions, Type::INT8_ARRAY), (&keys, Type::TEXT_ARRAY)],
    )
    .await
    .context("storing the versions of documents")?;
    Ok(())
}

/// Marks the documents of files that a user no longer sees as deleted, whether still followed or not, and emits one event each.
pub async fn remove(tx: &Transaction<'_>, user: Uuid, ids: &[&str]) -> anyhow::Result<()> {
    let retired = documents::retire(tx, REGISTERED.service, ids, Some(user)).await?;
    tx.execute_typed(
        "UPDATE drive_file_watches SET told_version = NULL WHERE user_id = $1 AND file_id = ANY ($2)",
        &[(&user, Type::UUID), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("forgetting the versions of documents")?;
    if retired.is_empty() {
        return Ok(());
    }
    // From the document: this user must not see later changes of the file by other users.
    let rows = tx
        .query_typed(
            "SELECT d.source_id, jsonb_build_object('name', d.title, 'mime_type', d.mime_type, 'size', d.details -> 'size',
               'version', (SELECT max(a.version) FROM drive_file_access a WHERE a.file_id = d.source_id AND a.user_id = d.user_id),
               'modified_time', d.occurred_at, 'web_view_link', d.details -> 'web_view_link')
             FROM documents d WHERE d.source = $1 AND d.source_id = ANY ($2) AND d.user_id = $3",
            &[(&REGISTERED.service, Type::TEXT), (&ids, Type::TEXT_ARRAY), (&user, Type::UUID)],
        )
        .await
        .context("reading the documents of lost files")?;
    let mut files: HashMap<&str, Value> = HashMap::new();
    for row in &rows {
        files.insert(row.try_get(0)?, row.try_get(1)?);
    }
    let events: Vec<Event> = retired
        .into_iter()
        .map(|gone| Event {
            kind: Action::Removed.event(),
            document: gone.id,
            user: gone.user,
            project: gone.project,
            about: about(&gone.source_id, Action::Removed, files.remove(gone.source_id.as_str()).unwrap_or_default()),
        })
        .collect();
    outbox::emit(tx, &events).await
}

fn shown(file: &File) -> Value {
    json!({
        "name": file.name, "mime_type": file.mime_type, "size": file.size, "version": file.version,
        "modified_time": file.modified_time, "web_view_link": file.web_view_link,
    })
}

fn about(file_id: &str, action: Action, file: Value) -> Map<String, Value> {
    Map::from_iter([
        ("file_id".to_owned(), json!(file_id)),
        ("action".to_owned(), json!(action.name())),
        ("file".to_owned(), file),
    ])
}

/// Makes the next polls read content again that `drive.content_max_size` withheld or cut.
pub async fn distrust_limits(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE drive_file_watches w SET content_key = NULL FROM documents d
         WHERE w.user_id = $1 AND d.source = $2 AND d.source_id = w.file_id AND d.user_id = w.user_id
           AND d.note LIKE '%drive.content_max_size%'",
        &[(&user, Type::UUID), (&REGISTERED.service, Type::TEXT)],
    )
    .await
    .context("distrusting content that a limit withheld")?;
    Ok(())
}
