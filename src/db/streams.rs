//! Leases, cursors and pace of streams (table `streams`). Independent of Google.

mod failed;
mod idle;
mod passes;
mod timing;

use anyhow::Context;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use serde_json::Value;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;
use super::classify::queue;
use crate::error::{Class, Failure};
use crate::http::TOO_LARGE;

pub use failed::{fail, postpone, turn_off};
pub use idle::{Closed, Idle, close_idle};
pub use passes::{PassedWith, ask_for_pass, begun, passed_with};
pub use timing::{Timing, of_user};

/// Services that only use our database: they continue for users whose account is revoked or ended.
pub const WITHOUT_ACCOUNT: &[&str] = &[queue::SERVICE];

/// The position of a stream at the provider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position {
    /// Advances only with the last page of a pass.
    pub cursor: Option<String>,
    /// The next page of the pass in progress.
    pub page_token: Option<String>,
    /// The value that the service pinned at the first page of a full pass; opaque here.
    pub pinned: Option<String>,
    /// The number of the full pass in progress; rows that it sees are stamped with it.
    pub pass: Option<i64>,
}

impl Position {
    /// Reclassifies a permanent failure of a request with a token: tokens are bound to the parameters of the request that returned them, which change with
    /// settings and versions. The pass restarts, or a resync begins, with the current parameters.
    pub fn blame(&self, failure: Failure) -> Failure {
        let class = match failure.class {
            // An answer that is too large stays too large with any token.
            Class::Permanent if failure.reason == TOO_LARGE => failure.class,
            Class::Permanent if self.page_token.is_some() => Class::PageExpired,
            Class::Permanent if self.cursor.is_some() && failure.status == Some(400) => Class::CursorExpired,
            class => class,
        };
        Failure { class, ..failure }
    }
}

/// Statistics of a stream's changes, as of `at`; see `engine::pace` for their meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct Changes {
    pub mass: f64,
    pub at: DateTime<Utc>,
    pub since: DateTime<Utc>,
    pub shape: Option<Vec<f32>>,
}

/// The advance from one page to the next.
#[derive(Debug, Clone)]
pub struct Step {
    pub to: Position,
    /// Number of items on the page.
    pub items: i64,
    /// Number of items of the whole pass, if the provider reports it.
    pub expected: Option<i64>,
    /// New lease in seconds.
    pub lease: f64,
}

/// Advances the position between two pages and renews the lease. `settings`: those of a pass that begins here. Returns `false` if this run no longer
/// holds the stream; the caller must roll back.
pub async fn advance_page(tx: &Transaction<'_>, run: Uuid, id: i64, step: &Step, settings: &Value) -> anyhow::Result<bool> {
    let Step { to, items, expected, lease } = step;
    let updated = tx
        .execute_typed(
            "UPDATE streams SET cursor = $3, page_token = $4, pinned = $5, pass = $6,
               pass_count = greatest(pass_count, coalesce($6, 0)), lapses = 0, claimed_until = now() + make_interval(secs => $7),
               pass_items = CASE WHEN $6 IS NOT NULL THEN $8 + CASE WHEN pass = $6 THEN coalesce(pass_items, 0) ELSE 0 END END,
               pass_expected = CASE WHEN $6 IS NOT NULL THEN $9 END,
               pass_began_at = CASE WHEN pass = $6 THEN coalesce(pass_began_at, now()) WHEN $6 IS NOT NULL THEN now() END,
               passed_with = CASE WHEN $6 IS NULL OR pass = $6 THEN passed_with ELSE $10 END,
               resync_asked_at = CASE WHEN $6 IS NULL OR pass = $6 OR resync_asked_at > claimed_at THEN resync_asked_at END
             WHERE id = $1 AND claimed_by = $2",
            &[
                (&id, Type::INT8),
                (&run, Type::UUID),
                (&to.cursor, Type::TEXT),
                (&to.page_token, Type::TEXT),
                (&to.pinned, Type::TEXT),
                (&to.pass, Type::INT8),
                (lease, Type::FLOAT8),
                (items, Type::INT8),
                (expected, Type::INT8),
                (settings, Type::JSONB),
            ],
        )
        .await
        .context("advancing the page token")?;
    Ok(updated == 1)
}

/// Locks a stream for writes that no lease covers, so that no page or removal interferes. Returns `false` if the stream is gone.
pub async fn hold(tx: &Transaction<'_>, id: i64) -> anyhow::Result<bool> {
    let row = tx
        .query_typed_opt("SELECT 1 FROM streams WHERE id = $1 FOR NO KEY UPDATE", &[(&id, Type::INT8)])
        .await
        .context("holding the stream")?;
    Ok(row.is_some())
}

/// The end of a pass.
#[derive(Debug, Clone)]
pub struct Finish {
    pub cursor: String,
    /// The number of the full pass that ends; `None` for an incremental poll.
    pub pass: Option<i64>,
    /// Seconds to the next poll.
    pub wait: f64,
    pub changes: Changes,
    /// Times of the changes found, by the provider's clock.
    pub changed_at: Vec<DateTime<Utc>>,
}

/// Advances the cursor with the last page and releases the stream. It stays due if a change was announced since the claim, because the answer may
/// predate it. `settings`: those of a pass that begins here. Returns `false` if this run no longer holds the stream; the caller must roll back.
pub async fn finish(tx: &Transaction<'_>, run: Uuid, id: i64, end: &Finish, settings: &Value) -> anyhow::Result<bool> {
    let updated = tx
        .execute_typed(
            "UPDATE streams s SET cursor = $3, page_token = NULL, pinned = NULL, pass = NULL,
               pass_items = NULL, pass_expected = NULL, pass_began_at = NULL,
               lapses = 0, full_pass_at = CASE WHEN $4::bigint IS NULL THEN full_pass_at ELSE now() END,
               pass_count = greatest(pass_count, coalesce($4, 0)),
               passed_with = CASE WHEN $4 IS NULL OR pass = $4 THEN passed_with ELSE $11 END,
               resync_asked_at = CASE WHEN $4 IS NULL OR pass = $4 OR resync_asked_at > claimed_at THEN resync_asked_at END,
               due_at = CASE WHEN pushed_at > claimed_at OR resync_asked_at > claimed_at THEN now()
                 -- More items are due to be fetched by id than one poll fetches.
                 WHEN EXISTS (SELECT 1 FROM quarantined_items q WHERE q.stream_id = s.id AND q.retry_at <= now()) THEN now() + interval '1 minute'
                 ELSE now() + make_interval(secs => $5) END,
               polled_at = coalesce(claimed_at, now()), claimed_by = NULL, claimed_until = NULL,
               failures = 0, failed_class = NULL, failed_message = NULL,
               state = CASE WHEN state = 'stopped' OR (state = 'degraded' AND resync_day < current_date) THEN 'active' ELSE state END,
               change_mass = $6, change_mass_at = $7, change_since = $9, change_shape = $10,
               -- Changes that a live channel should have announced before this poll.
               push_missed = CASE WHEN push_until > now() AND $4::bigint IS NULL THEN (
                 SELECT CASE WHEN bool_or(at <= s.pushed_at) THEN 0 ELSE s.push_missed END + count(*) FILTER (
                   WHERE (s.pushed_at IS NULL OR at > s.pushed_at) AND at > (
                     SELECT min(c.created_at) FROM channels c WHERE c.stream_id = s.id AND c.state = 'live'))
                 FROM unnest($8::timestamptz[]) AS changes (at))::int ELSE push_missed END
             WHERE id = $1 AND claimed_by = $2",
            &[
                (&id, Type::INT8),
                (&run, Type::UUID),
                (&end.cursor, Type::TEXT),
                (&end.pass, Type::INT8),
                (&end.wait, Type::FLOAT8),
                (&end.changes.mass, Type::FLOAT8),
                (&end.changes.at, Type::TIMESTAMPTZ),
                (&end.changed_at, Type::TIMESTAMPTZ_ARRAY),
                (&end.changes.since, Type::TIMESTAMPTZ),
                (&end.changes.shape, Type::FLOAT4_ARRAY),
                (settings, Type::JSONB),
            ],
        )
        .await
        .context("advancing the cursor")?;
    Ok(updated == 1)
}

/// Drops an expired cursor, so that a full pass follows, and counts the resync for the day. Returns `false` if this run no longer holds the stream.
pub async fn forget_cursor(pool: &Pool, run: Uuid, id: i64, max_per_day: i32) -> anyhow::Result<bool> {
    let mut client = pool.get().await?;
    let tx = client.begin("dropping an expired cursor").await?;
    let updated = tx
        .execute_typed(
            "UPDATE streams SET cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL,
               resyncs = CASE WHEN resync_day = current_date THEN resyncs + 1 ELSE 1 END, resync_day = current_date,
               state = CASE WHEN resync_day = current_date AND resyncs + 1 > $3 THEN 'degraded' ELSE state END
             WHERE id = $1 AND claimed_by = $2",
            &[(&id, Type::INT8), (&run, Type::UUID), (&max_per_day, Type::INT4)],
        )
        .await
        .context("dropping an expired cursor")?;
    tx.commit().await.context("dropping an expired cursor")?;
    Ok(updated == 1)
}

/// Releases those of these streams that the run still holds, due immediately: the run stopped before it polled them. Locked streams are left to their
/// lease.
pub async fn release(pool: &Pool, run: Uuid, ids: &[i64]) -> anyhow::Result<u64> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE streams SET claimed_by = NULL, claimed_until = NULL, last_run = NULL
             WHERE id IN (SELECT id FROM streams WHERE id = ANY ($2) AND claimed_by = $1 FOR NO KEY UPDATE SKIP LOCKED)",
            &[(&run, Type::UUID), (&ids, Type::INT8_ARRAY)],
        )
        .await
        .context("releasing leases")
}

/// Releases streams between two pages of a full pass, so that any run can claim them. `polled`: streams of which this run has read a page, so that it
/// counts them only once.
pub async fn give_way(pool: &Pool, run: Uuid, ids: &[i64], polled: &[i64]) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE streams SET claimed_by = NULL, claimed_until = NULL, due_at = least(due_at, now()), last_run = CASE WHEN id = ANY ($3) THEN last_run END
             WHERE id IN (SELECT id FROM streams WHERE id = ANY ($2) AND claimed_by = $1 FOR NO KEY UPDATE SKIP LOCKED)",
            &[(&run, Type::UUID), (&ids, Type::INT8_ARRAY), (&polled, Type::INT8_ARRAY)],
        )
        .await
        .context("releasing streams for other runs")?;
    Ok(())
}

/// Adds missing streams. A removed stream is reactivated and starts over, because it was not polled in the meantime.
pub async fn ensure(tx: &Transaction<'_>, user: Uuid, service: &str, kind: &str, resources: &[&str]) -> anyhow::Result<u64> {
    tx.execute_typed(
        "INSERT INTO streams (user_id, service, kind, resource)
         SELECT $1, $2, $3, unnest($4::text[])
         ON CONFLICT (user_id, service, kind, resource) DO UPDATE SET state = 'active', due_at = now(), cursor = NULL, page_token = NULL, pinned = NULL, pass = NULL
         WHERE streams.state = 'removed'",
        &[(&user, Type::UUID), (&service, Type::TEXT), (&kind, Type::TEXT), (&resources, Type::TEXT_ARRAY)],
    )
    .await
    .context("adding streams")
}

/// Makes a stream due.
pub async fn make_due(tx: &Transaction<'_>, id: i64) -> anyhow::Result<()> {
    tx.execute_typed("UPDATE streams SET due_at = least(due_at, now()) WHERE id = $1", &[(&id, Type::INT8)])
        .await
        .context("making a stream due")?;
    Ok(())
}

/// Removes a stream from polling until `ensure` reactivates it.
pub async fn retire(tx: &Transaction<'_>, id: i64) -> anyhow::Result<()> {
    tx.execute_typed("UPDATE streams SET state = 'removed' WHERE id = $1", &[(&id, Type::INT8)])
        .await
        .context("retiring a stream")?;
    Ok(())
}

/// The polled streams of a service.
pub async fn of_service(pool: &Pool, service: &str) -> anyhow::Result<Vec<i64>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT id FROM streams WHERE service = $1 AND state NOT IN ('removed', 'revoked', 'off')",
            &[(&service, Type::TEXT)],
        )
        .await
        .context("reading a service's streams")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
