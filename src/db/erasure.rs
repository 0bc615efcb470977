//! The end of a user: everything that is only theirs, table by table, in one transaction; what stays because it is others' as well; and events that
//! were not sent yet. Knows no network.

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

/// A page that is being written keeps a stream to itself for a second at the most, a run that reads a whole mailbox for longer.
const BOUNDS: Bounds = Bounds { locks: Duration::from_secs(30), idle: Duration::from_secs(30), statement: None };

/// Bots of nobody else's meetings. The user is `$1`, here and below; the table to delete from is `t`.
macro_rules! alone {
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

/// Those of them that have not joined yet: Attendee has to be asked to take them back, by their rows.
macro_rules! awaited {
    ($bot:literal) => {
        concat!("(", $bot, ".state = 'creating' OR (", $bot, ".state = 'open' AND ", $bot, ".raw_state = 'scheduled'))")
    };
}

const OF_STREAMS: &str = "t.stream_id IN (SELECT id FROM streams WHERE user_id = $1)";
const OF_USER: &str = "t.user_id = $1";

/// Tables with what is to go of each. In this order: what tells whose something is goes after it.
const OWN: [(&str, &str); 33] = [
    ("attendee_utterances", concat!("EXISTS (SELECT FROM attendee_bots b WHERE b.id = t.bot AND ", alone!("b"), ")")),
    ("attendee_transcripts", concat!("EXISTS (SELECT FROM attendee_bots b WHERE b.id = t.bot AND ", alone!("b"), ")")),
    ("attendee_bots", concat!(alone!("t"), " AND NOT ", awaited!("t"))),
    ("attendee_bot_meetings", OF_USER),
    ("classify_queue", OF_USER),
    ("classify_passes", OF_USER),
    ("document_judgements", OF_USER),
    ("project_models", OF_USER),
    ("project_corrections", OF_USER),
    ("document_projects", OF_USER),
    ("projects", OF_USER),
    ("documents", OF_USER),
    ("gmail_detections", OF_STREAMS),
    ("gmail_messages", OF_STREAMS),
    ("meetings", "(t.stream_id IN (SELECT id FROM streams WHERE user_id = $1) OR t.user_id = $1)"),
    ("calendar_events", OF_STREAMS),
    ("calendars", OF_USER),
    // Whoever has lost it has lost it.
    (
        "drive_files",
        "t.file_id IN (SELECT a.file_id FROM drive_file_access a WHERE a.stream_id IN (SELECT id FROM streams WHERE user_id = $1))
           AND NOT EXISTS (SELECT FROM drive_file_access a WHERE a.file_id = t.file_id AND a.user_id <> $1 AND a.lost_at IS NULL)",
    ),
    ("drive_file_access", OF_STREAMS),
    ("drive_file_watches", OF_USER),
    ("drives", OF_USER),
    ("quarantined_items", OF_STREAMS),
    ("notifications", OF_STREAMS),
    // One that could not be stopped is known until it has lapsed.
    ("channels", "t.user_id = $1 AND t.state IN ('stopped', 'refused')"),
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

/// What runs noted. They stay, without what was the user's: their ids, and meetings with their titles.
const NOTED: [&str; 6] = [
    "calendar_cron_summaries",
    "drive_cron_summaries",
    "gmail_cron_summaries",
    "attendee_cron_summaries",
    "classify_cron_summaries",
    "sync_cron_summaries",
];

/// Whether a meeting `m` of a run's notes was the user's alone.
macro_rules! theirs {
    () => {
        concat!(
            "(m ->> 'bot_id' IN (SELECT b.bot_id FROM attendee_bots b WHERE ",
            alone!("b"),
            ") OR (m -> 'meeting_ids' ?| ARRAY(SELECT id::text FROM meetings WHERE user_id = $1)
               AND m -> 'meeting_ids' <@ (SELECT jsonb_agg(id::text) FROM meetings WHERE user_id = $1)))"
        )
    };
}

const MEETINGS_NOTED: &str = concat!(
    "UPDATE attendee_cron_summaries t SET summary_data = jsonb_set(t.summary_data, '{details,meetings}', n.left)
     FROM (
       SELECT s.id, coalesce(jsonb_agg(m) FILTER (WHERE NOT coalesce(",
    theirs!(),
    ", false)), '[]') AS left, bool_or(",
    theirs!(),
    ") AS has
       FROM attendee_cron_summaries s CROSS JOIN LATERAL jsonb_array_elements(
         CASE jsonb_typeof(s.summary_data #> '{details,meetings}') WHEN 'array' THEN s.summary_data #> '{details,meetings}' ELSE '[]' END) m
       GROUP BY s.id
     ) n WHERE t.id = n.id AND n.has"
);

/// Rows of a table.
#[derive(Debug, Clone, Serialize)]
pub struct Rows {
    pub table: &'static str,
    pub rows: u64,
}

/// What stays of what the user had, because it is others' as well.
#[derive(Debug, Clone, Serialize)]
pub struct Stays {
    /// Other users' documents of this user's mail.
    pub documents: i64,
    /// Meetings with a bot that was other users' as well.
    pub shared_meetings: i64,
    /// Files that other users see.
    pub files: i64,
    /// Bots of this user's meetings alone that have joined, by Attendee's ids: what they recorded stays there until it is deleted there.
    pub bots_at_attendee: Vec<String>,
}

/// What there is of a user.
#[derive(Debug, Clone, Serialize)]
pub struct Estate {
    /// What goes, or is gone; tables without any are left out.
    pub erased: Vec<Rows>,
    /// Events that were not sent yet and are withdrawn.
    pub withdrawn: i64,
    /// Bots of this user's meetings alone that have not joined yet: Attendee is asked to take them back.
    pub bots_to_take_back: i64,
    pub stays: Stays,
}

/// Counts what would go.
pub async fn count(pool: &Pool, user: Uuid) -> anyhow::Result<Estate> {
    let mut client = pool.get().await?;
    let tx = client.snapshot("beginning to count what a user has").await?;
    let mut estate = beside(&tx, user).await?;
    for (table, own) in OWN {
        let statement = format!("SELECT count(*) FROM {table} t WHERE {own}");
        let row = tx.query_typed_one(&statement, &[(&user, Type::UUID)]).await.with_context(|| format!("counting {table}"))?;
        estate.erased.push(Rows { table, rows: row.try_get::<_, i64>(0)?.unsigned_abs() });
    }
    estate.erased.retain(|of| of.rows > 0);
    Ok(estate)
}

/// Erases it all, and answers what it was, and the rows of bots that have not joined yet: they stay, without what says whose they were. `None`: an
/// event of the user's is being sent; nothing is gone.
///
/// # Errors
/// The database failed, or a run kept what is to go for too long; nothing is gone then.
pub async fn erase(pool: &Pool, user: Uuid) -> anyhow::Result<Option<(Estate, Vec<Uuid>)>> {
    let mut client = pool.get().await?;
    let tx = client.begin_within(&BOUNDS, "beginning to erase a user").await?;
    // Whoever writes something of the user's holds its stream, or writes a document, which has a key to the user. Streams first, as they do.
    for lock in ["SELECT FROM streams WHERE user_id = $1 ORDER BY id FOR UPDATE", "SELECT FROM users WHERE id = $1 FOR UPDATE"] {
        tx.query_typed(lock, &[(&user, Type::UUID)]).await.context("keeping a user's streams from other runs")?;
    }
    if under_way(&tx, user).await? > 0 {
        return Ok(None);
    }
    let mut estate = beside(&tx, user).await?;
    let awaited = tx
        .query_typed(
            concat!(
                "UPDATE attendee_bots t SET title = NULL, room = '', meeting_url = '', raw = NULL, reason = NULL, last_error = NULL WHERE ",
                alone!("t"),
                " AND ",
                awaited!("t"),
                " RETURNING t.id"
            ),
            &[(&user, Type::UUID)],
        )
        .await
        .context("leaving of bots what it takes to take them back")?;
    let awaited = awaited.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    unnote(&tx, user).await?;
    // An address in another user's mailbox names nobody any more.
    tx.execute_typed(
        "UPDATE gmail_detections t SET status = 'user_not_found', user_id = NULL, document_id = NULL
         WHERE t.user_id = $1 AND NOT EXISTS (SELECT FROM streams s WHERE s.id = t.stream_id AND s.user_id = $1)",
        &[(&user, Type::UUID)],
    )
    .await
    .context("forgetting whom addresses named")?;
    for (table, own) in OWN {
        let statement = format!("DELETE FROM {table} t WHERE {own}");
        let rows = tx.execute_typed(&statement, &[(&user, Type::UUID)]).await.with_context(|| format!("erasing {table}"))?;
        estate.erased.push(Rows { table, rows });
    }
    tx.commit().await.context("committing the end of a user")?;
    estate.erased.retain(|of| of.rows > 0);
    Ok(Some((estate, awaited)))
}

/// Takes from what runs noted what was the user's.
async fn unnote(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<()> {
    tx.execute_typed(MEETINGS_NOTED, &[(&user, Type::UUID)]).await.context("erasing meetings that runs noted")?;
    for table in NOTED {
        let statement = format!(
            "UPDATE {table} SET summary_data = replace(summary_data::text, $1::text, $2::text)::jsonb WHERE position($1::text IN summary_data::text) > 0"
        );
        tx.execute_typed(&statement, &[(&user, Type::UUID), (&Uuid::nil(), Type::UUID)])
            .await
            .with_context(|| format!("erasing a user from {table}"))?;
    }
    Ok(())
}

/// Removes the rows of bots that were taken back, or that are not to be taken back any more; answers how many are still awaited.
pub async fn forget_bots(pool: &Pool, bots: &[Uuid]) -> anyhow::Result<u64> {
    let gone = pool
        .get()
        .await?
        .execute_typed(
            concat!("DELETE FROM attendee_bots t WHERE t.id = ANY ($1) AND NOT ", awaited!("t")),
            &[(&bots, Type::UUID_ARRAY)],
        )
        .await
        .context("forgetting bots")?;
    Ok((bots.len() as u64).saturating_sub(gone))
}

/// All but what is erased.
async fn beside(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<Estate> {
    let row = tx
        .query_typed_one(
            concat!(
                "SELECT (SELECT count(*) FROM documents WHERE user_id <> $1 AND source_id LIKE $1::text || '/%'),
                   (SELECT count(DISTINCT m.bot) FROM attendee_bot_meetings m WHERE m.user_id = $1
                      AND EXISTS (SELECT FROM attendee_bot_meetings o WHERE o.bot = m.bot AND o.user_id <> $1)),
                   (SELECT count(DISTINCT a.file_id) FROM drive_file_access a WHERE a.stream_id IN (SELECT id FROM streams WHERE user_id = $1)
                      AND EXISTS (SELECT FROM drive_file_access o WHERE o.file_id = a.file_id AND o.user_id <> $1 AND o.lost_at IS NULL)),
                   ARRAY(SELECT t.bot_id FROM attendee_bots t WHERE t.bot_id IS NOT NULL AND t.state IN ('open', 'ended', 'settled') AND ",
                alone!("t"),
                " AND NOT ",
                awaited!("t"),
                " ORDER BY t.bot_id),
                   (SELECT count(*) FROM attendee_bots t WHERE ",
                alone!("t"),
                " AND ",
                awaited!("t"),
                "), (SELECT count(*) FROM outbox_events e WHERE e.user_id = $1
                      AND (NOT e.routed OR EXISTS (SELECT FROM outbox_deliveries d WHERE d.event_id = e.id AND d.state = 'pending')))"
            ),
            &[(&user, Type::UUID)],
        )
        .await
        .context("looking for what is others' as well")?;
    let stays = Stays {
        documents: row.try_get(0)?,
        shared_meetings: row.try_get(1)?,
        files: row.try_get(2)?,
        bots_at_attendee: row.try_get(3)?,
    };
    Ok(Estate { erased: Vec::new(), withdrawn: row.try_get(5)?, bots_to_take_back: row.try_get(4)?, stays })
}
