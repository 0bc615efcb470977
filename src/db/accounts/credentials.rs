//! Stored credentials: sealed blobs with their metadata (table `accounts`).

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::RESUME;
use crate::db::Pool;

/// Sealed credentials with their metadata.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// `authorized_user` or `service_account`
    pub kind: &'a str,
    pub project: &'a str,
    /// For a service account.
    pub client_id: Option<&'a str>,
    pub credentials: &'a [u8],
}

/// Stores sealed credentials and drops everything cached for older ones.
pub async fn store_credentials(tx: &Transaction<'_>, user: Uuid, sealed: &Sealed<'_>) -> anyhow::Result<()> {
    let Sealed { kind, project, client_id, credentials } = sealed;
    tx.execute_typed(
        "INSERT INTO accounts (user_id, kind, project, credentials, client_id) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (user_id) DO UPDATE SET kind = excluded.kind, project = excluded.project, credentials = excluded.credentials,
           client_id = excluded.client_id,
           state = 'active', state_reason = NULL, state_since = now(), imported_at = now(),
           access_token = NULL, token_expires_at = NULL, refreshing_by = NULL, refreshing_until = NULL, refused_at = NULL, ask_at = NULL, granted = NULL",
        &[
            (&user, Type::UUID),
            (kind, Type::TEXT),
            (project, Type::TEXT),
            (credentials, Type::BYTEA),
            (client_id, Type::TEXT),
        ],
    )
    .await
    .context("storing the credentials")?;
    // A new consent can grant a scope that was missing.
    tx.execute_typed(RESUME, &[(&user, Type::UUID)]).await.context("making failed streams due")?;
    Ok(())
}

/// Adds the client id to credentials that an older version stored without it.
pub async fn note_client_id(pool: &Pool, user: Uuid, client_id: &str) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE accounts SET client_id = $2 WHERE user_id = $1 AND client_id IS NULL",
            &[(&user, Type::UUID), (&client_id, Type::TEXT)],
        )
        .await
        .context("noting the client id of a service account")?;
    Ok(())
}

/// Sealed blobs of users after `after`, for resealing: user, credentials, access token.
pub async fn sealed_after(pool: &Pool, after: Uuid, limit: i64) -> anyhow::Result<Vec<(Uuid, Vec<u8>, Option<Vec<u8>>)>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT user_id, credentials, access_token FROM accounts WHERE user_id > $1 ORDER BY user_id LIMIT $2",
            &[(&after, Type::UUID), (&limit, Type::INT8)],
        )
        .await
        .context("reading sealed values")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?))).collect()
}

/// Replaces sealed values with resealed ones unless they have changed in the meantime.
pub async fn reseal(pool: &Pool, user: Uuid, old: (&[u8], Option<&[u8]>), new: (&[u8], Option<&[u8]>)) -> anyhow::Result<bool> {
    let done = pool
        .get()
        .await?
        .execute_typed(
            "UPDATE accounts SET credentials = $4, access_token = $5
             WHERE user_id = $1 AND credentials = $2 AND access_token IS NOT DISTINCT FROM $3",
            &[(&user, Type::UUID), (&old.0, Type::BYTEA), (&old.1, Type::BYTEA), (&new.0, Type::BYTEA), (&new.1, Type::BYTEA)],
        )
        .await
        .context("storing a resealed value")?;
    Ok(done == 1)
}
