//! Verification: chooses streams to compare with their provider, and restarts those that differ (table `streams`). Independent of the services.

use std::collections::HashSet;

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;
use super::streams::Position;

/// Streams chosen for comparison.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// `streams.id`
    pub ids: Vec<i64>,
    /// Streams whose project is paused, with the reason.
    pub paused: Vec<(i64, String)>,
    /// Number of streams to choose from.
    pub of: i64,
}

/// Chooses up to `limit` streams of a service, the same ones for the same seed. `None`: all.
pub async fn choose(pool: &Pool, service: &str, users: Option<&[Uuid]>, limit: Option<i64>, seed: i64) -> anyhow::Result<Chosen> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT s.id, count(*) OVER (),
               (SELECT p.reason FROM quota_pauses p JOIN accounts a ON a.project = p.project
                WHERE p.service = s.service AND p.until > now() AND a.user_id = s.user_id)
             FROM streams s
             WHERE s.service = $1 AND s.state NOT IN ('removed', 'revoked', 'off') AND ($2::uuid[] IS NULL OR s.user_id = ANY ($2))
             ORDER BY hashint8extended(s.id, $4), s.id LIMIT $3",
            &[(&service, Type::TEXT), (&users, Type::UUID_ARRAY), (&limit, Type::INT8), (&seed, Type::INT8)],
        )
        .await
        .context("choosing streams to compare")?;
    let mut chosen = Chosen::default();
    for row in &rows {
        let id = row.try_get(0)?;
        chosen.of = row.try_get(1)?;
        match row.try_get(2)? {
            Some(reason) => chosen.paused.push((id, reason)),
            None => chosen.ids.push(id),
        }
    }
    Ok(chosen)
}

/// The state of a stream, read in the same transaction as its rows.
#[derive(Debug, Clone)]
pub struct StreamState {
    pub position: Position,
    /// When its last complete pass ended.
    pub full_pass_at: Option<DateTime<Utc>>,
    /// Ids of its items in quarantine.
    pub quarantined: HashSet<String>,
}

/// Reads the state of a stream. `None`: it is no longer polled.
pub async fn state(tx: &Transaction<'_>, id: i64) -> anyhow::Result<Option<StreamState>> {
    let row = tx
        .query_typed_opt(
            "SELECT cursor, page_token, pinned, pass, full_pass_at,
               ARRAY(SELECT q.item_id FROM quarantined_items q WHERE q.stream_id = s.id)
             FROM streams s WHERE id = $1 AND state NOT IN ('removed', 'revoked', 'off')",
            &[(&id, Type::INT8)],
        )
        .await
        .context("reading the state of a stream")?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(StreamState {
        position: Position {
            cursor: row.try_get(0)?,
            page_token: row.try_get(1)?,
            pinned: row.try_get(2)?,
            pass: row.try_get(3)?,
        },
        full_pass_at: row.try_get(4)?,
        quarantined: row.try_get::<_, Vec<String>>(5)?.into_iter().collect(),
    }))
}

/// Restarts a claimed stream with a complete pass. Unlike an expired cursor, this is not counted as a resync. Returns `false` if this run no longer holds
/// the stream; the caller must roll back.
pub async fn begin_anew(tx: &Transaction<'_>, run: Uuid, id: i64) -> anyhow::Result<bool> {
    let updated = tx
        .execute_typed(
            "UPDATE streams SET cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL WHERE id = $1 AND claimed_by = $2",
            &[(&id, Type::INT8), (&run, Type::UUID)],
        )
        .await
        .context("restarting a stream")?;
    Ok(updated == 1)
}
