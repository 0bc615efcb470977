//! One process at a time refreshes an account's token: the right to do so, and what comes of it (table `accounts`).

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;

/// Takes the right to refresh this user's token for `seconds`. False: another process has it.
pub async fn begin_refresh(pool: &Pool, user: Uuid, by: Uuid, seconds: f64) -> anyhow::Result<bool> {
    let taken = pool
        .get()
        .await?
        .execute_typed(
            "UPDATE accounts SET refreshing_by = $2, refreshing_until = now() + make_interval(secs => $3)
             WHERE user_id = $1 AND (refreshing_until IS NULL OR refreshing_until < now())",
            &[(&user, Type::UUID), (&by, Type::UUID), (&seconds, Type::FLOAT8)],
        )
        .await
        .context("taking the right to refresh a token")?;
    Ok(taken == 1)
}

/// Stores a fresh access token and gives the right to refresh back. An account that was revoked lives again.
pub async fn store_token(pool: &Pool, user: Uuid, by: Uuid, sealed: &[u8], seconds: f64) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE accounts SET access_token = $3, token_expires_at = now() + make_interval(secs => $4),
               refreshing_by = NULL, refreshing_until = NULL, state = 'active', state_reason = NULL
             WHERE user_id = $1 AND refreshing_by = $2",
            &[(&user, Type::UUID), (&by, Type::UUID), (&sealed, Type::BYTEA), (&seconds, Type::FLOAT8)],
        )
        .await
        .context("storing an access token")?;
    Ok(())
}

/// Gives the right to refresh back without a token; with a `reason` the account is revoked. True: it was not before.
pub async fn end_refresh(pool: &Pool, user: Uuid, by: Uuid, reason: Option<&str>) -> anyhow::Result<bool> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            // The streams say it too: a claim must not look at every account to find the few that are not called.
            "WITH streams AS (UPDATE streams SET state = 'revoked' WHERE user_id = $1 AND $3::text IS NOT NULL AND state <> 'removed')
             UPDATE accounts a SET refreshing_by = NULL, refreshing_until = NULL,
               state = CASE WHEN $3::text IS NULL THEN a.state ELSE 'revoked' END,
               state_reason = coalesce($3, a.state_reason),
               state_since = CASE WHEN $3 IS NULL OR a.state = 'revoked' THEN a.state_since ELSE now() END,
               access_token = CASE WHEN $3 IS NULL THEN a.access_token END
             FROM (SELECT user_id, state FROM accounts WHERE user_id = $1 FOR UPDATE) old
             WHERE a.user_id = $1 AND a.refreshing_by = $2
             RETURNING $3 IS NOT NULL AND old.state <> 'revoked'",
            &[(&user, Type::UUID), (&by, Type::UUID), (&reason, Type::TEXT)],
        )
        .await
        .context("ending a token refresh")?;
    row.map_or(Ok(false), |row| Ok(row.try_get(0)?))
}
