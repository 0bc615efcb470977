//! Erasure of a user: deletes everything that belongs only to them, table by table, in one transaction; reports what stays because others share it;
//! withdraws unsent events. Does not use the network.

mod withdraw;

use std::time::Duration;

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;
use super::connection::Bounds;
use withdraw::under_way;

pub use withdraw::withdraw;

/// Writing a page locks a stream for at most a second; a run that reads a whole mailbox holds it longer.
const BOUNDS: Bounds = Bounds { locks: Duration::from_secs(30), idle: Duration::from_secs(30), statement: None };

/// Bots that attend only this user's meetings. Here and below, `$1` is the user and `t` the table to delete from.
macro_rules! exclusive {
    ($bot:literal) => {
        concat!(
            "(EXISTS (SELECT FROM attendee_bot_meetings m WHERE m.bot = ",
            $bot,
            ".id AND m.user_id = $1) OR ",
            $bot,
            ".bot_id IN (SELECT d.source_id FROM documents d WHERE d.user_id = $1))
             AND NOT EXISTS (SELECT FROM attendee_bot_meetings m WHERE m.bot = ",
            $bot,
            ".id AND m.user_id <> $1)"
        )
    };
}

/// Bots that have not joined yet. Their rows are needed to cancel them at Attendee.
macro_rules! not_joined {
    ($bot:literal) => {
        concat!("(", $bot, ".state = 'creating' OR (", $bot, ".state = 'open' AND ", $bot, ".raw_state = 'scheduled'))")
    };
}

const OF_STREAMS: &str = "t.stream_id IN (SELECT id FROM streams WHERE user_id = $1)";
const OF_USER: &str = "t.user_id = $1";

/// Tables with the condition of the rows to delete, in this order: rows that determine the owner of others are deleted after those.
const OWN: [(&str, &str); 41] = [
    ("attendee_utterances", concat!("EXISTS (SELECT FROM attendee_bots b WHERE b.id = t.bot AND ", exclusive!("b"), ")")),
    ("attendee_transcripts", concat!("EXISTS (SELECT FROM attendee_bots b WHERE b.id = t.bot AND ", exclusive!("b"), ")")),
    ("attendee_bots", concat!(exclusive!("t"), " AND NOT ", not_joined!("t"))),
    ("attendee_bot_meetings", OF_USER),
    ("classify_queue", OF_USER),
    ("classify_passes", OF_USER),
    ("document_judgements", OF_USER),
    ("project_models", OF_USER),
    ("project_corrections", OF_USER),
    ("document_projects", OF_USER),
    ("projects", OF_USER),
    ("documents", OF_USER),
    ("gmail_mailboxes", OF_STREAMS),
    ("gmail_labels", OF_STREAMS),
    ("gmail_detections", OF_STREAMS),
    ("gmail_attachments", OF_STREAMS),
    ("gmail_contents", OF_USER),
    ("gmail_messages", OF_STREAMS),
    ("meetings", "(t.stream_id IN (SELECT id FROM streams WHERE user_id = $1) OR t.user_id = $1)"),
    // Deleting meetings adds rows to it.
    ("deleted_meetings", OF_USER),
    ("calendar_instances", OF_USER),
    ("calendar_windows", OF_STREAMS),
    ("calendar_events", OF_STREAMS),
    ("calendars", OF_USER),
    // Users who have lost access do not keep the file.
    (
        "drive_files",
        "t.file_id IN (SELECT a.file_id FROM drive_file_access a WHERE a.stream_id IN (SELECT id FROM streams WHERE user_id = $1))
           AND NOT EXISTS (SELECT FROM drive_file_access a WHERE a.file_id = t.file_id AND a.user_id <> $1 AND a.deleted_at IS NULL)",
    ),
    ("drive_permissions", OF_USER),
    ("drive_file_access", OF_STREAMS),
    ("drive_file_watches", OF_USER),
    ("drives", OF_USER),
    ("quarantined_items", OF_STREAMS),
    ("notifications", OF_STREAMS),
    // A channel that could not be stopped is kept until it expires.
    ("channels", "t.user_id = $1 AND t.state IN ('stopped', 'refused', 'unsupported')"),
    ("user_activity", OF_USER),
    ("pace_user_prices", OF_USER),
    ("quota_usage", "t.subject LIKE '%/' || $1::text"),
    ("quota_minutes", "t.subject LIKE '%/' || $1::text"),
    ("streams", OF_USER),
    ("accounts", OF_USER),
    ("outbox_deliveries", "t.event_id IN (SELECT id FROM outbox_events WHERE user_id = $1)"),
    ("outbox_events", OF_USER),
    ("users", "t.id = $1"),
];

/// Summaries of runs. They stay, without data of the user: ids, and meetings with their titles.
pub const SUMMARIES: [&str; 6] = [
    "calendar_cron_summaries",
    "drive_cron_summaries",
    "gmail_cron_summaries",
    "attendee_cron_summaries",
    "classify_cron_summaries",
    "sync_cron_summaries",
];

/// Whether a meeting `m` in a run's summary was only this user's.
macro_rules! own_meeting {
    () => {
        concat!(
            "(m ->> 'bot_id' IN (SELECT b.bot_id FROM attendee_bots b WHERE ",
            exclusive!("b"),
            ") OR (m -> 'meeting_ids' ?| ARRAY(SELECT id::text FROM meetings WHERE user_id = $1)
               AND m -> 'meeting_ids' <@ (SELECT jsonb_agg(id::text) FROM meetings WHERE user_id = $1)))"
        )
    };
}

const ERASE_MEETINGS: &str = concat!(
    "UPDATE attendee_cron_summaries t SET summary_data = jsonb_set(t.summary_data, '{details,meetings}', n.remaining)
     FROM (
       SELECT s.id, coalesce(jsonb_agg(m) FILTER (WHERE NOT coalesce(",
    own_meeting!(),
    ", false)), '[]') AS remaining, bool_or(",
    own_meeting!(),
    ") AS has
       FROM attendee_cron_summaries s CROSS JOIN LATERAL jsonb_array_elements(
         CASE jsonb_typeof(s.summary_data #> '{details,meetings}') WHEN 'array' THEN s.summary_data #> '{details,meetings}' ELSE '[]' END) m
       GROUP BY s.id
     ) n WHERE t.id = n.id AND n.has"
);

/// Number of rows of a table.
#[derive(Debug, Clone, Serialize)]
pub struct Rows {
    pub table: &'static str,
    pub rows: u64,
}

/// Data of the user that stays because others share it.
#[derive(Debug, Clone, Serialize)]
pub struct Stays {
    /// Documents of other users made from this user's mail.
    pub documents: i64,
    /// Meetings whose bot is shared with other users.
    pub shared_meetings: i64,
    /// Files that other users see.
    pub files: i64,
    /// Attendee's ids of bots that joined only this user's meetings: their recordings stay at Attendee until they are deleted there.
    pub bots_at_attendee: Vec<String>,
}

/// The data of a user.
#[derive(Debug, Clone, Serialize)]
pub struct Estate {
    /// Rows to erase, or erased; tables without such rows are left out.
    pub erased: Vec<Rows>,
    /// Unsent events that are withdrawn.
    pub withdrawn: i64,
    /// Bots of only this user's meetings that have not joined yet; they are cancelled at Attendee.
    pub bots_to_take_back: i64,
    pub stays: Stays,
}

/// Counts what would be erased.
pub async fn count(pool: &Pool, user: Uuid) -> anyhow::Result<Estate> {
    let mut client = pool.get().await?;
    let tx = client.snapshot("beginning to count the data of a user").await?;
    let mut estate = shared_and_pending(&tx, user).await?;
    for (table, own) in OWN {
        let statement = format!("SELECT count(*) FROM {table} t WHERE {own}");
        let row = tx.query_typed_one(&statement, &[(&user, Type::UUID)]).await.with_context(|| format!("counting {table}"))?;
        estate.erased.push(Rows { table, rows: row.try_get::<_, i64>(0)?.unsigned_abs() });
    }
    estate.erased.retain(|of| of.rows > 0);
    Ok(estate)
}

/// Erases a user. Returns what was erased, and the ids of bots that have not joined yet: their rows stay, without data of the user. `None`: an event
/// of the user is being sent, and nothing was erased.
///
/// # Errors
/// Returns an error if the database fails or a run holds locks for too long. Nothing is erased then.
pub async fn erase(pool: &Pool, user: Uuid) -> anyhow::Result<Option<(Estate, Vec<Uuid>)>> {
    let mut client = pool.get().await?;
    let tx = client.begin_within(&BOUNDS, "beginning to erase a user").await?;
    // Every writer of the user's data holds the stream, or writes a document, which references the user. Lock streams first, as writers do.
    for lock in ["SELECT FROM streams WHERE user_id = $1 ORDER BY id FOR UPDATE", "SELECT FROM users WHERE id = $1 FOR UPDATE"] {
        tx.query_typed(lock, &[(&user, Type::UUID)]).await.context("locking a user and their streams")?;
    }
    if under_way(&tx, user).await? > 0 {
        return Ok(None);
    }
    let mut estate = shared_and_pending(&tx, user).await?;
    let not_joined = tx
        .query_typed(
            concat!(
                "UPDATE attendee_bots t SET title = NULL, room = '', meeting_url = '', raw = NULL, reason = NULL, last_error = NULL WHERE ",
                exclusive!("t"),
                " AND ",
                not_joined!("t"),
                " RETURNING t.id"
            ),
            &[(&user, Type::UUID)],
        )
        .await
        .context("reducing bots to what cancelling them needs")?;
    let not_joined = not_joined.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    erase_from_summaries(&tx, user).await?;
    // Addresses in other users' mailboxes no longer resolve to this user.
    tx.execute_typed(
        "UPDATE gmail_detections t SET status = 'user_not_found', user_id = NULL, document_id = NULL
         WHERE t.user_id = $1 AND NOT EXISTS (SELECT FROM streams s WHERE s.id = t.stream_id AND s.user_id = $1)",
        &[(&user, Type::UUID)],
    )
    .await
    .context("removing a user from detected addresses")?;
    for (table, own) in OWN {
        let statement = format!("DELETE FROM {table} t WHERE {own}");
        let rows = tx.execute_typed(&statement, &[(&user, Type::UUID)]).await.with_context(|| format!("erasing {table}"))?;
        estate.erased.push(Rows { table, rows });
    }
    tx.commit().await.context("committing the erasure of a user")?;
    estate.erased.retain(|of| of.rows > 0);
    Ok(Some((estate, not_joined)))
}

/// Removes the user's data from the summaries of runs.
async fn erase_from_summaries(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<()> {
    tx.execute_typed(ERASE_MEETINGS, &[(&user, Type::UUID)]).await.context("erasing meetings from the summaries of runs")?;
    for table in SUMMARIES {
        let statement = format!(
            "UPDATE {table} SET summary_data = replace(summary_data::text, $1::text, $2::text)::jsonb WHERE position($1::text IN summary_data::text) > 0"
        );
        tx.execute_typed(&statement, &[(&user, Type::UUID), (&Uuid::nil(), Type::UUID)])
            .await
            .with_context(|| format!("erasing a user from {table}"))?;
    }
    Ok(())
}

/// Deletes the rows of bots that were cancelled or no longer need to be. Returns how many still await cancellation.
pub async fn forget_bots(pool: &Pool, bots: &[Uuid]) -> anyhow::Result<u64> {
    let gone = pool
        .get()
        .await?
        .execute_typed(
            concat!("DELETE FROM attendee_bots t WHERE t.id = ANY ($1) AND NOT ", not_joined!("t")),
            &[(&bots, Type::UUID_ARRAY)],
        )
        .await
        .context("forgetting bots")?;
    Ok((bots.len() as u64).saturating_sub(gone))
}

/// Counts everything except the rows to erase.
async fn shared_and_pending(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<Estate> {
    let row = tx
        .query_typed_one(
            concat!(
                "SELECT (SELECT count(*) FROM documents WHERE user_id <> $1 AND source_id LIKE $1::text || '/%'),
                   (SELECT count(DISTINCT m.bot) FROM attendee_bot_meetings m WHERE m.user_id = $1
                      AND EXISTS (SELECT FROM attendee_bot_meetings o WHERE o.bot = m.bot AND o.user_id <> $1)),
                   (SELECT count(DISTINCT a.file_id) FROM drive_file_access a WHERE a.stream_id IN (SELECT id FROM streams WHERE user_id = $1)
                      AND EXISTS (SELECT FROM drive_file_access o WHERE o.file_id = a.file_id AND o.user_id <> $1 AND o.deleted_at IS NULL)),
                   ARRAY(SELECT t.bot_id FROM attendee_bots t WHERE t.bot_id IS NOT NULL AND t.state IN ('open', 'ended', 'settled') AND ",
                exclusive!("t"),
                " AND NOT ",
                not_joined!("t"),
                " ORDER BY t.bot_id),
                   (SELECT count(*) FROM attendee_bots t WHERE ",
                exclusive!("t"),
                " AND ",
                not_joined!("t"),
                "), (SELECT count(*) FROM outbox_events e WHERE e.user_id = $1
                      AND (NOT e.routed OR EXISTS (SELECT FROM outbox_deliveries d WHERE d.event_id = e.id AND d.state = 'pending')))"
            ),
            &[(&user, Type::UUID)],
        )
        .await
        .context("counting shared data and unsent events")?;
    let stays = Stays {
        documents: row.try_get(0)?,
        shared_meetings: row.try_get(1)?,
        files: row.try_get(2)?,
        bots_at_attendee: row.try_get(3)?,
    };
    Ok(Estate { erased: Vec::new(), withdrawn: row.try_get(5)?, bots_to_take_back: row.try_get(4)?, stays })
}
