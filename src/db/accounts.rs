//! Users and their accounts (tables `users`, `accounts`). Secrets are sealed blobs in both directions.

mod credentials;
mod refresh;
mod refused;
mod settings;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::claims::AccountRow;
use super::reads::Reads;
use super::{Pool, streams};
use crate::address::Name;
use crate::state::AccountState;

pub use credentials::{Sealed, note_client_id, reseal, sealed_after, store_credentials};
pub use refresh::{Fresh, Refusal, begin_refresh, end_refresh, store_token, take_revoked};
pub use refused::{Refused, refused};
pub use settings::{apply_switches, change_settings, switch};

/// Makes streams due again that failed or are no longer called.
const RESUME: &str = "UPDATE streams SET due_at = now(), state = CASE state WHEN 'revoked' THEN 'active' ELSE state END
  WHERE user_id = $1 AND state <> 'removed' AND (failures > 0 OR state = 'revoked' OR failed_class IN ('service_off', 'not_granted'))";

/// A user and their account's state, for `accounts list`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Listed {
    pub user_id: Uuid,
    pub email: String,
    pub username: Option<String>,
    pub kind: String,
    pub project: String,
    /// The client id of the service account that acts for the user, if known.
    pub client_id: Option<String>,
    pub state: AccountState,
    pub state_reason: Option<String>,
    pub state_since: DateTime<Utc>,
    /// When a refused token is requested again. `None`: it was not refused, or is not retried.
    pub ask_at: Option<DateTime<Utc>>,
    pub imported_at: DateTime<Utc>,
    pub streams: i64,
    pub failing_streams: i64,
    /// Their failure classes (`error::Class`).
    pub failing_classes: Vec<String>,
    /// Services that are switched off for the user in syncctl.
    pub switched_off: Vec<String>,
}

/// A user to add or update.
#[derive(Debug)]
pub struct NewUser<'a> {
    pub email: &'a str,
    pub username: Option<&'a str>,
    pub settings: &'a serde_json::Value,
}

/// Adds a user, or updates the one with this address (case-insensitive). Returns the id and whether the user is new.
pub async fn upsert_user(tx: &Transaction<'_>, user: &NewUser<'_>) -> anyhow::Result<(Uuid, bool)> {
    let row = tx
        .query_typed_one(
            "INSERT INTO users (email, username, settings) VALUES ($1, $2, $3)
             ON CONFLICT (lower(email)) DO UPDATE SET username = coalesce(excluded.username, users.username),
               settings = users.settings || excluded.settings
             RETURNING id, xmax = 0",
            &[(&user.email, Type::TEXT), (&user.username, Type::TEXT), (user.settings, Type::JSONB)],
        )
        .await
        .context("storing the user")?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// All users, or those among `users`.
pub async fn list(pool: &Pool, users: Option<&[Uuid]>) -> anyhow::Result<Vec<Listed>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT u.id, u.email, u.username, a.kind, a.project, a.state, a.state_reason, a.imported_at,
               count(s.id) FILTER (WHERE s.state <> 'removed'), count(s.id) FILTER (WHERE s.failures > 0 AND s.state NOT IN ('removed', 'off')),
               coalesce(array_agg(DISTINCT s.failed_class) FILTER (WHERE s.failures > 0 AND s.failed_class IS NOT NULL AND s.state NOT IN ('removed', 'revoked', 'off')), '{}'),
               coalesce(array_agg(DISTINCT s.service) FILTER (WHERE s.state = 'off'), '{}'), a.client_id, a.state_since, a.ask_at
             FROM users u JOIN accounts a ON a.user_id = u.id LEFT JOIN streams s ON s.user_id = u.id
             WHERE $1::uuid[] IS NULL OR u.id = ANY ($1)
             GROUP BY u.id, a.user_id ORDER BY lower(u.email)",
            &[(&users, Type::UUID_ARRAY)],
        )
        .await
        .context("listing accounts")?;
    rows.iter()
        .map(|row| {
            Ok(Listed {
                user_id: row.try_get(0)?,
                email: row.try_get(1)?,
                username: row.try_get(2)?,
                kind: row.try_get(3)?,
                project: row.try_get(4)?,
                state: row.try_get(5)?,
                state_reason: row.try_get(6)?,
                imported_at: row.try_get(7)?,
                streams: row.try_get(8)?,
                failing_streams: row.try_get(9)?,
                failing_classes: row.try_get(10)?,
                switched_off: row.try_get(11)?,
                client_id: row.try_get(12)?,
                state_since: row.try_get(13)?,
                ask_at: row.try_get(14)?,
            })
        })
        .collect()
}

/// The addresses of users for whom service accounts of this project act.
pub async fn delegated(pool: &Pool, project: &str) -> anyhow::Result<Vec<String>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT u.email FROM accounts a JOIN users u ON u.id = a.user_id
             WHERE a.kind = 'service_account' AND a.project = $1 ORDER BY lower(u.email)",
            &[(&project, Type::TEXT)],
        )
        .await
        .context("listing the users of a service account")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Looks up users by UUID or address, in order; `None` for a name without a user.
pub async fn find(pool: &Pool, names: &[&str]) -> anyhow::Result<Vec<Option<Uuid>>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            // One join per kind of name, so that each uses its own index: a single condition for both reads all users for each name.
            "SELECT coalesce(a.id, i.id) FROM unnest($1::text[]) WITH ORDINALITY AS n (name, ordinal)
             LEFT JOIN users a ON lower(a.email) = lower(n.name)
             LEFT JOIN users i ON i.id = CASE WHEN n.name ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN n.name::uuid END
             ORDER BY n.ordinal",
            &[(&names, Type::TEXT_ARRAY)],
        )
        .await
        .context("looking for users")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The only user of the database. `None`: there are none, or several.
pub async fn only_user(pool: &Pool) -> anyhow::Result<Option<Uuid>> {
    let rows = pool.get().await?.query_typed("SELECT id FROM users LIMIT 2", &[]).await.context("looking for the only user")?;
    match rows.as_slice() {
        [only] => Ok(Some(only.try_get(0)?)),
        _ => Ok(None),
    }
}

/// The addresses of up to `limit` users, in alphabetical order.
pub async fn addresses(pool: &Pool, limit: i64) -> anyhow::Result<Vec<String>> {
    let rows = pool
        .get()
        .await?
        .query_typed("SELECT email FROM users ORDER BY lower(email) LIMIT $1", &[(&limit, Type::INT8)])
        .await
        .context("reading the users' addresses")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Looks up users by username, or by the local part of the address if they have no username. With a domain, only users whose address is in that
/// domain match. A name that matches several users is left out.
pub async fn by_names<'a>(client: &impl Reads, names: impl IntoIterator<Item = &'a Name>) -> anyhow::Result<HashMap<Name, Uuid>> {
    let names: Vec<&Name> = names.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    let usernames: Vec<&str> = names.iter().map(|name| name.username.as_str()).collect();
    let domains: Vec<Option<&str>> = names.iter().map(|name| name.domain.as_deref()).collect();
    let rows = client
        .query_typed(
            "SELECT n.ordinal, min(u.id::text)::uuid
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS n (username, domain, ordinal)
             JOIN users u ON lower(coalesce(u.username, split_part(u.email, '@', 1))) = n.username
               AND coalesce(lower(split_part(u.email, '@', 2)) = n.domain, true)
             GROUP BY n.ordinal HAVING count(*) = 1",
            &[(&usernames, Type::TEXT_ARRAY), (&domains, Type::TEXT_ARRAY)],
        )
        .await
        .context("finding the users of virtual addresses")?;
    rows.iter()
        .map(|row| {
            let index = usize::try_from(row.try_get::<_, i64>(0)? - 1)?;
            let name = names.get(index).context("a name that was not requested")?;
            Ok(((*name).clone(), row.try_get(1)?))
        })
        .collect()
}

/// The `state_reason` of an ended account (state `ended`). Only new credentials reactivate it.
pub const ENDED: &str = "ended with `syncctl accounts revoke`; `syncctl accounts login` or an import brings it back";

/// Ends an account: it is no longer called; synced data stays.
pub async fn revoke(pool: &Pool, user: Uuid) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            // Take the refresh right away, so that a refresh in progress cannot store a token and reactivate the account.
            "WITH streams AS (
               UPDATE streams SET state = 'revoked' WHERE user_id = $1 AND state NOT IN ('removed', 'off') AND service <> ALL ($3))
             UPDATE accounts SET state = 'ended', state_reason = $2, state_since = now(), access_token = NULL, token_expires_at = NULL,
               refreshing_by = NULL, refreshing_until = NULL, refused_at = NULL, ask_at = NULL
             WHERE user_id = $1",
            &[(&user, Type::UUID), (&ENDED, Type::TEXT), (&streams::WITHOUT_ACCOUNT, Type::TEXT_ARRAY)],
        )
        .await
        .context("ending an account")?;
    Ok(())
}

/// The parts of an account that concern tokens.
#[derive(Debug, Clone)]
pub struct Account {
    pub row: AccountRow,
    /// Sealed.
    pub credentials: Vec<u8>,
    pub state: AccountState,
    /// Why the account is no longer called.
    pub revoked: Option<String>,
    /// Why it is temporarily not used: it was refused recently.
    pub waits: Option<String>,
    /// How long the token endpoint has refused it without interruption.
    pub refused_for: Duration,
    /// The scopes of a user's grant at its first use, as reported by the endpoint.
    pub granted: Option<String>,
    /// Time since the credentials were stored; for a login, since the consent.
    pub age: Duration,
    /// The client id of the service account that acts for the user, if known.
    pub client_id: Option<String>,
}

/// The account of a user.
pub async fn get(pool: &Pool, user: Uuid) -> anyhow::Result<Option<Account>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            "SELECT project, credentials, access_token, extract(epoch FROM token_expires_at - now())::float8,
               CASE WHEN state <> 'active' THEN coalesce(state_reason, '') END, extract(epoch FROM now() - imported_at)::float8,
               CASE WHEN state = 'active' AND ask_at > now() THEN coalesce(state_reason, '') END,
               coalesce(extract(epoch FROM now() - refused_at)::float8, 0), granted, client_id, state
             FROM accounts WHERE user_id = $1",
            &[(&user, Type::UUID)],
        )
        .await
        .context("reading the account")?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Account {
        row: AccountRow {
            user_id: user,
            project: row.try_get(0)?,
            access_token: row.try_get(2)?,
            token_seconds: row.try_get(3)?,
        },
        credentials: row.try_get(1)?,
        revoked: row.try_get(4)?,
        // Negative if the clock was set back.
        age: Duration::try_from_secs_f64(row.try_get(5)?).unwrap_or_default(),
        waits: row.try_get(6)?,
        refused_for: Duration::try_from_secs_f64(row.try_get(7)?).unwrap_or_default(),
        granted: row.try_get(8)?,
        client_id: row.try_get(9)?,
        state: row.try_get(10)?,
    }))
}

/// The domains of all users' addresses, in lower case.
pub async fn domains(pool: &Pool) -> anyhow::Result<Vec<String>> {
    let rows = pool
        .get()
        .await?
        .query_typed("SELECT DISTINCT lower(split_part(email, '@', 2)) FROM users", &[])
        .await
        .context("reading the users' domains")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Makes failed streams due again after their cause was fixed.
pub async fn resume(pool: &Pool, user: Uuid) -> anyhow::Result<()> {
    pool.get().await?.execute_typed(RESUME, &[(&user, Type::UUID)]).await.context("making failed streams due")?;
    Ok(())
}
