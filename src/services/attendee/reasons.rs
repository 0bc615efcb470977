//! Explains why meetings have no bot, or why a bot stays (`meetings.bot_reason`). No network access.

use std::collections::HashSet;

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::eligible::Ineligible;
use super::store;
use crate::db::{Connection, Pool};

/// Stores why meetings have no bot (`meetings.bot_reason`). Returns those whose reason is new.
pub async fn explain<'a>(pool: &Pool, ineligible: &'a [Ineligible]) -> anyhow::Result<Vec<&'a Ineligible>> {
    if ineligible.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = ineligible.iter().map(|one| one.meeting).collect();
    let whys: Vec<&str> = ineligible.iter().map(|one| one.why.as_str()).collect();
    let rows = pool
        .get()
        .await?
        .query_typed(
            "UPDATE meetings m SET bot_reason = t.why, updated_at = now(), changed_xid = DEFAULT
             FROM (SELECT DISTINCT ON (id) id, why FROM unnest($1::uuid[], $2::text[]) AS t (id, why) ORDER BY id, why) t
             WHERE m.id = t.id AND m.bot_id IS NULL AND m.bot_reason IS DISTINCT FROM t.why RETURNING m.id",
            &[(&ids, Type::UUID_ARRAY), (&whys, Type::TEXT_ARRAY)],
        )
        .await
        .context("storing why meetings have no bot")?;
    let new: HashSet<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(ineligible.iter().filter(|one| new.contains(&one.meeting)).collect())
}

/// Stores at the meetings of a bot why it could not be created or changed.
pub async fn at_meetings(client: &Connection, bot: Uuid, why: &str) -> anyhow::Result<()> {
    client
        .execute_typed(
            "UPDATE meetings m SET bot_reason = $2, changed_xid = DEFAULT FROM attendee_bot_meetings bm
             WHERE bm.bot = $1 AND m.stream_id = bm.stream_id AND m.event_id = bm.meeting_event_id AND m.bot_reason IS DISTINCT FROM $2",
            &[(&bot, Type::UUID), (&why, Type::TEXT)],
        )
        .await
        .context("noting a failure at the meeting")?;
    Ok(())
}

/// Stores why a bot stays that is no longer wanted.
pub async fn explained(tx: &Transaction<'_>, id: Uuid, why: &str) -> anyhow::Result<()> {
    tx.execute_typed("UPDATE attendee_bots SET last_error = $2 WHERE id = $1", &[(&id, Type::UUID), (&why, Type::TEXT)])
        .await
        .context("storing why a bot stays")?;
    store::show(tx, &[id]).await
}
