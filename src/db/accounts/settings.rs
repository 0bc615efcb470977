//! Settings of a user (`users.settings`), and the services they switch on or off.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::db::Pool;

/// Settings that become null are removed.
const CHANGE_SETTINGS: &str = "UPDATE users SET settings = jsonb_strip_nulls(settings || $2) WHERE id = $1";

/// Changes settings of a user; those that become null are removed.
pub async fn change_settings(pool: &Pool, user: Uuid, patch: &serde_json::Value) -> anyhow::Result<()> {
    let values: [(&(dyn ToSql + Sync), Type); 2] = [(&user, Type::UUID), (patch, Type::JSONB)];
    pool.get().await?.execute_typed(CHANGE_SETTINGS, &values).await.context("changing a user's settings")?;
    Ok(())
}

/// Changes settings that switch services on or off, and applies them to the user's streams.
pub async fn switch(pool: &Pool, user: Uuid, patch: &serde_json::Value) -> anyhow::Result<()> {
    let values: [(&(dyn ToSql + Sync), Type); 2] = [(&user, Type::UUID), (patch, Type::JSONB)];
    let mut client = pool.get().await?;
    let tx = client.begin("beginning to switch services").await?;
    tx.execute_typed(CHANGE_SETTINGS, &values).await.context("changing a user's settings")?;
    apply_switches(&tx, user).await?;
    tx.commit().await.context("committing which services are synced")
}

/// Applies the settings that switch services: streams of a service that is off are not polled, and streams of a service that is on again become
/// due.
pub async fn apply_switches(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<()> {
    tx.execute_typed(
        "UPDATE streams s SET failures = 0, failed_class = NULL, failed_message = NULL,
           state = CASE WHEN s.state <> 'off' THEN 'off' WHEN a.state <> 'active' THEN 'revoked' ELSE 'active' END,
           due_at = CASE WHEN s.state <> 'off' THEN s.due_at ELSE now() END
         FROM users u JOIN accounts a ON a.user_id = u.id
         WHERE u.id = $1 AND s.user_id = u.id AND s.state <> 'removed'
           AND (s.state = 'off') <> coalesce(u.settings -> s.service = 'false', false)",
        &[(&user, Type::UUID)],
    )
    .await
    .context("switching services")?;
    Ok(())
}
