//! Requested complete passes, and the settings of the last ones (`streams.resync_asked_at`, `streams.passed_with`).

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;

/// Number of streams whose last complete pass used the same settings.
#[derive(Debug)]
pub struct PassedWith {
    pub service: String,
    /// By key, with values as in TOML.
    pub settings: serde_json::Value,
    pub streams: i64,
}

/// Settings of the last complete passes. Passes of versions that did not record them and streams that are not polled are left out.
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
        .context("reading the settings of passes")?;
    rows.iter()
        .map(|row| Ok(PassedWith { service: row.try_get(0)?, settings: row.try_get(1)?, streams: row.try_get(2)? }))
        .collect()
}

/// The streams of a service that have read at least one page, of these users or of all, by id.
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
        .context("looking for streams that have read a page")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Requests a complete pass of these streams and makes them due unless they are failing. Runs in progress do not make the pass, because their settings
/// may be outdated.
pub async fn ask_for_pass(pool: &Pool, ids: &[i64]) -> anyhow::Result<u64> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE streams SET resync_asked_at = clock_timestamp(), due_at = CASE WHEN failures > 0 THEN due_at ELSE least(due_at, now()) END
             WHERE id IN (SELECT id FROM streams WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE)",
            &[(&ids, Type::INT8_ARRAY)],
        )
        .await
        .context("requesting complete passes")
}
