//! Notifications that came in (tables `notifications`, `channels`, `streams`): who may send them, each stored once. Knows no HTTP.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use deadpool_postgres::Transaction;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;

const STORE: &str = include_str!("sql/store_notifications.sql");

/// A channel that may announce changes.
#[derive(Debug, Clone)]
pub struct Channel {
    pub stream_id: i64,
    pub service: String,
    /// SHA-256 of the token that Google repeats.
    pub token_hash: Vec<u8>,
}

/// Those of the channels that are open: not stopped, not expired, and of a stream that exists. One whose answer is still under way
/// (`creating`) announces already, and so does one that is being replaced.
pub async fn open_channels(client: &impl GenericClient, ids: &[Uuid]) -> anyhow::Result<HashMap<Uuid, Channel>> {
    let rows = client
        .query_typed(
            "SELECT id, stream_id, service, token_hash FROM channels
             WHERE id = ANY ($1) AND state IN ('creating', 'live', 'stopping') AND stream_id IS NOT NULL
               AND (expires_at IS NULL OR expires_at > now())",
            &[(&ids, Type::UUID_ARRAY)],
        )
        .await
        .context("reading channels")?;
    rows.iter()
        .map(|row| {
            let channel = Channel { stream_id: row.try_get(1)?, service: row.try_get(2)?, token_hash: row.try_get(3)? };
            Ok((row.try_get(0)?, channel))
        })
        .collect()
}

/// The mailboxes of addresses, in small letters: stream, and its newest open channel.
pub async fn mailboxes(client: &impl GenericClient, addresses: &[&str]) -> anyhow::Result<HashMap<String, (i64, Option<Uuid>)>> {
    let rows = client
        .query_typed(
            "SELECT lower(u.email), s.id, (SELECT c.id FROM channels c WHERE c.stream_id = s.id AND c.state IN ('creating', 'live', 'stopping')
               ORDER BY c.created_at DESC LIMIT 1)
             FROM users u JOIN streams s ON s.user_id = u.id
             WHERE lower(u.email) = ANY ($1) AND s.service = 'gmail' AND s.state <> 'removed'",
            &[(&addresses, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading mailboxes")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)))).collect()
}

/// The streams of bots that are not done, by Attendee's ids.
pub async fn streams_of_bots(client: &impl GenericClient, bots: &[&str]) -> anyhow::Result<HashMap<String, i64>> {
    let rows = client
        .query_typed(
            "SELECT b.bot_id, s.id FROM attendee_bots b JOIN streams s ON s.attendee_project = b.project_id
             WHERE b.bot_id = ANY ($1) AND b.state IN ('open', 'ended') AND s.state <> 'removed'",
            &[(&bots, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading the streams of bots")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// What is to be stored.
#[derive(Debug, Clone)]
pub struct Notification {
    /// `channel:<id>`, `pubsub:<subscription>`, `attendee`
    pub source: String,
    /// What makes it one of a kind within its source.
    pub key: String,
    pub stream_id: Option<i64>,
    pub channel_id: Option<Uuid>,
    /// Whether it makes its stream due.
    pub change: bool,
}

/// What became of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    New,
    /// It was there before.
    Known,
    /// Not stored: another transaction holds its stream.
    LeftOut,
}

/// Stores those that are new, together; answers what became of each.
pub async fn store(tx: &Transaction<'_>, arrived: &[Notification]) -> anyhow::Result<Vec<Stored>> {
    let sources: Vec<&str> = arrived.iter().map(|one| one.source.as_str()).collect();
    let keys: Vec<&str> = arrived.iter().map(|one| one.key.as_str()).collect();
    let streams: Vec<Option<i64>> = arrived.iter().map(|one| one.stream_id).collect();
    let channels: Vec<Option<Uuid>> = arrived.iter().map(|one| one.channel_id).collect();
    let changes: Vec<bool> = arrived.iter().map(|one| one.change).collect();
    let row = tx
        .query_typed_one(
            STORE,
            &[
                (&sources, Type::TEXT_ARRAY),
                (&keys, Type::TEXT_ARRAY),
                (&streams, Type::INT8_ARRAY),
                (&channels, Type::UUID_ARRAY),
                (&changes, Type::BOOL_ARRAY),
            ],
        )
        .await
        .context("storing notifications")?;
    let mut stored = vec![Stored::Known; arrived.len()];
    for (column, what) in [(0, Stored::New), (1, Stored::LeftOut)] {
        for place in row.try_get::<_, Option<Vec<i64>>>(column)?.unwrap_or_default() {
            // Places begin at 1.
            if let Some(one) = usize::try_from(place - 1).ok().and_then(|place| stored.get_mut(place)) {
                *one = what;
            }
        }
    }
    Ok(stored)
}

/// Services in which something was announced that no poll has seen, and that may be polled now.
pub async fn pushed_services(pool: &Pool) -> anyhow::Result<Vec<String>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT DISTINCT service FROM streams
             WHERE pushed_at > coalesce(polled_at, '-infinity') AND due_at <= now() AND state NOT IN ('removed', 'revoked', 'off')
               AND (claimed_until IS NULL OR claimed_until < now())
             ORDER BY service",
            &[],
        )
        .await
        .context("looking for announced streams")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Which notifications are old: `$1` are the seconds that they are kept.
const OLD: &str = "received_at < now() - make_interval(secs => $1)";

/// How many notifications are older than this.
pub async fn count_old(pool: &Pool, keep: Duration) -> anyhow::Result<u64> {
    let statement = format!("SELECT count(*) FROM notifications WHERE {OLD}");
    let row = pool.get().await?.query_typed_one(&statement, &[(&keep.as_secs_f64(), Type::FLOAT8)]).await;
    let count: i64 = row.context("counting old notifications")?.try_get(0)?;
    Ok(count.unsigned_abs())
}

/// Forgets notifications that are older than this, `chunk` of them at the most; answers how many.
pub async fn forget(pool: &Pool, keep: Duration, chunk: i64) -> anyhow::Result<u64> {
    let statement = format!(
        "DELETE FROM notifications WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM notifications WHERE {OLD} ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED))"
    );
    pool.get()
        .await?
        .execute_typed(&statement, &[(&keep.as_secs_f64(), Type::FLOAT8), (&chunk, Type::INT8)])
        .await
        .context("forgetting old notifications")
}
