//! Events of a user to be erased: unsent events are withdrawn, events being sent are counted.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;

/// Withdraws the user's unsent events. Returns how many, and the number of deliveries that a run is sending: these cannot be withdrawn, only
/// waited for.
pub async fn withdraw(pool: &Pool, user: Uuid) -> anyhow::Result<(i64, i64)> {
    let mut client = pool.get().await?;
    let tx = client.begin("beginning to withdraw events").await?;
    // Events without deliveries first, so that they get none after the next statement.
    let unrouted = tx
        .execute_typed("UPDATE outbox_events SET routed = true WHERE user_id = $1 AND NOT routed", &[(&user, Type::UUID)])
        .await
        .context("withdrawing new events")?;
    // A locked row is being claimed.
    let row = tx
        .query_typed_one(
            "WITH gone AS (
               DELETE FROM outbox_deliveries WHERE ctid = ANY (ARRAY(
                 SELECT d.ctid FROM outbox_deliveries d JOIN outbox_events e ON e.id = d.event_id
                 WHERE e.user_id = $1 AND d.state = 'pending' AND (d.claimed_until IS NULL OR d.claimed_until < now())
                 FOR UPDATE OF d SKIP LOCKED))
               RETURNING event_id)
             SELECT count(DISTINCT event_id) FROM gone",
            &[(&user, Type::UUID)],
        )
        .await
        .context("withdrawing deliveries")?;
    let sending = tx
        .query_typed_one(
            "SELECT count(*) FROM outbox_deliveries d JOIN outbox_events e ON e.id = d.event_id WHERE e.user_id = $1 AND d.state = 'pending'",
            &[(&user, Type::UUID)],
        )
        .await
        .context("looking for events that are being sent")?;
    tx.commit().await.context("committing withdrawn events")?;
    Ok((i64::try_from(unrouted)? + row.try_get::<_, i64>(0)?, sending.try_get(0)?))
}

/// Number of the user's deliveries that runs have claimed.
pub(super) async fn under_way(tx: &Transaction<'_>, user: Uuid) -> anyhow::Result<i64> {
    let row = tx
        .query_typed_one(
            "SELECT count(*) FROM outbox_deliveries d JOIN outbox_events e ON e.id = d.event_id
             WHERE e.user_id = $1 AND d.state = 'pending' AND d.claimed_until >= now()",
            &[(&user, Type::UUID)],
        )
        .await
        .context("looking for events that are being sent")?;
    Ok(row.try_get(0)?)
}
