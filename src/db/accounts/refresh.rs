//! One process at a time refreshes an account's token: the right to do so, and what comes of it (table `accounts`).

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::claims::AccountRow;
use crate::db::{Pool, streams};

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

/// A fresh access token, as it is stored.
#[derive(Debug)]
pub struct Fresh<'a> {
    pub sealed: &'a [u8],
    /// Seconds that it lives.
    pub lives: f64,
    /// The scopes that the endpoint said it has.
    pub granted: Option<&'a str>,
}

/// Stores a fresh access token and gives the right to refresh back. An account that was refused works again, and what it had failed for is due.
/// Answers the scopes that the grant held when it was first asked with.
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

/// How a refresh ended without a token.
#[derive(Debug, Clone, Copy)]
pub enum Refusal<'a> {
    /// Nothing was said of the grant.
    None,
    /// Refused with this reason, and asked again soon.
    ForNow(&'a str),
    /// Refused with this reason; the account is revoked.
    Revoked(&'a str),
}

/// Gives the right to refresh back without a token. True: the account is revoked, and was not before.
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
            // The streams say it too: a claim must not look at every account to find the few that are not called.
            // Only for whoever still has the right: an account that was renewed meanwhile is not to be blamed for its old grant.
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
                 -- Spread out: thousands of accounts of one domain are revoked in the same minute.
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

/// Takes revoked accounts that are to be asked again, the longest overdue first. Whoever takes one is to ask: it comes up again within the
/// hour unless the endpoint gave its verdict.
pub async fn take_revoked(pool: &Pool, most: i64) -> anyhow::Result<Vec<AccountRow>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "UPDATE accounts SET ask_at = now() + interval '1 hour'
             WHERE user_id IN (
               SELECT user_id FROM accounts WHERE state = 'revoked' AND ask_at <= now() ORDER BY ask_at LIMIT $1 FOR UPDATE SKIP LOCKED)
             RETURNING user_id, project",
            &[(&most, Type::INT8)],
        )
        .await
        .context("looking for revoked accounts to ask again")?;
    rows.iter()
        .map(|row| Ok(AccountRow { user_id: row.try_get(0)?, project: row.try_get(1)?, access_token: None, token_seconds: None }))
        .collect()
}
