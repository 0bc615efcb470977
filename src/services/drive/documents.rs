//! Documents of the files that users follow, and one event for each thing that happens to them. Knows no network.

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
struct Watch {
    document: Uuid,
    project: Option<Uuid>,
    /// Of the file, as the document tells it; absent: there is none yet, or the file was lost since.
    told_version: Option<i64>,
    content_key: Option<String>,
    note: Option<String>,
}

/// Brings the documents of the followed ones among these files up to date.
pub async fn update(tx: &Transaction<'_>, stream: &Stream, told: &[SeenFile<'_>]) -> anyhow::Result<()> {
    let ids: Vec<&str> = told.iter().map(|told| told.file.id.as_str()).collect();
    let watches = watches(tx, stream.user_id, &ids).await?;
    let (mut events, mut up_to_date, mut later) = (Vec::new(), Vec::new(), Vec::new());
    for told in told {
        if let Content::Later { after: Some(after), .. } = told.content {
            later.push((told.file.id.as_str(), after.as_secs_f64()));
        }
        let Some(watch) = watches.get(&told.file.id) else { continue };
        let Some((event, key)) = put(tx, stream.user_id, told, watch).await? else { continue };
        events.extend(event);
        up_to_date.push((told.file, key));
    }
    outbox::emit(tx, &events).await?;
    told_of(tx, stream.user_id, &up_to_date).await?;
    put_off(tx, stream.user_id, &later).await
}

/// Remembers when content is asked for again that a limit kept back.
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
    .context("putting content off")?;
    Ok(())
}

async fn watches(tx: &Transaction<'_>, user: Uuid, ids: &[&str]) -> anyhow::Result<HashMap<String, Watch>> {
    let rows = tx
        .query_typed(
            // Not as a join: of a table that PostgreSQL has not looked at yet it would read all documents of the source.
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
                told_version: row.try_get(3)?,
                content_key: row.try_get(4)?,
                note: row.try_get(5)?,
            };
            Ok((row.try_get(0)?, watch))
        })
        .collect()
}

/// Stores the document of a file. Answers its event, if something is to be told, and the content that it holds now; `None`: there is
/// nothing to do, or not yet.
async fn put(
    tx: &Transaction<'_>,
    user: Uuid,
    told: &SeenFile<'_>,
    watch: &Watch,
) -> anyhow::Result<Option<(Option<Event>, Option<String>)>> {
    let SeenFile { file, content, .. } = told;
    // An older word can come last, from an answer that was on its way for long: the document tells a newer one.
    if file.version.is_some() && file.version < watch.told_version {
        return Ok(None);
    }
    let key = file.content_key();
    let moved = watch.content_key.as_deref() != Some(&key);
    // Whoever reads this one first must not find it empty; the next poll brings the content with it.
    if watch.told_version.is_none() && moved && matches!(content, Content::Unread) {
        return Ok(None);
    }
    let happened = happened(told, watch);
    let read = !matches!(content, Content::Unread);
    if happened.is_none() && !(read && moved) {
        return Ok(None);
    }
    // The text decides where the time of a file moved with its name, and where the text comes later than the change that brought it.
    let edited = match content {
        Content::Text { body, .. } => moved && !documents::holds(tx, user, REGISTERED.service, &file.id, body).await?,
        Content::Unread | Content::Absent(_) | Content::Later { .. } => false,
    };
    let stored = documents::put(tx, &document(user, told, watch)).await?;
    let happened = match happened {
        None | Some(Action::Renamed | Action::Moved | Action::Metadata) if edited => Some(Action::Modified),
        happened => happened,
    };
    // The same version is told again then, as modified.
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

/// What is to be told of a file, as far as its feed and what was told before say; whether its text is another one is not known here.
fn happened(told: &SeenFile<'_>, watch: &Watch) -> Option<Action> {
    match (watch.told_version, told.news) {
        (None, _) => Some(Action::Created),
        // Another feed of the same user has told it already.
        (Some(before), Some(_)) if told.file.version.is_some_and(|version| version <= before) => None,
        // It came here from another drive of the same user.
        (Some(_), Some(Action::Created)) => Some(Action::Moved),
        (Some(_), news) => news,
    }
}

/// The document of a file. Without a body, the one that is stored stays.
fn document<'a>(user: Uuid, told: &'a SeenFile<'_>, watch: &'a Watch) -> Document<'a> {
    let file = told.file;
    let (body, note) = match told.content {
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

/// Remembers what the documents tell now; a content key only where the content was read.
async fn told_of(tx: &Transaction<'_>, user: Uuid, files: &[(&File, Option<String>)]) -> anyhow::Result<()> {
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
    .context("remembering what documents tell")?;
    Ok(())
}

/// Marks the documents of files that a user does not see any more, followed or not any more; each is told once.
pub async fn remove(tx: &Transaction<'_>, user: Uuid, ids: &[&str]) -> anyhow::Result<()> {
    let retired = documents::retire(tx, REGISTERED.service, ids, Some(user)).await?;
    tx.execute_typed(
        "UPDATE drive_file_watches SET told_version = NULL WHERE user_id = $1 AND file_id = ANY ($2)",
        &[(&user, Type::UUID), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("forgetting what documents told")?;
    if retired.is_empty() {
        return Ok(());
    }
    // As the document tells it: what other users have made of the file since is none of this user's business.
    let rows = tx
        .query_typed(
            "SELECT d.source_id, jsonb_build_object('name', d.title, 'mime_type', d.mime_type, 'size', d.details -> 'size',
               'version', (SELECT max(a.version) FROM drive_file_access a WHERE a.file_id = d.source_id AND a.user_id = d.user_id),
               'modified_time', d.occurred_at, 'web_view_link', d.details -> 'web_view_link')
             FROM documents d WHERE d.source = $1 AND d.source_id = ANY ($2) AND d.user_id = $3",
            &[(&REGISTERED.service, Type::TEXT), (&ids, Type::TEXT_ARRAY), (&user, Type::UUID)],
        )
        .await
        .context("reading what a user saw of lost files")?;
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

/// Lets the next polls read content again that `drive.content_max_size` kept back or cut.
pub async fn distrust_limits(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE drive_file_watches w SET content_key = NULL FROM documents d
         WHERE w.user_id = $1 AND d.source = $2 AND d.source_id = w.file_id AND d.user_id = w.user_id
           AND d.note LIKE '%drive.content_max_size%'",
        &[(&user, Type::UUID), (&REGISTERED.service, Type::TEXT)],
    )
    .await
    .context("distrusting content that a limit kept back")?;
    Ok(())
}
