//! Writes the polled states and utterances of bots (tables `attendee_bots`, `attendee_utterances`), and updates their meetings. No network access.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use chrono::Utc;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::bot::{Bot, Change, Heard, SCHEDULED, Transcript};
use super::finish::{self, Row};
use super::open::next_look;
use super::transcript::Utterance;
use crate::engine::{Counts, Item, Stream};
use crate::state::BotState;

/// Writes a page. `live` is the poll interval of an active bot.
pub async fn apply(tx: &Transaction<'_>, stream: &Stream, live: Duration, items: &[Item<Change>]) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    // In the order of their ids: a scheduling run may write some of them concurrently.
    let mut items: Vec<&Item<Change>> = items.iter().collect();
    items.sort_by_key(|item| &item.id);
    for item in items {
        let Some(row) = ours(tx, stream.user_id, &item.id).await? else {
            counts.unchanged += 1;
            continue;
        };
        let changed = match &item.change {
            Change::Gone if row.state == BotState::Settled => false,
            Change::Gone => {
                lost(tx, &row).await?;
                true
            }
            Change::Bot(bot, heard) => is_changed(tx, &row, live, bot, item.raw.get(), heard).await?,
        };
        if changed {
            counts.updated += 1;
        } else {
            counts.unchanged += 1;
        }
    }
    Ok(counts)
}

/// A value that changes with every change of a bot's row.
pub async fn known(tx: &Transaction<'_>, stream: &Stream, bot_id: &str) -> anyhow::Result<Option<String>> {
    let row = tx
        .query_typed_opt(
            "SELECT md5(b::text) FROM attendee_bots b WHERE project_id = $1 AND bot_id = $2",
            &[(&stream.user_id, Type::UUID), (&bot_id, Type::TEXT)],
        )
        .await
        .context("reading the state of a bot")?;
    row.map_or(Ok(None), |row| Ok(row.try_get(0)?))
}

/// Reads and locks a bot by Attendee's id; `None` if it is unknown.
async fn ours(tx: &Transaction<'_>, project: Uuid, bot_id: &str) -> anyhow::Result<Option<Row>> {
    let row = tx
        .query_typed_opt(
            "SELECT id FROM attendee_bots WHERE project_id = $1 AND bot_id = $2",
            &[(&project, Type::UUID), (&bot_id, Type::TEXT)],
        )
        .await
        .context("looking for a bot")?;
    match row {
        Some(row) => held(tx, row.try_get(0)?).await,
        None => Ok(None),
    }
}

/// Reads and locks a bot by its row's id.
pub async fn held(tx: &Transaction<'_>, id: Uuid) -> anyhow::Result<Option<Row>> {
    let row = tx
        .query_typed_opt(
            "SELECT id, bot_id, state, raw_state, ended_at, title, start_at, end_at FROM attendee_bots
             WHERE id = $1 AND bot_id IS NOT NULL AND state IN ('open', 'ended', 'settled') FOR UPDATE",
            &[(&id, Type::UUID)],
        )
        .await
        .context("reading a bot")?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Row {
        id: row.try_get(0)?,
        bot_id: row.try_get(1)?,
        state: row.try_get(2)?,
        raw_state: row.try_get(3)?,
        ended_at: row.try_get(4)?,
        title: row.try_get(5)?,
        start_at: row.try_get(6)?,
        end_at: row.try_get(7)?,
    }))
}

/// Closes a bot that no longer exists at Attendee. A scheduled one never joins; an active one leaves what it has heard so far.
async fn lost(tx: &Transaction<'_>, row: &Row) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE attendee_bots SET status = 'failed', last_error = 'it no longer exists at Attendee', updated_at = now() WHERE id = $1",
        &[(&row.id, Type::UUID)],
    )
    .await
    .context("marking a lost bot")?;
    if row.raw_state.as_deref() != Some(SCHEDULED) {
        finish::write_transcript(tx, row, &[], Some("the bot no longer exists at Attendee")).await?;
    }
    finish::close(tx, row).await?;
    show(tx, &[row.id]).await
}

/// Stores a bot; returns whether anything but the time of the next poll has changed.
async fn is_changed(
    tx: &Transaction<'_>,
    row: &Row,
    live: Duration,
    bot: &Bot,
    raw: &str,
    heard: &Heard,
) -> anyhow::Result<bool> {
    // An older answer can arrive later, when this bot is polled by itself.
    if row.state != BotState::Open && !bot.is_over() {
        return Ok(false);
    }
    // A settled bot changes only if utterances arrive late.
    if row.state == BotState::Settled {
        return match heard {
            Heard::Transcript(transcript) => replace(tx, row, transcript).await,
            _ => Ok(false),
        };
    }
    let moved = row.raw_state.as_deref() != Some(&bot.state);
    renew(tx, row, live, bot, raw, heard).await?;
    let (mut news, mut settled) = (false, false);
    match heard {
        Heard::Unasked => {}
        Heard::Late(why) => finish::note(tx, row, why).await?,
        Heard::News(utterances, _) => news = hear(tx, row.id, utterances).await? > 0,
        Heard::Transcript(transcript) => {
            news = replace(tx, row, transcript).await?;
            settled = transcript.is_final;
        }
        Heard::Over(why) => {
            finish::write_transcript(tx, row, &[], Some(why)).await?;
            settled = true;
        }
        Heard::Deleted => {
            finish::deleted(tx, row).await?;
            settled = true;
        }
    }
    if settled {
        finish::close(tx, row).await?;
    }
    if moved || settled || news {
        show(tx, &[row.id]).await?;
    }
    Ok(moved || settled || news)
}

/// Writes the current state of a bot.
async fn renew(tx: &Transaction<'_>, row: &Row, live: Duration, bot: &Bot, raw: &str, heard: &Heard) -> anyhow::Result<()> {
    let now = Utc::now();
    let ended_at = bot.is_over().then(|| row.ended_at.unwrap_or(now));
    let until = match heard {
        Heard::News(_, until) => Some(*until),
        Heard::Unasked | Heard::Transcript(_) | Heard::Over(_) | Heard::Late(_) | Heard::Deleted => None,
    };
    let reason = bot.reason();
    tx.execute_typed(
        "UPDATE attendee_bots SET state = CASE WHEN $2::timestamptz IS NULL THEN 'open' ELSE 'ended' END, ended_at = $2, raw_state = $3,
           transcription_state = $4, raw = $5::text::jsonb, status = $6, heard_until = greatest(heard_until, $7), look_at = $8,
           reason = $9, last_error = CASE WHEN $10 THEN coalesce($9, $3) END, updated_at = now()
         WHERE id = $1",
        &[
            (&row.id, Type::UUID),
            (&ended_at, Type::TIMESTAMPTZ),
            (&bot.state, Type::TEXT),
            (&bot.transcription_state, Type::TEXT),
            (&raw, Type::TEXT),
            (&bot.status(), Type::TEXT),
            (&until, Type::TIMESTAMPTZ),
            (&next_look(ended_at, now, live), Type::TIMESTAMPTZ),
            (&reason, Type::TEXT),
            (&bot.has_failed(), Type::BOOL),
        ],
    )
    .await
    .context("storing a bot")?;
    Ok(())
}

/// Replaces the utterances heard during the meeting, which may have been improved since. Returns whether the transcript has changed.
async fn replace(tx: &Transaction<'_>, row: &Row, transcript: &Transcript) -> anyhow::Result<bool> {
    tx.execute_typed("DELETE FROM attendee_utterances WHERE bot = $1", &[(&row.id, Type::UUID)])
        .await
        .context("replacing utterances")?;
    hear(tx, row.id, &transcript.said).await?;
    finish::write_transcript(tx, row, &transcript.present, transcript.note).await
}

/// Stores utterances; returns the number of new or changed ones.
async fn hear(tx: &Transaction<'_>, bot: Uuid, utterances: &[Utterance]) -> anyhow::Result<u64> {
    if utterances.is_empty() {
        return Ok(0);
    }
    let speakers: Vec<&str> = utterances.iter().map(|one| one.said.speaker_uuid.as_deref().unwrap_or_default()).collect();
    let times: Vec<i64> = utterances.iter().map(|one| one.said.timestamp_ms).collect();
    let durations: Vec<i64> = utterances.iter().map(|one| one.said.duration_ms).collect();
    let names: Vec<Option<&str>> = utterances.iter().map(|one| one.said.speaker_name.as_deref()).collect();
    let hosts: Vec<Option<bool>> = utterances.iter().map(|one| one.said.speaker_is_host).collect();
    let texts: Vec<&str> = utterances.iter().map(|one| one.said.text()).collect();
    // Utterances have no ids, so those of one speaker at one time are numbered as they come. The complete transcript corrects the numbers later.
    let mut counts: HashMap<(&str, i64), i32> = HashMap::new();
    let numbers = speakers.iter().zip(&times).map(|(speaker, time)| {
        let count = counts.entry((speaker, *time)).or_default();
        *count += 1;
        *count - 1
    });
    let numbers: Vec<i32> = numbers.collect();
    let raws: Vec<&str> = utterances.iter().map(|one| one.raw.get()).collect();
    tx.execute_typed(
        "INSERT INTO attendee_utterances AS u (bot, speaker_uuid, timestamp_ms, nth, duration_ms, speaker_name, speaker_is_host, text, raw)
         SELECT $1, speaker_uuid, timestamp_ms, nth, duration_ms, name, host, text, raw::jsonb
         FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bool[], $7::text[], $8::text[], $9::int[])
           AS t (speaker_uuid, timestamp_ms, duration_ms, name, host, text, raw, nth)
         ON CONFLICT (bot, speaker_uuid, timestamp_ms, nth) DO UPDATE SET duration_ms = excluded.duration_ms, text = excluded.text,
           speaker_name = excluded.speaker_name, speaker_is_host = excluded.speaker_is_host, raw = excluded.raw
         WHERE u.raw IS DISTINCT FROM excluded.raw",
        &[
            (&bot, Type::UUID),
            (&speakers, Type::TEXT_ARRAY),
            (&times, Type::INT8_ARRAY),
            (&durations, Type::INT8_ARRAY),
            (&names, Type::TEXT_ARRAY),
            (&hosts, Type::BOOL_ARRAY),
            (&texts, Type::TEXT_ARRAY),
            (&raws, Type::TEXT_ARRAY),
            (&numbers, Type::INT4_ARRAY),
        ],
    )
    .await
    .context("storing utterances")
}

/// Updates the bot fields of the meetings of bots (`meetings.bot_id`, `bot_status`, `bot_reason`, `transcript_id`). A series shows its active or next
/// bot, or else its last one.
pub async fn show(tx: &Transaction<'_>, bots: &[Uuid]) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE meetings m SET bot_id = shown.bot_id, bot_status = coalesce(shown.status, 'none'), bot_reason = shown.why, updated_at = now(),
           transcript_id = coalesce(shown.transcript, m.transcript_id), changed_xid = DEFAULT
         FROM (
           SELECT e.stream_id, e.event_id, b.*
           FROM (SELECT DISTINCT stream_id, meeting_event_id AS event_id FROM attendee_bot_meetings WHERE bot = ANY ($1)) e
           LEFT JOIN LATERAL (
             SELECT b.bot_id, b.status, coalesce(b.reason, b.last_error) AS why, t.id AS transcript
             FROM attendee_bot_meetings bm JOIN attendee_bots b ON b.id = bm.bot LEFT JOIN attendee_transcripts t ON t.bot = b.id
             WHERE bm.stream_id = e.stream_id AND bm.meeting_event_id = e.event_id AND b.bot_id IS NOT NULL AND b.state <> 'removed'
             ORDER BY b.state <> 'open', CASE WHEN b.state = 'open' THEN b.start_at END, b.start_at DESC
             LIMIT 1) b ON true
         ) shown
         WHERE m.stream_id = shown.stream_id AND m.event_id = shown.event_id
           AND (m.bot_id, m.bot_status, m.bot_reason, m.transcript_id)
             IS DISTINCT FROM (shown.bot_id, coalesce(shown.status, 'none'), shown.why, coalesce(shown.transcript, m.transcript_id))",
        &[(&bots, Type::UUID_ARRAY)],
    )
    .await
    .context("showing bots at their meetings")?;
    Ok(())
}
