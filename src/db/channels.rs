//! Push channels (table `channels`), and until when a stream's changes are announced (`streams.push_until`). Independent of Google.

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;
use crate::state::ChannelState;

/// Recomputes `push_until` from the stream's other channels. For statements in which channel `$1` leaves the state `live`.
const PUSH_UNTIL: &str = "UPDATE streams s SET push_until = (SELECT max(o.expires_at) FROM channels o
    WHERE o.stream_id = s.id AND o.state = 'live' AND o.id <> $1) FROM ended WHERE s.id = ended.stream_id";

/// A channel to request.
#[derive(Debug)]
pub struct NewChannel<'a> {
    pub id: Uuid,
    pub run: Uuid,
    pub stream: i64,
    pub address: &'a str,
    pub token_hash: &'a [u8],
    /// The stream's channels that the run knows.
    pub seen: &'a [Uuid],
    /// Lifetime in seconds.
    pub life: f64,
}

/// Writes the row of a channel before it is requested. Returns the expiry to request, by the database's clock. `None`: another run is requesting
/// a channel for this stream or has created one that this run has not seen, or the stream is gone.
pub async fn create(pool: &Pool, new: &NewChannel<'_>) -> anyhow::Result<Option<DateTime<Utc>>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            "INSERT INTO channels (id, stream_id, user_id, service, address, token_hash, run_id, created_at, expires_at)
             SELECT $1, id, user_id, service, $3, $4, $5, now(), now() + make_interval(secs => $6)
             FROM streams WHERE id = $2 AND state NOT IN ('removed', 'revoked', 'off')
               AND NOT EXISTS (SELECT 1 FROM channels c WHERE c.stream_id = $2 AND c.state = 'live' AND c.id <> ALL ($7))
             ON CONFLICT (stream_id) WHERE state = 'creating' DO NOTHING
             RETURNING expires_at",
            &[
                (&new.id, Type::UUID),
                (&new.stream, Type::INT8),
                (&new.address, Type::TEXT),
                (&new.token_hash, Type::BYTEA),
                (&new.run, Type::UUID),
                (&new.life, Type::FLOAT8),
                (&new.seen, Type::UUID_ARRAY),
            ],
        )
        .await
        .context("writing the row of a new channel")?;
    row.map(|row| row.try_get(0)).transpose().context("reading a new channel")
}

/// Marks the channel as live and ends earlier refusals of its stream. Returns `false` if another run took this one for dead before the answer
/// arrived; the stream may then have another channel.
pub async fn live(pool: &Pool, id: Uuid, resource: &str, expires_at: DateTime<Utc>) -> anyhow::Result<bool> {
    let row = pool
        .get()
        .await?
        .query_typed_one(
            "WITH born AS (
               UPDATE channels SET state = 'live', resource_id = $2, expires_at = $3, failures = 0, last_error = NULL
               WHERE id = $1 AND state = 'creating' RETURNING stream_id
             ), forgiven AS (
               UPDATE channels c SET state = 'stopped', ended_at = now() FROM born
               WHERE c.stream_id = born.stream_id AND c.state IN ('refused', 'unsupported')
             ), announced AS (
               UPDATE streams s SET push_until = greatest(push_until, $3), push_missed = 0 FROM born WHERE s.id = born.stream_id
             )
             SELECT EXISTS (SELECT FROM born)",
            &[(&id, Type::UUID), (&resource, Type::TEXT), (&expires_at, Type::TIMESTAMPTZ)],
        )
        .await
        .context("recording a live channel")?;
    Ok(row.try_get(0)?)
}

/// Marks the channel as refused by Google: `Refused` or `Unsupported`. Only the last refusal of a stream is kept.
pub async fn refused(pool: &Pool, id: Uuid, state: ChannelState, error: &str) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "WITH new AS (
               UPDATE channels SET state = $3, failures = failures + 1, last_error = $2 WHERE id = $1 RETURNING stream_id
             )
             UPDATE channels c SET state = 'stopped', ended_at = now() FROM new
             WHERE c.stream_id = new.stream_id AND c.state IN ('refused', 'unsupported') AND c.id <> $1",
            &[(&id, Type::UUID), (&error, Type::TEXT), (&state, Type::TEXT)],
        )
        .await
        .context("recording a refused channel")?;
    Ok(())
}

/// Marks the channel as to be stopped. `error`: an attempt to stop it failed.
pub async fn stopping(pool: &Pool, id: Uuid, error: Option<&str>) -> anyhow::Result<()> {
    let statement = format!(
        "WITH ended AS (
           UPDATE channels SET state = 'stopping', failures = failures + CASE WHEN $2::text IS NULL THEN 0 ELSE 1 END,
             last_error = coalesce($2, last_error)
           WHERE id = $1 RETURNING stream_id
         ) {PUSH_UNTIL}"
    );
    let client = pool.get().await?;
    client
        .execute_typed(&statement, &[(&id, Type::UUID), (&error, Type::TEXT)])
        .await
        .context("recording that a channel is to be stopped")?;
    Ok(())
}

/// Marks the channel as stopped, whether or not it ever existed at Google.
pub async fn stopped(pool: &Pool, id: Uuid) -> anyhow::Result<()> {
    let statement = format!(
        "WITH ended AS (UPDATE channels SET state = 'stopped', ended_at = now() WHERE id = $1 RETURNING stream_id) {PUSH_UNTIL}"
    );
    pool.get().await?.execute_typed(&statement, &[(&id, Type::UUID)]).await.context("recording a stopped channel")?;
    Ok(())
}

/// Updates outdated rows: expired channels become stopped, channels whose run died while requesting them are to be stopped, and old rows are
/// deleted.
pub async fn tidy(pool: &Pool, service: &str) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "WITH expired AS (
               UPDATE channels SET state = 'stopped', ended_at = expires_at
               WHERE service = $1 AND state IN ('live', 'stopping') AND expires_at <= now()
             ), orphaned AS (
               UPDATE channels c SET state = 'stopping', last_error = 'the run that requested it died before it stored the answer'
               WHERE service = $1 AND state = 'creating' AND NOT EXISTS (
                 SELECT 1 FROM runs r WHERE r.id = c.run_id AND r.status = 'running' AND r.alive_until > now())
             )
             DELETE FROM channels WHERE service = $1 AND state = 'stopped' AND ended_at < now() - interval '30 days'",
            &[(&service, Type::TEXT)],
        )
        .await
        .context("tidying channels")?;
    Ok(())
}

/// A channel that has not ended.
#[derive(Debug, Clone)]
pub struct Channel {
    pub id: Uuid,
    /// `None`: the stream was deleted.
    pub stream: Option<i64>,
    pub user: Uuid,
    pub state: ChannelState,
    pub address: String,
    /// Google's resource id. If its answer was lost, the one of an earlier channel of the stream, if any.
    pub resource: Option<String>,
    /// Whether Google's answer was lost.
    pub lost: bool,
    /// Whether an attempt to stop it failed and was reported.
    pub told: bool,
    /// Remaining seconds, by the database's clock.
    pub left: f64,
    /// Seconds from its creation to its expiry.
    pub life: f64,
}

/// Every channel of a service that has not ended.
pub async fn open(pool: &Pool, service: &str, users: Option<&[Uuid]>) -> anyhow::Result<Vec<Channel>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT id, stream_id, user_id, state, address,
               CASE WHEN resource_id IS NOT NULL THEN resource_id ELSE (
                 SELECT o.resource_id FROM channels o WHERE o.stream_id = c.stream_id AND o.resource_id IS NOT NULL LIMIT 1) END,
               coalesce(extract(epoch FROM expires_at - now())::float8, 0),
               coalesce(extract(epoch FROM expires_at - created_at)::float8, 0), resource_id IS NULL, failures > 0
             FROM channels c WHERE service = $1 AND state <> 'stopped' AND ($2::uuid[] IS NULL OR user_id = ANY ($2))",
            &[(&service, Type::TEXT), (&users, Type::UUID_ARRAY)],
        )
        .await
        .context("listing channels")?;
    rows.iter()
        .map(|row| {
            Ok(Channel {
                id: row.try_get(0)?,
                stream: row.try_get(1)?,
                user: row.try_get(2)?,
                state: row.try_get(3)?,
                address: row.try_get(4)?,
                resource: row.try_get(5)?,
                left: row.try_get(6)?,
                life: row.try_get(7)?,
                lost: row.try_get(8)?,
                told: row.try_get(9)?,
            })
        })
        .collect()
}

/// A stream that should have a channel.
#[derive(Debug, Clone, Copy)]
pub struct Watchable {
    pub id: i64,
    pub user: Uuid,
    /// Changes in a row that its channel did not announce.
    pub missed: i32,
}

/// The streams of these kinds that should have a channel: healthy ones with a cursor.
pub async fn watchable(pool: &Pool, service: &str, kinds: &[&str], users: Option<&[Uuid]>) -> anyhow::Result<Vec<Watchable>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT id, user_id, push_missed FROM streams
             WHERE service = $1 AND kind = ANY ($2) AND state IN ('active', 'degraded') AND cursor IS NOT NULL
               AND ($3::uuid[] IS NULL OR user_id = ANY ($3))
             ORDER BY id",
            &[(&service, Type::TEXT), (&kinds, Type::TEXT_ARRAY), (&users, Type::UUID_ARRAY)],
        )
        .await
        .context("listing streams to watch")?;
    rows.iter().map(|row| Ok(Watchable { id: row.try_get(0)?, user: row.try_get(1)?, missed: row.try_get(2)? })).collect()
}
