//! Routing of outbox events to targets, waiting deliveries, and retention (tables `outbox_events`, `outbox_deliveries`). Does not use the network.

use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use serde::Serialize;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Pool;
use super::reads::Reads;
use crate::state::DeliveryState;

/// A target and the event types it receives.
#[derive(Debug, Clone)]
pub struct Route {
    pub target: String,
    /// LIKE patterns; empty: all.
    pub patterns: Vec<String>,
    /// Types that it does not receive, even if a pattern matches.
    pub except: Vec<&'static str>,
}

/// Creates deliveries for up to `limit` events that have not been routed. Returns how many events were routed.
///
/// Waits for another host that is routing: skipping its events could deliver later events of a document before earlier ones.
pub async fn route(tx: &Transaction<'_>, routes: &[Route], limit: i64) -> anyhow::Result<usize> {
    let rows = tx
        .query_typed("SELECT id FROM outbox_events WHERE NOT routed ORDER BY seq LIMIT $1 FOR UPDATE", &[(&limit, Type::INT8)])
        .await
        .context("locking new events")?;
    let events: Vec<Uuid> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().context("reading new events")?;
    if events.is_empty() {
        return Ok(0);
    }
    for route in routes {
        tx.execute_typed(
            "INSERT INTO outbox_deliveries (event_id, target, seq, subject)
             SELECT id, $1, seq, subject FROM outbox_events
             WHERE id = ANY ($2) AND (cardinality($3::text[]) = 0 OR type LIKE ANY ($3)) AND type <> ALL ($4)
             ON CONFLICT DO NOTHING",
            &[
                (&route.target, Type::TEXT),
                (&events, Type::UUID_ARRAY),
                (&route.patterns, Type::TEXT_ARRAY),
                (&route.except, Type::TEXT_ARRAY),
            ],
        )
        .await
        .context("routing events to a target")?;
    }
    tx.execute_typed("UPDATE outbox_events SET routed = true WHERE id = ANY ($1)", &[(&events, Type::UUID_ARRAY)])
        .await
        .context("marking events as routed")?;
    Ok(events.len())
}

/// Makes an event due again for every target that receives its type. `None`: the event does not exist.
pub async fn replay(tx: &Transaction<'_>, routes: &[Route], event: Uuid) -> anyhow::Result<Option<u64>> {
    let updated = tx
        .query_typed_opt("UPDATE outbox_events SET routed = true WHERE id = $1 RETURNING 1", &[(&event, Type::UUID)])
        .await
        .context("finding the event to replay")?;
    if updated.is_none() {
        return Ok(None);
    }
    let mut due = 0;
    for route in routes {
        due += tx
            .execute_typed(
                "INSERT INTO outbox_deliveries (event_id, target, seq, subject)
                 SELECT id, $1, seq, subject FROM outbox_events
                 WHERE id = $2 AND (cardinality($3::text[]) = 0 OR type LIKE ANY ($3)) AND type <> ALL ($4)
                 ON CONFLICT (event_id, target) DO UPDATE
                 SET state = 'pending', attempts = 0, due_at = now(), claimed_by = NULL, claimed_until = NULL, delivered_at = NULL",
                &[
                    (&route.target, Type::TEXT),
                    (&event, Type::UUID),
                    (&route.patterns, Type::TEXT_ARRAY),
                    (&route.except, Type::TEXT_ARRAY),
                ],
            )
            .await
            .context("making an event due again")?;
    }
    Ok(Some(due))
}

/// Makes dead deliveries of these targets pending and due now, with their attempts reset.
pub async fn revive(tx: &Transaction<'_>, targets: &[&str]) -> anyhow::Result<u64> {
    tx.execute_typed(
        "UPDATE outbox_deliveries SET state = 'pending', attempts = 0, due_at = now(), claimed_by = NULL, claimed_until = NULL
         WHERE state = 'dead' AND target = ANY ($1)",
        &[(&targets, Type::TEXT_ARRAY)],
    )
    .await
    .context("reviving dead deliveries")
}

/// Number of deliveries waiting for a target.
#[derive(Debug, Clone, Serialize)]
pub struct Waiting {
    pub target: String,
    pub pending: i64,
    /// Pending deliveries whose time has come.
    pub due: i64,
    pub dead: i64,
}

/// Counts the deliveries waiting for these targets, in the given order.
pub async fn waiting(client: &impl Reads, targets: &[&str]) -> anyhow::Result<Vec<Waiting>> {
    let rows = client
        .query_typed(
            "SELECT t.name,
               (SELECT count(*) FROM outbox_deliveries d WHERE d.target = t.name AND d.state = 'pending'),
               (SELECT count(*) FROM outbox_deliveries d WHERE d.target = t.name AND d.state = 'pending' AND d.due_at <= now()),
               (SELECT count(*) FROM outbox_deliveries d WHERE d.target = t.name AND d.state = 'dead')
             FROM unnest($1::text[]) WITH ORDINALITY AS t (name, ordinal) ORDER BY t.ordinal",
            &[(&targets, Type::TEXT_ARRAY)],
        )
        .await
        .context("counting waiting deliveries")?;
    rows.iter()
        .map(|row| Ok(Waiting { target: row.try_get(0)?, pending: row.try_get(1)?, due: row.try_get(2)?, dead: row.try_get(3)? }))
        .collect()
}

/// Condition for old events that no target waits for. `$1`: retention in seconds, `$2`: the targets.
const OLD: &str = "e.routed AND e.created_at < now() - make_interval(secs => $1)
   AND NOT EXISTS (SELECT 1 FROM outbox_deliveries d WHERE d.event_id = e.id AND d.state = 'pending' AND d.target = ANY ($2))";

/// Number of old events that none of these targets waits for.
pub async fn count_old(pool: &Pool, targets: &[&str], keep: Duration) -> anyhow::Result<u64> {
    let statement = format!("SELECT count(*) FROM outbox_events e WHERE {OLD}");
    let row = pool
        .get()
        .await?
        .query_typed_one(&statement, &[(&keep.as_secs_f64(), Type::FLOAT8), (&targets, Type::TEXT_ARRAY)])
        .await
        .context("counting old events")?;
    let count: i64 = row.try_get(0)?;
    Ok(count.unsigned_abs())
}

/// Deletes up to `limit` old events that none of these targets waits for, with their deliveries, including dead ones. Returns how many.
pub async fn forget(pool: &Pool, targets: &[&str], keep: Duration, limit: i64) -> anyhow::Result<u64> {
    let statement = format!(
        "DELETE FROM outbox_events WHERE id IN (SELECT e.id FROM outbox_events e WHERE {OLD} ORDER BY e.created_at LIMIT $3)"
    );
    pool.get()
        .await?
        .execute_typed(&statement, &[(&keep.as_secs_f64(), Type::FLOAT8), (&targets, Type::TEXT_ARRAY), (&limit, Type::INT8)])
        .await
        .context("deleting old events")
}

/// A row of `outbox_deliveries` for display.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    pub event_id: Uuid,
    pub r#type: String,
    /// `None`: the event is not about a document.
    pub document_id: Option<Uuid>,
    pub target: String,
    pub state: DeliveryState,
    pub attempts: i32,
    pub created_at: DateTime<Utc>,
    pub due_at: DateTime<Utc>,
    pub delivered_at: Option<DateTime<Utc>>,
    pub last_status: Option<i32>,
    pub last_error: Option<String>,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub state: Option<DeliveryState>,
    /// Only those of events of the last seconds.
    pub within_seconds: Option<f64>,
}

/// The deliveries `d` of a `Filter`, with their events `e`.
const FILTERED: &str = "outbox_events e JOIN outbox_deliveries d ON d.event_id = e.id
  WHERE ($1::text IS NULL OR d.state = $1) AND ($2::float8 IS NULL OR e.created_at > now() - make_interval(secs => $2))";

/// Counts the deliveries of a filter.
pub async fn count(pool: &Pool, filter: &Filter) -> anyhow::Result<i64> {
    let parameters: [(&(dyn ToSql + Sync), Type); 2] = [(&filter.state, Type::TEXT), (&filter.within_seconds, Type::FLOAT8)];
    let client = pool.get().await?;
    let row = client.query_typed_one(&format!("SELECT count(*) FROM {FILTERED}"), &parameters).await;
    Ok(row.context("counting deliveries")?.try_get(0)?)
}

/// Lists up to `limit` deliveries after the first `offset`, newest event first.
pub async fn list(pool: &Pool, filter: &Filter, (limit, offset): (i64, i64)) -> anyhow::Result<Vec<Listed>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!(
                "SELECT e.id, e.type, (e.payload ->> 'document_id')::uuid, d.target, d.state, d.attempts, e.created_at, d.due_at, d.delivered_at,
                   d.last_status, d.last_error
                 FROM {FILTERED} ORDER BY e.seq DESC, d.target LIMIT $3 OFFSET $4"
            ),
            &[
                (&filter.state, Type::TEXT),
                (&filter.within_seconds, Type::FLOAT8),
                (&limit, Type::INT8),
                (&offset, Type::INT8),
            ],
        )
        .await
        .context("listing deliveries")?;
    rows.iter()
        .map(|row| {
            Ok(Listed {
                event_id: row.try_get(0)?,
                r#type: row.try_get(1)?,
                document_id: row.try_get(2)?,
                target: row.try_get(3)?,
                state: row.try_get(4)?,
                attempts: row.try_get(5)?,
                created_at: row.try_get(6)?,
                due_at: row.try_get(7)?,
                delivered_at: row.try_get(8)?,
                last_status: row.try_get(9)?,
                last_error: row.try_get(10)?,
            })
        })
        .collect()
}
