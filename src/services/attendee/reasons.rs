//! Why meetings have no bot, and why bots are where they are, in words (`meetings.bot_reason`). Knows no network.

use std::collections::HashSet;

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use uuid::Uuid;

use super::eligible::Ineligible;
use super::store;
use crate::db::{Connection, Pool};

/// Says of meetings why they have no bot (`meetings.bot_reason`). Answers those of which it is new.
pub async fn explain<'a>(pool: &Pool, left: &'a [Ineligible]) -> anyhow::Result<Vec<&'a Ineligible>> {
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = left.iter().map(|one| one.meeting).collect();
    let whys: Vec<&str> = left.iter().map(|one| one.why.as_str()).collect();
    let rows = pool
        .get()
        .await?
        .query_typed(
            "UPDATE meetings m SET bot_reason = t.why, updated_at = now()
             FROM (SELECT DISTINCT ON (id) id, why FROM unnest($1::uuid[], $2::text[]) AS t (id, why) ORDER BY id, why) t
             WHERE m.id = t.id AND m.bot_id IS NULL AND m.bot_reason IS DISTINCT FROM t.why RETURNING m.id",
            &[(&ids, Type::UUID_ARRAY), (&whys, Type::TEXT_ARRAY)],
        )
        .await
        .context("saying why meetings have no bot")?;
    let new: HashSet<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(left.iter().filter(|one| new.contains(&one.meeting)).collect())
}

/// Says at the meetings of a bot why it is not made.
pub async fn at_meetings(client: &Connection, bot: Uuid, why: &str) -> anyhow::Result<()> {
    client
        .execute_typed(
            "UPDATE meetings m SET bot_reason = $2 FROM attendee_bot_meetings bm
             WHERE bm.bot = $1 AND m.stream_id = bm.stream_id AND m.event_id = bm.meeting_event_id AND m.bot_reason IS DISTINCT FROM $2",
            &[(&bot, Type::UUID), (&why, Type::TEXT)],
        )
        .await
        .context("noting a failure at the meeting")?;
    Ok(())
}

/// Why a bot stays that nobody wants any more.
pub async fn explained(tx: &Transaction<'_>, id: Uuid, why: &str) -> anyhow::Result<()> {
    tx.execute_typed("UPDATE attendee_bots SET last_error = $2 WHERE id = $1", &[(&id, Type::UUID), (&why, Type::TEXT)])
        .await
        .context("saying why a bot stays")?;
    store::show(tx, &[id]).await
}
