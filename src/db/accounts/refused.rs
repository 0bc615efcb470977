//! Accounts that their provider refuses (tables `accounts`, `streams`): revoked, temporarily refused, or without a scope or API that a service needs.

use anyhow::Context as _;
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::reads::Reads;

/// Number of refused accounts out of all. Accounts ended with `accounts revoke` count in neither.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Refused {
    pub accounts: i64,
    pub of: i64,
    /// Refused accounts with a valid grant that lack a scope or an API.
    pub lacking: i64,
    /// The users of some refused accounts.
    pub first: Vec<Uuid>,
    /// Why one of them is refused.
    pub reason: Option<String>,
    /// `accounts.kind` of the refused accounts.
    pub kinds: Vec<String>,
    /// The client ids of the service accounts that act for them, if known.
    pub client_ids: Vec<String>,
}

impl Refused {
    /// Whether every account is refused, so that none can be polled.
    pub fn is_all(&self) -> bool {
        self.accounts > 0 && self.accounts == self.of
    }

    /// Whether they exceed this share of all accounts, 0 to 1.
    pub fn is_above(&self, share: f64) -> bool {
        self.accounts as f64 > share * self.of as f64
    }

    /// `2 of 12 accounts are refused, such as user …: invalid_grant`
    pub fn in_words(&self) -> String {
        let first: Vec<String> = self.first.iter().map(Uuid::to_string).collect();
        let reason = self.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        format!("{} of {} accounts are refused, such as user {}{reason}", self.accounts, self.of, first.join(", "))
    }
}

/// Counts the refused accounts that have streams of a service, including those that lack a scope or whose API is off. `None`: all accounts,
/// regardless of what each service needs.
pub async fn refused(client: &impl Reads, service: Option<&str>) -> anyhow::Result<Refused> {
    let row = client
        .query_typed_one(
            // Count all accounts only if some are refused.
            "WITH stopped AS MATERIALIZED (
               SELECT user_id, max(failed_message) AS reason FROM streams s
               WHERE service = $1 AND state = 'stopped' AND failed_class IN ('scope_missing', 'api_disabled') AND NOT EXISTS (
                 SELECT FROM streams o WHERE o.user_id = s.user_id AND o.service = $1 AND o.state IN ('active', 'degraded'))
               GROUP BY user_id
             ), refused AS MATERIALIZED (
               SELECT a.user_id, coalesce(state_reason, s.reason) AS reason, state = 'active' AND refused_at IS NULL AS lacks,
                 a.kind, a.client_id
               FROM accounts a LEFT JOIN stopped s ON s.user_id = a.user_id
               WHERE (state = 'revoked' OR state = 'active' AND (refused_at IS NOT NULL OR s.user_id IS NOT NULL))
                 AND ($1::text IS NULL OR EXISTS (
                   SELECT FROM streams s WHERE s.user_id = a.user_id AND s.service = $1 AND s.state NOT IN ('removed', 'off')))
             )
             SELECT (SELECT count(*) FROM refused), CASE WHEN $1 IS NULL OR EXISTS (SELECT FROM refused) THEN (
                 SELECT count(*) FROM accounts a
                 WHERE state <> 'ended' AND ($1::text IS NULL OR EXISTS (
                   SELECT FROM streams s WHERE s.user_id = a.user_id AND s.service = $1 AND s.state NOT IN ('removed', 'off')))) ELSE 0 END,
               ARRAY(SELECT user_id FROM refused ORDER BY user_id LIMIT 3), (SELECT max(reason) FROM refused),
               (SELECT count(*) FROM refused WHERE lacks), ARRAY(SELECT DISTINCT kind FROM refused),
               ARRAY(SELECT DISTINCT client_id FROM refused WHERE client_id IS NOT NULL)",
            &[(&service, Type::TEXT)],
        )
        .await
        .context("counting refused accounts")?;
    Ok(Refused {
        accounts: row.try_get(0)?,
        of: row.try_get(1)?,
        first: row.try_get(2)?,
        reason: row.try_get(3)?,
        lacking: row.try_get(4)?,
        kinds: row.try_get(5)?,
        client_ids: row.try_get(6)?,
    })
}
