//! Finishes a bot: writes its transcript, a document of it for each user of the meeting, and their events. Once per bot, and again if utterances
//! arrive late. No network access.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::SERVICE;
use super::stored;
use super::transcript::{self, Participant, Written};
use crate::db::documents::{self, Change, Document};
use crate::db::outbox::{self, Event};
use crate::state::BotState;

/// Event types.
const CREATED: &str = "attendee.transcript.created";
const UPDATED: &str = "attendee.transcript.updated";
/// The types of all events of Attendee.
pub const EVENTS: [&str; 2] = [CREATED, UPDATED];

/// A row of `attendee_bots`.
pub struct Row {
    pub id: Uuid,
    pub bot_id: String,
    pub state: BotState,
    pub raw_state: Option<String>,
    pub ended_at: Option<DateTime<Utc>>,
    pub title: Option<String>,
    pub start_at: DateTime<Utc>,
    pub end_at: Option<DateTime<Utc>>,
}

/// Length of a document's snippet in characters.
const SNIPPET: usize = 200;

/// Writes the transcript of the stored utterances, or replaces it. Without utterances it writes none. `missing` says why something may be
/// missing. Returns whether the transcript has changed.
pub async fn write_transcript(
    tx: &Transaction<'_>,
    row: &Row,
    participants: &[Participant],
    missing: Option<&str>,
) -> anyhow::Result<bool> {
    let lines = stored::lines(&**tx, row.id).await?;
    if lines.is_empty() {
        if let Some(why) = missing {
            note(tx, row, why).await?;
        }
        return Ok(false);
    }
    let written = transcript::write(&lines);
    let utterances = i32::try_from(lines.len()).unwrap_or(i32::MAX);
    let stored = tx
        .query_typed_opt(
            "INSERT INTO attendee_transcripts AS t (bot, text, duration_ms, utterances, participants, speakers, note)
             VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (bot) DO UPDATE SET text = excluded.text, duration_ms = excluded.duration_ms, utterances = excluded.utterances,
               participants = CASE WHEN excluded.participants = '[]' THEN t.participants ELSE excluded.participants END,
               speakers = excluded.speakers, note = excluded.note
             WHERE (t.text, t.duration_ms, t.utterances, t.note)
               IS DISTINCT FROM (excluded.text, excluded.duration_ms, excluded.utterances, excluded.note)
             RETURNING participants",
            &[
                (&row.id, Type::UUID),
                (&written.text, Type::TEXT),
                (&written.duration_ms, Type::INT8),
                (&utterances, Type::INT4),
                (&json!(participants), Type::JSONB),
                (&json!(written.speakers), Type::JSONB),
                (&missing, Type::TEXT),
            ],
        )
        .await
        .context("storing a transcript")?;
    let Some(stored) = stored else { return Ok(false) };
    // The participants of the first version, if the new one has none.
    let participants: Vec<Participant> = serde_json::from_value(stored.try_get(0)?).context("reading participants")?;
    write_documents(tx, row, &written, &participants, missing).await?;
    Ok(true)
}

/// Rewrites the documents of a transcript, and the transcript itself if it is missing.
pub async fn rebuild(tx: &Transaction<'_>, row: &Row) -> anyhow::Result<()> {
    let stored = tx
        .query_typed_opt("SELECT participants, note FROM attendee_transcripts WHERE bot = $1", &[(&row.id, Type::UUID)])
        .await
        .context("reading a transcript")?;
    let Some(stored) = stored else {
        // Its documents hold the participants too.
        let document = tx
            .query_typed_opt(
                "SELECT details -> 'participants', note FROM documents WHERE source = $1 AND source_id = $2 LIMIT 1",
                &[(&SERVICE, Type::TEXT), (&row.bot_id, Type::TEXT)],
            )
            .await
            .context("reading a document of a transcript")?;
        let (participants, note) = match &document {
            Some(document) => (document.try_get::<_, Option<Value>>(0)?, document.try_get(1)?),
            None => (None, None),
        };
        let participants: Vec<Participant> =
            serde_json::from_value(participants.unwrap_or_else(|| json!([]))).unwrap_or_default();
        return write_transcript(tx, row, &participants, note).await.map(drop);
    };
    let participants: Vec<Participant> = serde_json::from_value(stored.try_get(0)?).context("reading participants")?;
    let written = transcript::write(&stored::lines(&**tx, row.id).await?);
    write_documents(tx, row, &written, &participants, stored.try_get(1)?).await
}

/// Notes why a bot has no transcript, unless an error is noted already.
pub async fn note(tx: &Transaction<'_>, row: &Row, why: &str) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE attendee_bots SET last_error = coalesce(last_error, $2) WHERE id = $1",
        &[(&row.id, Type::UUID), (&why, Type::TEXT)],
    )
    .await
    .context("noting why there is no transcript")?;
    Ok(())
}

/// Handles data deleted at Attendee: an existing transcript stays; without one, the utterances are deleted.
pub async fn deleted(tx: &Transaction<'_>, row: &Row) -> anyhow::Result<()> {
    let why = "its data was deleted at Attendee";
    tx.execute_typed(
        "DELETE FROM attendee_utterances WHERE bot = $1 AND NOT EXISTS (SELECT 1 FROM attendee_transcripts WHERE bot = $1)",
        &[(&row.id, Type::UUID)],
    )
    .await
    .context("deleting utterances")?;
    write_transcript(tx, row, &[], Some(why)).await?;
    note(tx, row, why).await
}

/// Marks a bot as settled: nothing will change.
pub async fn close(tx: &Transaction<'_>, row: &Row) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE attendee_bots SET state = 'settled', ended_at = coalesce(ended_at, now()), updated_at = now() WHERE id = $1",
        &[(&row.id, Type::UUID)],
    )
    .await
    .context("closing a bot")?;
    Ok(())
}

/// Writes a document and an event for each user of the meeting.
async fn write_documents(
    tx: &Transaction<'_>,
    row: &Row,
    written: &Written,
    participants: &[Participant],
    note: Option<&str>,
) -> anyhow::Result<()> {
    let rows = tx
        .query_typed(
            "SELECT DISTINCT ON (bm.user_id) bm.user_id, m.id, m.project_id
             FROM attendee_bot_meetings bm LEFT JOIN meetings m ON m.stream_id = bm.stream_id AND m.event_id = bm.meeting_event_id
             WHERE bm.bot = $1
             -- Of several calendars, prefer the user's own row.
             ORDER BY bm.user_id, m.user_id = bm.user_id DESC NULLS LAST, m.id",
            &[(&row.id, Type::UUID)],
        )
        .await
        .context("reading the users of a meeting")?;
    let mut events = Vec::new();
    for one in &rows {
        let (user, meeting, project): (Uuid, Option<Uuid>, Option<Uuid>) = (one.try_get(0)?, one.try_get(1)?, one.try_get(2)?);
        let document = Document {
            id: None,
            user,
            source: SERVICE,
            source_id: &row.bot_id,
            kind: "transcript",
            project,
            title: row.title.as_deref(),
            author: None,
            occurred_at: Some(row.start_at),
            mime_type: Some("text/plain"),
            snippet: Some(beginning(&written.text)),
            body: Some(&written.text),
            details: details(row, written, participants, meeting),
            note,
        };
        let stored = documents::put(tx, &document).await?;
        let kind = match stored.change {
            Change::Created => Some(CREATED),
            Change::Updated => Some(UPDATED),
            Change::Unchanged => None,
        };
        if let Some(kind) = kind {
            events.push(Event { kind, document: stored.id, user, project, about: about(row, written, participants, meeting) });
        }
    }
    outbox::emit(tx, &events).await
}

fn beginning(text: &str) -> &str {
    text.char_indices().nth(SNIPPET).map_or(text, |(at, _)| &text[..at])
}

fn details(row: &Row, written: &Written, participants: &[Participant], meeting: Option<Uuid>) -> Value {
    json!({
        "bot_id": row.bot_id, "meeting_id": meeting, "start_at": row.start_at, "end_at": row.end_at,
        "duration_ms": written.duration_ms, "participants": participants, "speakers": written.speakers,
    })
}

fn about(row: &Row, written: &Written, participants: &[Participant], meeting: Option<Uuid>) -> Map<String, Value> {
    let speakers: Vec<&str> = written.speakers.iter().map(|speaker| speaker.name.as_str()).collect();
    let participants: Vec<&str> = participants.iter().filter_map(|one| one.name.as_deref()).collect();
    let transcript = json!({
        "title": row.title, "start_at": row.start_at, "end_at": row.end_at, "duration_ms": written.duration_ms,
        "participants": participants, "speakers": speakers,
    });
    Map::from_iter([
        ("bot_id".to_owned(), json!(row.bot_id)),
        ("meeting_id".to_owned(), json!(meeting)),
        ("transcript".to_owned(), transcript),
    ])
}
