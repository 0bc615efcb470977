//! Token refresh: the right to refresh an account's token, held by one process at a time, and the outcome (table `accounts`).

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::claims::AccountRow;
use crate::db::{Pool, streams};

/// Takes the right to refresh this user's token for `seconds`. Returns `false` if another process has it.
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

/// A new access token to store.
#[derive(Debug)]
pub struct Fresh<'a> {
    pub sealed: &'a [u8],
    /// Lifetime in seconds.
    pub lives: f64,
    /// The granted scopes, as reported by the endpoint.
    pub granted: Option<&'a str>,
}

/// Stores a new access token and releases the right to refresh. If the account was refused, it becomes active again and its failed streams
/// become due. Returns the scopes of the grant at its first use.
pub async fn store_token(pool: &Pool, user: Uuid, by: Uuid, fresh: &Fresh<'_>) -> anyhow::Result<Option<String>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            "WITH old AS (
               SELECT FROM accounts WHERE user_id = $1 AND refreshing_by = $2 AND (state = 'revoked' OR refused_at IS NOT NULL)
             ), resumed AS (
               UPDATE streams SET due_at = now(), state = CASE state WHEN 'revoked' THEN 'active' ELSE state END
               WHERE user_id = $1 AND EXISTS (SELECT FROM old) AND state NOT IN ('removed', 'off') AND (failures > 0 OR state = 'revoked')
             )
             UPDATE accounts SET access_token = $3, token_expires_at = now() + make_interval(secs => $4),
               refreshing_by = NULL, refreshing_until = NULL, refused_at = NULL, ask_at = NULL, state_reason = NULL,
               state = 'active', state_since = CASE state WHEN 'active' THEN state_since ELSE now() END, granted = coalesce(granted, $5)
             WHERE user_id = $1 AND refreshing_by = $2
             RETURNING granted",
            &[
                (&user, Type::UUID),
                (&by, Type::UUID),
                (&fresh.sealed, Type::BYTEA),
                (&fresh.lives, Type::FLOAT8),
                (&fresh.granted, Type::TEXT),
            ],
        )
        .await
        .context("storing an access token")?;
    row.map_or(Ok(None), |row| Ok(row.try_get(0)?))
}

/// Why a refresh ended without a token.
#[derive(Debug, Clone, Copy)]
pub enum Refusal<'a> {
    /// The endpoint gave no verdict on the grant.
    None,
    /// Refused for this reason, and retried soon.
    ForNow(&'a str),
    /// Refused for this reason; the account is revoked.
    Revoked(&'a str),
}

/// Releases the right to refresh without a token. Returns `true` if this revoked the account.
pub async fn end_refresh(pool: &Pool, user: Uuid, by: Uuid, refusal: Refusal<'_>) -> anyhow::Result<bool> {
    let (reason, revoked) = match refusal {
        Refusal::None => (None, false),
        Refusal::ForNow(reason) => (Some(reason), false),
        Refusal::Revoked(reason) => (Some(reason), true),
    };
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            // The streams record it too, so that a claim need not check every account to find the few that are not called.
            // Only while the right is still held: an account that was renewed in the meantime must not be revoked for its old grant.
            "WITH old AS (SELECT state FROM accounts WHERE user_id = $1 AND refreshing_by = $2 FOR UPDATE),
             streams AS (
               UPDATE streams SET state = 'revoked'
               WHERE user_id = $1 AND $4 AND EXISTS (SELECT FROM old) AND state NOT IN ('removed', 'off') AND service <> ALL ($5))
             UPDATE accounts a SET refreshing_by = NULL, refreshing_until = NULL,
               state = CASE WHEN $4 THEN 'revoked' ELSE a.state END,
               state_reason = coalesce($3, a.state_reason),
               state_since = CASE WHEN $4 AND a.state <> 'revoked' THEN now() ELSE a.state_since END,
               refused_at = CASE WHEN $3::text IS NULL THEN a.refused_at ELSE coalesce(a.refused_at, now()) END,
               ask_at = CASE
                 -- Spread out: thousands of accounts of one domain can be revoked in the same minute.
                 WHEN $4 THEN now() + (0.9 + 0.1 * random()) * CASE
                   WHEN a.state = 'revoked' AND a.state_since < now() - interval '7 days' THEN interval '7 days' ELSE interval '1 day' END
                 WHEN $3 IS NOT NULL AND a.state = 'active'
                   THEN now() + least(greatest(now() - a.refused_at, interval '10 minutes'), interval '1 hour')
                 ELSE a.ask_at END,
               access_token = CASE WHEN NOT $4 THEN a.access_token END
             FROM old WHERE a.user_id = $1
             RETURNING $4 AND old.state <> 'revoked'",
            &[
                (&user, Type::UUID),
                (&by, Type::UUID),
                (&reason, Type::TEXT),
                (&revoked, Type::BOOL),
                (&streams::WITHOUT_ACCOUNT, Type::TEXT_ARRAY),
            ],
        )
        .await
        .context("ending a token refresh")?;
    row.map_or(Ok(false), |row| Ok(row.try_get(0)?))
}

/// Takes up to `limit` revoked accounts that are due for a retry, the longest overdue first. The caller must retry each: an account is due again
/// in an hour unless the endpoint gives its verdict.
pub async fn take_revoked(pool: &Pool, limit: i64) -> anyhow::Result<Vec<AccountRow>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "UPDATE accounts SET ask_at = now() + interval '1 hour'
             WHERE user_id IN (
               SELECT user_id FROM accounts WHERE state = 'revoked' AND ask_at <= now() ORDER BY ask_at LIMIT $1 FOR UPDATE SKIP LOCKED)
             RETURNING user_id, project",
            &[(&limit, Type::INT8)],
        )
        .await
        .context("looking for revoked accounts to retry")?;
    rows.iter()
        .map(|row| Ok(AccountRow { user_id: row.try_get(0)?, project: row.try_get(1)?, access_token: None, token_seconds: None }))
        .collect()
}
