//! Streams of named users that a run did not claim, with the reasons (tables `streams`, `accounts`, `runs`).

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;
use crate::db::lease_holder::Holder;
use crate::state::{AccountState, StreamState};

/// A stream of a named user that was not claimed.
#[derive(Debug, Clone)]
pub struct Unclaimed {
    /// `streams.id`; 0 for a user without an account.
    pub id: i64,
    pub user_id: Uuid,
    pub kind: String,
    pub why: Why,
}

/// Why a stream was not claimed.
#[derive(Debug, Clone)]
pub enum Why {
    /// The account is not called for this reason.
    Refused(String),
    /// The account was ended with `accounts revoke`.
    Ended,
    /// The service is switched off for the user in syncctl.
    Off,
    /// Its project is paused.
    Paused,
    /// Another run holds it.
    Held(Holder),
    /// None of the above: another PostgreSQL session holds its row.
    Locked,
}

/// The streams of these users that `run` has not claimed, without removed ones. A user without an account gets one entry for all streams.
pub async fn unclaimed(pool: &Pool, run: Uuid, service: &str, users: &[Uuid]) -> anyhow::Result<Vec<Unclaimed>> {
    let who = Holder::WHO;
    let statement = format!(
            "SELECT s.id, s.user_id, s.kind, s.state, coalesce(a.state_reason, ''),
               EXISTS (SELECT FROM quota_pauses p WHERE p.service = s.service AND p.project = a.project AND p.until > now()),
               CASE WHEN s.claimed_until > now() THEN s.claimed_by END, s.claimed_until, {who}, a.state
             FROM streams s LEFT JOIN accounts a ON a.user_id = s.user_id LEFT JOIN runs r ON r.id = s.claimed_by
             WHERE s.user_id = ANY ($3) AND s.service = $2 AND s.state <> 'removed' AND s.last_run IS DISTINCT FROM $1
             UNION ALL
             SELECT 0, u.id, '', 'revoked', 'the user has no credentials; import the account', false, NULL, NULL, NULL, NULL, NULL, NULL, NULL
             FROM users u WHERE u.id = ANY ($3) AND NOT EXISTS (SELECT FROM accounts a WHERE a.user_id = u.id)
             ORDER BY 1"
    );
    let rows = pool
        .get()
        .await?
        .query_typed(&statement, &[(&run, Type::UUID), (&service, Type::TEXT), (&users, Type::UUID_ARRAY)])
        .await
        .context("listing unclaimed streams")?;
    let unclaimed = rows.iter().map(|row| {
        let account: Option<AccountState> = row.try_get(12)?;
        let why = match row.try_get(3)? {
            StreamState::Revoked if account == Some(AccountState::Ended) => Why::Ended,
            StreamState::Revoked => Why::Refused(row.try_get(4)?),
            StreamState::Off => Why::Off,
            StreamState::Active | StreamState::Stopped | StreamState::Degraded | StreamState::Removed => {
                match (row.try_get(5)?, row.try_get::<_, Option<Uuid>>(6)?) {
                    (true, _) => Why::Paused,
                    (false, Some(run)) => Why::Held(Holder { run, until: row.try_get(7)?, who: Holder::who(row, 8)? }),
                    (false, None) => Why::Locked,
                }
            }
        };
        Ok(Unclaimed { id: row.try_get(0)?, user_id: row.try_get(1)?, kind: row.try_get(2)?, why })
    });
    unclaimed.collect()
}
