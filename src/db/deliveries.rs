//! Deliveries of outbox events (tables `outbox_deliveries`, `outbox_targets`): claims and results. Does not use the network.

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;
use crate::nul;

const CLAIM: &str = include_str!("sql/claim_deliveries.sql");

/// What to claim.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    pub run: Uuid,
    pub target: &'a str,
    /// Seconds.
    pub lease: f64,
    /// Only deliveries due by this time, by the database's clock, so that a run attempts each event once.
    pub due_by: DateTime<Utc>,
    pub most: i64,
}

/// A claimed delivery with its payload.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `outbox_events.id`, the idempotency key.
    pub event: Uuid,
    pub kind: String,
    /// JSON.
    pub payload: String,
    /// Failed attempts so far.
    pub attempts: u32,
}

/// The database's time.
pub async fn now(pool: &Pool) -> anyhow::Result<DateTime<Utc>> {
    let row = pool.get().await?.query_typed_one("SELECT now()", &[]).await.context("reading the database's clock")?;
    Ok(row.try_get(0)?)
}

/// Claims deliveries that are due and free.
pub async fn claim(pool: &Pool, claim: &Claim<'_>) -> anyhow::Result<Vec<Delivery>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            CLAIM,
            &[
                (&claim.target, Type::TEXT),
                (&claim.run, Type::UUID),
                (&claim.lease, Type::FLOAT8),
                (&claim.due_by, Type::TIMESTAMPTZ),
                (&claim.most, Type::INT8),
            ],
        )
        .await
        .context("claiming deliveries")?;
    rows.iter()
        .map(|row| {
            Ok(Delivery {
                event: row.try_get(0)?,
                kind: row.try_get(1)?,
                payload: row.try_get(2)?,
                attempts: u32::try_from(row.try_get::<_, i32>(3)?).unwrap_or(0),
            })
        })
        .collect()
}

/// Records successes, even if another run holds the lease by now: the target has received the event.
pub async fn succeeded(pool: &Pool, target: &str, events: &[Uuid], statuses: &[i32]) -> anyhow::Result<u64> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE outbox_deliveries d
             SET state = 'delivered', delivered_at = now(), attempts = d.attempts + 1, last_status = done.status, last_error = NULL,
                 claimed_by = NULL, claimed_until = NULL
             FROM unnest($2::uuid[], $3::int[]) AS done (event_id, status)
             WHERE d.target = $1 AND d.event_id = done.event_id AND d.state <> 'delivered'",
            &[(&target, Type::TEXT), (&events, Type::UUID_ARRAY), (&statuses, Type::INT4_ARRAY)],
        )
        .await
        .context("recording deliveries")
}

/// A failed attempt.
#[derive(Debug, Clone)]
pub struct Failed {
    pub event: Uuid,
    /// HTTP status, if there was an answer.
    pub status: Option<i32>,
    /// One line, without secrets.
    pub error: String,
    /// Seconds until the next attempt.
    pub wait: f64,
}

/// Records failures of deliveries that this run still holds. Returns how many of them are dead now.
pub async fn failed(pool: &Pool, target: &str, run: Uuid, failures: &[Failed], max_attempts: u32) -> anyhow::Result<u64> {
    let events: Vec<Uuid> = failures.iter().map(|failure| failure.event).collect();
    let statuses: Vec<Option<i32>> = failures.iter().map(|failure| failure.status).collect();
    let errors: Vec<String> = failures.iter().map(|failure| nul::cleaned(&failure.error)).collect();
    let waits: Vec<f64> = failures.iter().map(|failure| failure.wait).collect();
    let rows = pool
        .get()
        .await?
        .query_typed(
            "UPDATE outbox_deliveries d
             SET attempts = d.attempts + 1, state = CASE WHEN d.attempts + 1 >= $7 THEN 'dead' ELSE 'pending' END,
                 due_at = now() + make_interval(secs => failed.wait), last_status = failed.status, last_error = failed.error,
                 claimed_by = NULL, claimed_until = NULL
             FROM unnest($3::uuid[], $4::int[], $5::text[], $6::float8[]) AS failed (event_id, status, error, wait)
             WHERE d.target = $1 AND d.event_id = failed.event_id AND d.claimed_by = $2 AND d.state = 'pending'
             RETURNING d.state = 'dead'",
            &[
                (&target, Type::TEXT),
                (&run, Type::UUID),
                (&events, Type::UUID_ARRAY),
                (&statuses, Type::INT4_ARRAY),
                (&errors, Type::TEXT_ARRAY),
                (&waits, Type::FLOAT8_ARRAY),
                (&i32::try_from(max_attempts).unwrap_or(i32::MAX), Type::INT4),
            ],
        )
        .await
        .context("recording failed deliveries")?;
    let mut dead = 0;
    for row in &rows {
        dead += u64::from(row.try_get::<_, bool>(0)?);
    }
    Ok(dead)
}

/// Releases claimed deliveries that were not sent.
pub async fn release(pool: &Pool, target: &str, run: Uuid, events: &[Uuid]) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE outbox_deliveries SET claimed_by = NULL, claimed_until = NULL
             WHERE target = $1 AND event_id = ANY ($3) AND claimed_by = $2",
            &[(&target, Type::TEXT), (&run, Type::UUID), (&events, Type::UUID_ARRAY)],
        )
        .await
        .context("releasing deliveries")?;
    Ok(())
}

/// The circuit breaker of a target (table `outbox_targets`).
#[derive(Debug, Default)]
pub struct Circuit {
    /// Failures in a row, over all events.
    pub failures: u32,
    /// Whether syncs currently skip it.
    pub resting: bool,
    /// The error of the last failed attempt.
    pub last_error: Option<String>,
}

/// Reads a target's circuit breaker. Without a row it is closed.
pub async fn circuit(pool: &Pool, target: &str) -> anyhow::Result<Circuit> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            "SELECT failures, coalesce(open_until > now(), false), last_error FROM outbox_targets WHERE target = $1",
            &[(&target, Type::TEXT)],
        )
        .await
        .context("reading the circuit of a target")?;
    match row {
        Some(row) => Ok(Circuit {
            failures: u32::try_from(row.try_get::<_, i32>(0)?).unwrap_or(0),
            resting: row.try_get(1)?,
            last_error: row.try_get(2)?,
        }),
        None => Ok(Circuit::default()),
    }
}

/// Writes a target's circuit breaker. `rest`: seconds during which syncs skip the target, if it is open.
pub async fn set_circuit(pool: &Pool, target: &str, failures: u32, rest: Option<f64>, error: Option<&str>) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "INSERT INTO outbox_targets AS t (target, failures, open_until, last_error)
             VALUES ($1, $2, now() + make_interval(secs => $3), $4)
             ON CONFLICT (target) DO UPDATE
             SET failures = excluded.failures, open_until = excluded.open_until, last_error = coalesce(excluded.last_error, t.last_error)",
            &[
                (&target, Type::TEXT),
                (&i32::try_from(failures).unwrap_or(i32::MAX), Type::INT4),
                (&rest, Type::FLOAT8),
                (&error.map(nul::replaced), Type::TEXT),
            ],
        )
        .await
        .context("writing the circuit of a target")?;
    Ok(())
}
