//! Streams that are compared with their provider, and made to begin anew where they differ (table `streams`). Knows no service.

use std::collections::HashSet;

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;
use super::streams::Position;

/// Streams chosen to be compared.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// `streams.id`
    pub ids: Vec<i64>,
    /// Those of them whose project Google told to stop, each with why.
    pub paused: Vec<(i64, String)>,
    /// How many there were to choose from.
    pub of: i64,
}

/// Chooses at most so many streams of a service, the same ones for the same seed; `None`: all of them.
pub async fn choose(pool: &Pool, service: &str, users: Option<&[Uuid]>, most: Option<i64>, seed: i64) -> anyhow::Result<Chosen> {
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
            &[(&service, Type::TEXT), (&users, Type::UUID_ARRAY), (&most, Type::INT8), (&seed, Type::INT8)],
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

/// Where a stream stands, as a transaction sees it beside its rows.
#[derive(Debug, Clone)]
pub struct StreamState {
    pub position: Position,
    /// When its last complete pass ended.
    pub full_pass_at: Option<DateTime<Utc>>,
    /// Items that lie in quarantine, by their ids.
    pub quarantined: HashSet<String>,
}

/// Reads where a stream stands. `None`: it is not followed any more.
pub async fn state(tx: &Transaction<'_>, id: i64) -> anyhow::Result<Option<StreamState>> {
    let row = tx
        .query_typed_opt(
            "SELECT cursor, page_token, pinned, pass, full_pass_at,
               ARRAY(SELECT q.item_id FROM quarantined_items q WHERE q.stream_id = s.id)
             FROM streams s WHERE id = $1 AND state NOT IN ('removed', 'revoked', 'off')",
            &[(&id, Type::INT8)],
        )
        .await
        .context("reading where a stream stands")?;
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

/// Lets a claimed stream begin with a complete pass. Unlike a cursor that expired this says nothing against the stream, and is not counted.
/// False: it is not ours any more, and the caller rolls back.
pub async fn begin_anew(tx: &Transaction<'_>, run: Uuid, id: i64) -> anyhow::Result<bool> {
    let moved = tx
        .execute_typed(
            "UPDATE streams SET cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL WHERE id = $1 AND claimed_by = $2",
            &[(&id, Type::INT8), (&run, Type::UUID)],
        )
        .await
        .context("letting a stream begin anew")?;
    Ok(moved == 1)
}
