//! Received notifications (tables `notifications`, `channels`, `streams`): the allowed senders, and storing each once. Independent of HTTP.

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

/// Returns those of the channels that are open: not stopped, not expired, and of an existing stream. A channel whose answer has not arrived yet
/// (`creating`) can already announce changes, and so can one that is being replaced (`stopping`).
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

/// The mailboxes of these lower-case addresses: stream and its newest open channel.
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

/// The streams of unfinished bots, by Attendee's ids.
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

/// A notification to store.
#[derive(Debug, Clone)]
pub struct Notification {
    /// `channel:<id>`, `pubsub:<subscription>` or `attendee`.
    pub source: String,
    /// Its unique key within the source.
    pub key: String,
    pub stream_id: Option<i64>,
    pub channel_id: Option<Uuid>,
    /// Whether it makes its stream due.
    pub change: bool,
}

/// How a notification was handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    New,
    /// It was already stored.
    Known,
    /// Not stored: another transaction holds its stream.
    LeftOut,
}

/// Stores new notifications together. Returns how each was handled.
pub async fn store(tx: &Transaction<'_>, arrived: &[Notification]) -> anyhow::Result<Vec<Stored>> {
    let sources: Vec<&str> = arrived.iter().map(|notification| notification.source.as_str()).collect();
    let keys: Vec<&str> = arrived.iter().map(|notification| notification.key.as_str()).collect();
    let streams: Vec<Option<i64>> = arrived.iter().map(|notification| notification.stream_id).collect();
    let channels: Vec<Option<Uuid>> = arrived.iter().map(|notification| notification.channel_id).collect();
    let changes: Vec<bool> = arrived.iter().map(|notification| notification.change).collect();
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
        for ordinal in row.try_get::<_, Option<Vec<i64>>>(column)?.unwrap_or_default() {
            // Ordinals begin at 1.
            if let Some(entry) = usize::try_from(ordinal - 1).ok().and_then(|index| stored.get_mut(index)) {
                *entry = what;
            }
        }
    }
    Ok(stored)
}

/// Services with announced streams that no poll has seen since and that can be polled now.
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

/// Condition for old notifications. `$1`: retention in seconds.
const OLD: &str = "received_at < now() - make_interval(secs => $1)";

/// Number of notifications older than this.
pub async fn count_old(pool: &Pool, keep: Duration) -> anyhow::Result<u64> {
    let statement = format!("SELECT count(*) FROM notifications WHERE {OLD}");
    let row = pool.get().await?.query_typed_one(&statement, &[(&keep.as_secs_f64(), Type::FLOAT8)]).await;
    let count: i64 = row.context("counting old notifications")?.try_get(0)?;
    Ok(count.unsigned_abs())
}

/// Deletes up to `chunk` notifications that are older than this. Returns how many.
pub async fn forget(pool: &Pool, keep: Duration, chunk: i64) -> anyhow::Result<u64> {
    let statement = format!(
        "DELETE FROM notifications WHERE ctid = ANY (ARRAY(
           SELECT ctid FROM notifications WHERE {OLD} ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED))"
    );
    pool.get()
        .await?
        .execute_typed(&statement, &[(&keep.as_secs_f64(), Type::FLOAT8), (&chunk, Type::INT8)])
        .await
        .context("deleting old notifications")
}
