//! Complete passes that are asked for, and the settings that the last ones were made with (`streams.resync_asked_at`, `streams.passed_with`).

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;

/// Streams whose last complete pass was made with the same settings.
#[derive(Debug)]
pub struct PassedWith {
    pub service: String,
    /// By key, as TOML writes them.
    pub settings: serde_json::Value,
    pub streams: i64,
}

/// With which settings complete passes were made. Those of versions that did not note them are left out, and streams that are not polled.
pub async fn passed_with(pool: &Pool) -> anyhow::Result<Vec<PassedWith>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT service, passed_with, count(*) FROM streams
             WHERE passed_with IS NOT NULL AND resync_asked_at IS NULL AND state NOT IN ('removed', 'revoked', 'off')
             GROUP BY 1, 2 ORDER BY 1, 3 DESC",
            &[],
        )
        .await
        .context("reading with which settings passes were made")?;
    rows.iter()
        .map(|row| Ok(PassedWith { service: row.try_get(0)?, settings: row.try_get(1)?, streams: row.try_get(2)? }))
        .collect()
}

/// The streams of a service that have read something, of these users or of all, in the order of their ids.
pub async fn begun(pool: &Pool, service: &str, users: Option<&[Uuid]>) -> anyhow::Result<Vec<i64>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT id FROM streams WHERE service = $1 AND ($2::uuid[] IS NULL OR user_id = ANY ($2)) AND state <> 'removed'
               AND (cursor IS NOT NULL OR pass IS NOT NULL) ORDER BY id",
            &[(&service, Type::TEXT), (&users, Type::UUID_ARRAY)],
        )
        .await
        .context("looking for streams that have read something")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Asks for a complete pass of these streams; they are due, unless something fails. No run that is under way makes it: its settings may be those of before.
pub async fn ask_for_pass(pool: &Pool, ids: &[i64]) -> anyhow::Result<u64> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE streams SET resync_asked_at = clock_timestamp(), due_at = CASE WHEN failures > 0 THEN due_at ELSE least(due_at, now()) END
             WHERE id IN (SELECT id FROM streams WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE)",
            &[(&ids, Type::INT8_ARRAY)],
        )
        .await
        .context("asking for complete passes")
}
