//! Push channels (table `channels`), and until when a stream's changes are announced (`streams.push_until`). Knows no Google.

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;

/// The stream's channels but this one say until when its changes are announced. For statements that take `$1`, a channel, out of `live`.
const PUSH_UNTIL: &str = "UPDATE streams s SET push_until = (SELECT max(o.expires_at) FROM channels o
    WHERE o.stream_id = s.id AND o.state = 'live' AND o.id <> $1) FROM ended WHERE s.id = ended.stream_id";

/// A channel to ask for.
#[derive(Debug)]
pub struct NewChannel<'a> {
    pub id: Uuid,
    pub run: Uuid,
    pub stream: i64,
    pub address: &'a str,
    pub token_hash: &'a [u8],
    /// The stream's channels as far as the run knows them.
    pub seen: &'a [Uuid],
    /// Seconds.
    pub life: f64,
}

/// Writes the row of a channel that is about to be asked for; answers until when to ask for it, by the database's clock. `None`: another
/// run asks for one of this stream, or has made one that this run has not seen, or the stream is gone.
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

/// The channel is there. What was refused to its stream before is over. False: while its answer was under way another run took this one for dead,
/// and the stream may have got another.
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
               WHERE c.stream_id = born.stream_id AND c.state = 'refused'
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

/// Google will have no such channel. One row a stream says so: the last.
pub async fn refused(pool: &Pool, id: Uuid, error: &str) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "WITH new AS (
               UPDATE channels SET state = 'refused', failures = failures + 1, last_error = $2 WHERE id = $1 RETURNING stream_id
             )
             UPDATE channels c SET state = 'stopped', ended_at = now() FROM new
             WHERE c.stream_id = new.stream_id AND c.state = 'refused' AND c.id <> $1",
            &[(&id, Type::UUID), (&error, Type::TEXT)],
        )
        .await
        .context("recording a refused channel")?;
    Ok(())
}

/// The channel is to be stopped; with an `error`, that was tried and failed.
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

/// The channel is no more, or never was.
pub async fn stopped(pool: &Pool, id: Uuid) -> anyhow::Result<()> {
    let statement = format!(
        "WITH ended AS (UPDATE channels SET state = 'stopped', ended_at = now() WHERE id = $1 RETURNING stream_id) {PUSH_UNTIL}"
    );
    pool.get().await?.execute_typed(&statement, &[(&id, Type::UUID)]).await.context("recording a stopped channel")?;
    Ok(())
}

/// Puts rows right that time has overtaken: channels that have expired are stopped, those whose run died while it asked are to be stopped,
/// old rows go.
pub async fn tidy(pool: &Pool, service: &str) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "WITH expired AS (
               UPDATE channels SET state = 'stopped', ended_at = expires_at
               WHERE service = $1 AND state IN ('live', 'stopping') AND expires_at <= now()
             ), orphaned AS (
               UPDATE channels c SET state = 'stopping', last_error = 'the run that asked for it died before the answer was stored'
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

/// Where a channel stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Creating,
    Live,
    Stopping,
    Refused,
}

/// A channel that is not over.
#[derive(Debug, Clone)]
pub struct Channel {
    pub id: Uuid,
    /// `None`: the stream was deleted.
    pub stream: Option<i64>,
    pub user: Uuid,
    pub state: State,
    pub address: String,
    /// Where Google's answer was lost, as earlier channels of the stream have it; `None`: there was none.
    pub resource: Option<String>,
    /// Whether Google's answer was lost.
    pub lost: bool,
    /// Whether a try to stop it failed, which was told.
    pub told: bool,
    /// Seconds that it still lives, by the database's clock.
    pub left: f64,
    /// Seconds from its making to its end.
    pub life: f64,
}

/// Every channel of a service that is not over.
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
                state: match row.try_get(3)? {
                    "creating" => State::Creating,
                    "live" => State::Live,
                    "stopping" => State::Stopping,
                    "refused" => State::Refused,
                    other => anyhow::bail!("a channel in state {other:?}; the database is of a newer syncctl"),
                },
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

/// The streams of these kinds that should have a channel: followed ones that are well.
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
