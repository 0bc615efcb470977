//! Reads stored bots and transcripts by the id of a meeting or bot. No network access.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::tokio_postgres::types::Type;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::SERVICE;
use super::transcript::{self, Line};
use crate::db::Pool;
use crate::db::reads::Reads;

/// A bot that an id names.
#[derive(Debug, Clone)]
pub struct BotOrMeeting {
    /// The id as given.
    pub name: String,
    /// Attendee's id.
    pub bot_id: String,
    pub project: Uuid,
    /// The stream of the project.
    pub stream: i64,
    /// Whether it is settled: nothing will change.
    pub is_settled: bool,
}

/// Finds the bots that these ids name: Attendee's ids, or the ids of meetings, which name the bot that they show.
pub async fn find(pool: &Pool, names: &[&str]) -> anyhow::Result<Vec<BotOrMeeting>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT n.name, b.bot_id, b.project_id, s.id, b.state = 'settled'
             FROM unnest($1::text[]) AS n (name)
             LEFT JOIN meetings m ON m.id::text = lower(n.name)
             JOIN attendee_bots b ON b.bot_id = coalesce(m.bot_id, n.name) AND b.state IN ('open', 'ended', 'settled')
             JOIN streams s ON s.attendee_project = b.project_id AND s.service = $2",
            &[(&names, Type::TEXT_ARRAY), (&SERVICE, Type::TEXT)],
        )
        .await
        .context("looking for bots")?;
    rows.iter()
        .map(|row| {
            Ok(BotOrMeeting {
                name: row.try_get(0)?,
                bot_id: row.try_get(1)?,
                project: row.try_get(2)?,
                stream: row.try_get(3)?,
                is_settled: row.try_get(4)?,
            })
        })
        .collect()
}

/// A stored transcript.
#[derive(Debug, Serialize)]
pub struct Stored {
    pub bot_id: String,
    /// As in `meetings.bot_status`.
    pub status: Option<String>,
    /// Attendee's state.
    pub state: Option<String>,
    pub title: Option<String>,
    pub start_at: DateTime<Utc>,
    /// Whether it is the final transcript, not only what was heard so far.
    pub is_final: bool,
    /// Why something is missing.
    pub note: Option<String>,
    pub duration_ms: i64,
    pub speakers: Value,
    pub text: String,
}

/// Reads a transcript, or what was heard so far; `None` if there is no such bot.
pub async fn read(pool: &Pool, bot_id: &str) -> anyhow::Result<Option<Stored>> {
    let client = pool.get().await?;
    let row = client
        .query_typed_opt(
            "SELECT b.id, b.status, b.raw_state, b.title, b.start_at, t.id IS NOT NULL AND b.state = 'settled', coalesce(t.note, b.last_error), t.duration_ms, t.speakers, t.text
             FROM attendee_bots b LEFT JOIN attendee_transcripts t ON t.bot = b.id WHERE b.bot_id = $1",
            &[(&bot_id, Type::TEXT)],
        )
        .await
        .context("reading a transcript")?;
    let Some(row) = row else { return Ok(None) };
    let mut stored = Stored {
        bot_id: bot_id.to_owned(),
        status: row.try_get(1)?,
        state: row.try_get(2)?,
        title: row.try_get(3)?,
        start_at: row.try_get(4)?,
        is_final: row.try_get(5)?,
        note: row.try_get(6)?,
        duration_ms: row.try_get::<_, Option<i64>>(7)?.unwrap_or(0),
        speakers: row.try_get::<_, Option<Value>>(8)?.unwrap_or_default(),
        text: row.try_get::<_, Option<String>>(9)?.unwrap_or_default(),
    };
    if !stored.is_final {
        let written = transcript::write(&lines(&client, row.try_get(0)?).await?);
        stored.duration_ms = written.duration_ms;
        stored.speakers = serde_json::to_value(&written.speakers)?;
        stored.text = written.text;
    }
    Ok(Some(stored))
}

/// Reads the utterances of a bot in chronological order.
pub async fn lines(client: &impl Reads, bot: Uuid) -> anyhow::Result<Vec<Line>> {
    let rows = client
        .query_typed(
            "SELECT speaker_name, speaker_uuid, speaker_is_host, timestamp_ms, duration_ms, text FROM attendee_utterances
             WHERE bot = $1 ORDER BY timestamp_ms, speaker_uuid, nth",
            &[(&bot, Type::UUID)],
        )
        .await
        .context("reading utterances")?;
    rows.iter()
        .map(|row| {
            Ok(Line {
                speaker: row.try_get(0)?,
                speaker_uuid: row.try_get(1)?,
                is_host: row.try_get(2)?,
                at_ms: row.try_get(3)?,
                duration_ms: row.try_get(4)?,
                text: row.try_get(5)?,
            })
        })
        .collect()
}
