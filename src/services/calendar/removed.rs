//! Calendars that are no longer synced: their events become tombstones, and their meetings are cancelled or removed, so that their bots are
//! withdrawn. No network access.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{EVENTS, REGISTERED};
use crate::db::Pool;

/// Streams of removed calendars: no longer on their user's list, or refused by Google for an hour. The list resets `failures` of the former.
/// $1 service, $2 kind, $3 user (NULL: all users, but only streams that have read something since)
const GONE: &str = "SELECT id FROM streams WHERE service = $1 AND kind = $2 AND state = 'removed'
  AND CASE WHEN $3::uuid IS NULL THEN full_pass_at IS NOT NULL OR pass IS NOT NULL ELSE user_id = $3 END";

/// Turns the events of a user's calendars that are no longer synced into tombstones.
pub async fn delete_events(tx: &Transaction<'_>, user: Option<Uuid>) -> anyhow::Result<()> {
    let statements = [
        "UPDATE calendar_events SET status = 'cancelled', deleted_at = now(), synced_at = now(), changed_xid = DEFAULT
         WHERE deleted_at IS NULL AND stream_id IN (GONE)",
        "DELETE FROM meetings WHERE bot_id IS NULL AND transcript_id IS NULL AND project_id IS NULL AND stream_id IN (GONE)",
        "UPDATE meetings SET event_status = 'cancelled', updated_at = now(), changed_xid = DEFAULT
         WHERE event_status <> 'cancelled' AND stream_id IN (GONE)",
        "DELETE FROM calendar_instances WHERE stream_id IN (GONE) AND ($3::uuid IS NULL OR user_id = $3)",
        "DELETE FROM calendar_windows WHERE stream_id IN (GONE)",
        "DELETE FROM quarantined_items WHERE stream_id IN (GONE)",
        // Last, because it marks the others as done. A calendar that returns starts from scratch.
        "UPDATE streams SET cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL, full_pass_at = NULL WHERE id IN (GONE)",
    ];
    for statement in statements {
        let statement = statement.replace("GONE", GONE);
        tx.execute_typed(&statement, &[(&REGISTERED.service, Type::TEXT), (&EVENTS, Type::TEXT), (&user, Type::UUID)])
            .await
            .context("deleting the events of removed calendars")?;
    }
    Ok(())
}

/// Deletes the events of calendars that Google refuses, and retries once a day those that their users still list.
pub async fn clean_up(pool: &Pool, configured: &[String]) -> anyhow::Result<()> {
    let mut client = pool.get().await?;
    // There is usually nothing to do: one query saves every idle run a transaction of nine statements.
    let exists = "SELECT EXISTS (SELECT FROM streams WHERE service = $1 AND kind = $2 AND state = 'removed'
      AND (full_pass_at IS NOT NULL OR pass IS NOT NULL OR failures > 0 AND failed_at < now() - interval '1 day'))";
    let of_events = [(&REGISTERED.service as &(dyn ToSql + Sync), Type::TEXT), (&EVENTS, Type::TEXT)];
    let row = client.query_typed_one(exists, &of_events).await.context("looking for removed calendars")?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(());
    }
    let tx = client.begin("cleaning up removed calendars").await?;
    tx.execute_typed(
        "UPDATE streams s SET state = 'active', due_at = now(), cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL
         FROM calendars c
         WHERE s.service = $1 AND s.kind = $2 AND s.state = 'removed' AND s.failures > 0
           AND s.failed_at < now() - interval '1 day'
           -- Checked here, because revoking an account or switching off a service does not change removed streams.
           AND EXISTS (SELECT FROM accounts a JOIN users u ON u.id = a.user_id
             WHERE a.user_id = s.user_id AND a.state = 'active' AND u.settings -> s.service IS DISTINCT FROM 'false')
           AND c.user_id = s.user_id AND c.calendar_id = s.resource AND c.deleted_at IS NULL
           AND CASE WHEN cardinality($3::text[]) = 0 THEN c.is_primary OR c.selected
             ELSE c.calendar_id = ANY ($3) OR (c.is_primary AND 'primary' = ANY ($3)) END",
        &[(&REGISTERED.service, Type::TEXT), (&EVENTS, Type::TEXT), (&configured, Type::TEXT_ARRAY)],
    )
    .await
    .context("retrying refused calendars")?;
    delete_events(&tx, None).await?;
    tx.commit().await.context("cleaning up removed calendars")
}
