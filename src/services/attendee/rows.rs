//! Stores the creation, moves and removal of bots (tables `attendee_bots`, `attendee_bot_meetings`). No network access.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::bot::{Bot, SCHEDULED};
use super::plan::{Event, ExistingBot, Meeting, dedup_key};
use super::{reasons, store};
use crate::db::Pool;
use crate::error::{Class, Failure};

/// Maximum number of successive bots for the same room, time and audience; more indicates an error.
const MAX_TURNS: u32 = 20;

/// Condition for unfinished bots, and bots of meetings that may still be running.
const NOT_DONE: &str =
    "b.state IN ('creating', 'open', 'ended') OR (b.state = 'settled' AND b.start_at > now() - interval '1 day')";

/// Reads the unfinished bots, and the bots of meetings that may still be running.
pub async fn known(pool: &Pool) -> anyhow::Result<Vec<ExistingBot>> {
    let client = pool.get().await?;
    let statement = format!(
        "SELECT bm.bot, bm.user_id, bm.stream_id, bm.event_id, bm.original_start
         FROM attendee_bot_meetings bm JOIN attendee_bots b ON b.id = bm.bot WHERE {NOT_DONE}"
    );
    let rows = client.query_typed(&statement, &[]).await.context("reading the meetings of bots")?;
    let mut links: HashMap<Uuid, BTreeSet<(Uuid, Event)>> = HashMap::new();
    for row in &rows {
        let event = Event { stream: row.try_get(2)?, id: row.try_get(3)?, original_start: row.try_get(4)? };
        links.entry(row.try_get(0)?).or_default().insert((row.try_get(1)?, event));
    }
    let statement = format!(
        "SELECT id, project_id, dedup_key, state, room, start_at, title, bot_id, raw_state,
           CASE WHEN state = 'creating' AND last_error IS NOT NULL AND look_at > now() THEN look_at END, audience
         FROM attendee_bots b WHERE {NOT_DONE} ORDER BY start_at, id"
    );
    let rows = client.query_typed(&statement, &[]).await.context("reading known bots")?;
    rows.iter()
        .map(|row| {
            let id = row.try_get(0)?;
            Ok(ExistingBot {
                id,
                project: row.try_get(1)?,
                dedup_key: row.try_get(2)?,
                state: row.try_get(3)?,
                room: row.try_get(4)?,
                start: row.try_get(5)?,
                title: row.try_get(6)?,
                bot_id: row.try_get(7)?,
                raw_state: row.try_get(8)?,
                refused_until: row.try_get(9)?,
                audience: row.try_get(10)?,
                links: links.remove(&id).unwrap_or_default(),
            })
        })
        .collect()
}

/// Whether no bot in this room at this time, in any project, has the same audience or all users of the meeting. Locks the room and time until the
/// end of the transaction: since this run read the bots, another run may have requested one.
async fn is_free(tx: &Transaction<'_>, meeting: &Meeting) -> anyhow::Result<bool> {
    let of_room = format!("{}\n{}", meeting.room, meeting.start.timestamp());
    // A separate statement: the next one must see everything committed before the lock was acquired.
    tx.execute_typed("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", &[(&of_room, Type::TEXT)])
        .await
        .context("locking a room and time")?;
    let users: Vec<Uuid> = meeting.users().into_iter().collect();
    let statement = format!(
        "SELECT 1 FROM attendee_bots b WHERE room = $1 AND start_at = $2 AND ({NOT_DONE}) AND (b.audience = $3
           OR NOT EXISTS (SELECT FROM unnest($4::uuid[]) AS wanting (id)
             WHERE NOT EXISTS (SELECT FROM attendee_bot_meetings bm WHERE bm.bot = b.id AND bm.user_id = wanting.id)))
         LIMIT 1"
    );
    let existing = tx
        .query_typed_opt(
            &statement,
            &[
                (&meeting.room, Type::TEXT),
                (&meeting.start, Type::TIMESTAMPTZ),
                (&meeting.audience, Type::TEXT),
                (&users, Type::UUID_ARRAY),
            ],
        )
        .await
        .context("checking whether another run has requested a bot")?;
    Ok(existing.is_none())
}

/// Records that a bot is about to be requested. Returns the row's id and key; `None` if another run has requested the meeting's bot.
pub async fn intend(tx: &Transaction<'_>, meeting: &Meeting, join_at: DateTime<Utc>) -> anyhow::Result<Option<(Uuid, String)>> {
    if !is_free(tx, meeting).await? {
        return Ok(None);
    }
    for turn in 0..MAX_TURNS {
        let key = dedup_key(&meeting.room, meeting.start, &meeting.audience, turn);
        let row = tx
            .query_typed_opt(
                // Reuse the row and key of a removed bot.
                "INSERT INTO attendee_bots AS b (project_id, dedup_key, room, meeting_url, title, start_at, end_at, join_at, look_at, audience)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9)
                 ON CONFLICT (project_id, dedup_key) DO UPDATE SET state = 'creating', bot_id = NULL, raw_state = NULL, transcription_state = NULL,
                   raw = NULL, status = NULL, room = excluded.room, meeting_url = excluded.meeting_url, title = excluded.title,
                   start_at = excluded.start_at, end_at = excluded.end_at, join_at = excluded.join_at, look_at = excluded.look_at,
                   audience = excluded.audience, ended_at = NULL, last_error = NULL, created_at = now(), updated_at = now()
                 WHERE b.state = 'removed' RETURNING id",
                &[
                    (&meeting.project, Type::UUID),
                    (&key, Type::TEXT),
                    (&meeting.room, Type::TEXT),
                    (&meeting.link, Type::TEXT),
                    (&meeting.title, Type::TEXT),
                    (&meeting.start, Type::TIMESTAMPTZ),
                    (&meeting.end, Type::TIMESTAMPTZ),
                    (&join_at, Type::TIMESTAMPTZ),
                    (&meeting.audience, Type::TEXT),
                ],
            )
            .await
            .context("recording a bot before it is requested")?;
        if let Some(row) = row {
            return Ok(Some((row.try_get(0)?, key)));
        }
    }
    anyhow::bail!("{MAX_TURNS} bots have had this room at this time: no further bot is requested")
}

/// Links a bot to the users and events of a meeting. `exactly` removes all other links.
pub async fn link(tx: &Transaction<'_>, bot: Uuid, meeting: &Meeting, exactly: bool) -> anyhow::Result<()> {
    let all = &meeting.occurrences;
    let users: Vec<Uuid> = all.iter().map(|one| one.user).collect();
    let streams: Vec<i64> = all.iter().map(|one| one.event.stream).collect();
    let events: Vec<&str> = all.iter().map(|one| one.event.id.as_str()).collect();
    let originals: Vec<DateTime<Utc>> = all.iter().map(|one| one.event.original_start).collect();
    let shown: Vec<&str> = all.iter().map(|one| one.shown_by.as_str()).collect();
    let whys: Vec<&str> = all.iter().map(|one| one.wanted_by).collect();
    if exactly {
        tx.execute_typed(
            "DELETE FROM attendee_bot_meetings WHERE bot = $1 AND (user_id, stream_id, event_id, original_start)
               NOT IN (SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[]))",
            &[
                (&bot, Type::UUID),
                (&users, Type::UUID_ARRAY),
                (&streams, Type::INT8_ARRAY),
                (&events, Type::TEXT_ARRAY),
                (&originals, Type::TIMESTAMPTZ_ARRAY),
            ],
        )
        .await
        .context("removing outdated links of a bot")?;
    }
    tx.execute_typed(
        "INSERT INTO attendee_bot_meetings AS bm (bot, user_id, stream_id, event_id, original_start, meeting_event_id, wanted_by)
         SELECT DISTINCT ON (user_id, stream_id, event_id, original_start) $1, t.*
         FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::timestamptz[], $6::text[], $7::text[])
           AS t (user_id, stream_id, event_id, original_start, shown_by, why)
         ON CONFLICT (bot, user_id, stream_id, event_id, original_start) DO UPDATE SET meeting_event_id = excluded.meeting_event_id
         WHERE bm.meeting_event_id <> excluded.meeting_event_id",
        &[
            (&bot, Type::UUID),
            (&users, Type::UUID_ARRAY),
            (&streams, Type::INT8_ARRAY),
            (&events, Type::TEXT_ARRAY),
            (&originals, Type::TIMESTAMPTZ_ARRAY),
            (&shown, Type::TEXT_ARRAY),
            (&whys, Type::TEXT_ARRAY),
        ],
    )
    .await
    .context("linking a bot to its users")?;
    tx.execute_typed(
        "UPDATE attendee_bots SET audience = $2, title = $3, updated_at = now() WHERE id = $1 AND (audience, title) IS DISTINCT FROM ($2, $3)",
        &[(&bot, Type::UUID), (&meeting.audience, Type::TEXT), (&meeting.title, Type::TEXT)],
    )
    .await
    .context("storing the audience of a bot")?;
    Ok(())
}

/// Makes a project's stream due when a bot is due; a failing stream keeps its backoff.
async fn look(tx: &Transaction<'_>, project: Uuid, at: DateTime<Utc>) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE streams SET due_at = CASE WHEN failures > 0 THEN due_at ELSE least(due_at, $2) END WHERE attendee_project = $1",
        &[(&project, Type::UUID), (&at, Type::TIMESTAMPTZ)],
    )
    .await
    .context("making a project's stream due")?;
    Ok(())
}

/// Stores a bot that was created, or found by its key.
pub async fn opened(
    tx: &Transaction<'_>,
    id: Uuid,
    project: Uuid,
    bot: &Bot,
    raw: &str,
    join_at: DateTime<Utc>,
) -> anyhow::Result<()> {
    let look_at = if bot.state == SCHEDULED { join_at } else { Utc::now() };
    look(tx, project, look_at).await?;
    tx.execute_typed(
        "UPDATE attendee_bots SET state = 'open', bot_id = $2, raw_state = $3, transcription_state = $4, raw = $5::text::jsonb, status = $6,
           look_at = $7, last_error = NULL, updated_at = now() WHERE id = $1 AND state = 'creating'",
        &[
            (&id, Type::UUID),
            (&bot.id, Type::TEXT),
            (&bot.state, Type::TEXT),
            (&bot.transcription_state, Type::TEXT),
            (&raw, Type::TEXT),
            (&bot.status(), Type::TEXT),
            (&look_at, Type::TIMESTAMPTZ),
        ],
    )
    .await
    .context("storing a requested bot")?;
    store::show(tx, &[id]).await
}

/// Stores the new time and room of a bot.
pub async fn moved(
    tx: &Transaction<'_>,
    id: Uuid,
    project: Uuid,
    meeting: &Meeting,
    join_at: DateTime<Utc>,
) -> anyhow::Result<()> {
    look(tx, project, join_at).await?;
    tx.execute_typed(
        "UPDATE attendee_bots SET room = $2, meeting_url = $3, title = $4, start_at = $5, end_at = $6, join_at = $7, look_at = $7, updated_at = now()
         WHERE id = $1",
        &[
            (&id, Type::UUID),
            (&meeting.room, Type::TEXT),
            (&meeting.link, Type::TEXT),
            (&meeting.title, Type::TEXT),
            (&meeting.start, Type::TIMESTAMPTZ),
            (&meeting.end, Type::TIMESTAMPTZ),
            (&join_at, Type::TIMESTAMPTZ),
        ],
    )
    .await
    .context("storing the new time and room of a bot")?;
    store::show(tx, &[id]).await
}

/// Marks a bot whose existence is unknown; the next run looks for it by its key.
pub async fn unsure(tx: &Transaction<'_>, id: Uuid) -> anyhow::Result<()> {
    tx.execute_typed("UPDATE attendee_bots SET state = 'creating', updated_at = now() WHERE id = $1", &[(&id, Type::UUID)])
        .await
        .context("recording that a bot is about to be removed")?;
    Ok(())
}

/// Stores that a bot was removed.
pub async fn removed(tx: &Transaction<'_>, id: Uuid) -> anyhow::Result<()> {
    tx.execute_typed("UPDATE attendee_bots SET state = 'removed', updated_at = now() WHERE id = $1", &[(&id, Type::UUID)])
        .await
        .context("storing that a bot was removed")?;
    store::show(tx, &[id]).await
}

/// Makes a bot due that is no longer scheduled: the next poll reads its state.
pub async fn look_now(tx: &Transaction<'_>, id: Uuid, project: Uuid) -> anyhow::Result<()> {
    look(tx, project, Utc::now()).await?;
    tx.execute_typed("UPDATE attendee_bots SET look_at = now(), updated_at = now() WHERE id = $1", &[(&id, Type::UUID)])
        .await
        .context("making a bot due")?;
    Ok(())
}

/// Notes why a bot could not be created or changed. A bot that Attendee refuses to create is requested at growing intervals up to `rarest`, and when
/// it should join.
pub async fn failed(pool: &Pool, id: Uuid, failure: &Failure, rarest: Duration) -> anyhow::Result<()> {
    let client = pool.get().await?;
    client
        .execute_typed(
            "UPDATE attendee_bots SET last_error = $2, updated_at = now(), look_at = CASE
               WHEN state <> 'creating' THEN look_at
               WHEN NOT $3 THEN now()
               ELSE least(now() + least(now() - created_at, make_interval(secs => $4)), CASE WHEN join_at > now() THEN join_at END) END
             WHERE id = $1",
            &[
                (&id, Type::UUID),
                (&failure.message, Type::TEXT),
                (&(failure.class == Class::Permanent), Type::BOOL),
                (&rarest.as_secs_f64(), Type::FLOAT8),
            ],
        )
        .await
        .context("noting a failure")?;
    reasons::at_meetings(&client, id, &failure.message).await
}
