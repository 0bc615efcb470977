//! Calendars that are not followed any more: what is left of them becomes tombstones, their meetings are cancelled or removed, and whoever has sent
//! bots takes them back. Knows no network.

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::{EVENTS, REGISTERED};
use crate::db::Pool;

/// Streams whose calendars are gone: off their user's list, or refused by Google for an hour. The list resets `failures` of the former.
/// $1 service, $2 kind, $3 user (NULL: all users, but only streams that have read something since)
const GONE: &str = "SELECT id FROM streams WHERE service = $1 AND kind = $2 AND state = 'removed'
  AND CASE WHEN $3::uuid IS NULL THEN full_pass_at IS NOT NULL OR pass IS NOT NULL ELSE user_id = $3 END";

/// Makes tombstones of the events of a user's calendars that are not followed any more.
pub async fn delete_events(tx: &Transaction<'_>, user: Option<Uuid>) -> anyhow::Result<()> {
    let statements = [
        "UPDATE calendar_events SET status = 'cancelled', deleted_at = now(), synced_at = now()
         WHERE deleted_at IS NULL AND stream_id IN (GONE)",
        "DELETE FROM meetings WHERE bot_id IS NULL AND transcript_id IS NULL AND project_id IS NULL AND stream_id IN (GONE)",
        "UPDATE meetings SET event_status = 'cancelled', updated_at = now()
         WHERE event_status <> 'cancelled' AND stream_id IN (GONE)",
        "DELETE FROM quarantined_items WHERE stream_id IN (GONE)",
        // Last, because it says that the others are done; a calendar that comes back begins anew.
        "UPDATE streams SET cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL, full_pass_at = NULL WHERE id IN (GONE)",
    ];
    for statement in statements {
        let statement = statement.replace("GONE", GONE);
        tx.execute_typed(&statement, &[(&REGISTERED.service, Type::TEXT), (&EVENTS, Type::TEXT), (&user, Type::UUID)])
            .await
            .context("making tombstones of calendars that are gone")?;
    }
    Ok(())
}

/// Buries what is left of calendars that Google refuses, and asks for those again that their users still list, once a day.
pub async fn clean_up(pool: &Pool, configured: &[String]) -> anyhow::Result<()> {
    let mut client = pool.get().await?;
    // One look for what is mostly not there, in place of a transaction of nine statements in every idle run.
    let look = "SELECT EXISTS (SELECT FROM streams WHERE service = $1 AND kind = $2 AND state = 'removed'
      AND (full_pass_at IS NOT NULL OR pass IS NOT NULL OR failures > 0 AND failed_at < now() - interval '1 day'))";
    let of_events = [(&REGISTERED.service as &(dyn ToSql + Sync), Type::TEXT), (&EVENTS, Type::TEXT)];
    let row = client.query_typed_one(look, &of_events).await.context("looking for calendars that are gone")?;
    if !row.try_get::<_, bool>(0)? {
        return Ok(());
    }
    let tx = client.begin("settling calendars that are gone").await?;
    tx.execute_typed(
        "UPDATE streams s SET state = 'active', due_at = now(), cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL
         FROM calendars c
         WHERE s.service = $1 AND s.kind = $2 AND s.state = 'removed' AND s.failures > 0
           AND s.failed_at < now() - interval '1 day'
           -- What a removed stream was spared when its account was revoked, or its service switched off.
           AND EXISTS (SELECT FROM accounts a JOIN users u ON u.id = a.user_id
             WHERE a.user_id = s.user_id AND a.state = 'active' AND u.settings -> s.service IS DISTINCT FROM 'false')
           AND c.user_id = s.user_id AND c.calendar_id = s.resource AND c.deleted_at IS NULL
           AND CASE WHEN cardinality($3::text[]) = 0 THEN c.is_primary OR c.selected
             ELSE c.calendar_id = ANY ($3) OR (c.is_primary AND 'primary' = ANY ($3)) END",
        &[(&REGISTERED.service, Type::TEXT), (&EVENTS, Type::TEXT), (&configured, Type::TEXT_ARRAY)],
    )
    .await
    .context("asking again for calendars that were refused")?;
    delete_events(&tx, None).await?;
    tx.commit().await.context("settling calendars that are gone")
}
