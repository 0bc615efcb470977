//! Outcomes of streams that could not be polled (table `streams`): failed, nothing to sync, or postponed. Cursors stay.

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;
use crate::error::Failure;
use crate::state::StreamState;

/// Records a failure and releases the stream; the cursor stays. `state`: `stopped` or `removed`, if the failure implies it; `removed` takes effect only if
/// the previous failure was of the same class.
pub async fn fail(
    pool: &Pool,
    run: Uuid,
    id: i64,
    failure: &Failure,
    wait: f64,
    state: Option<StreamState>,
) -> anyhow::Result<()> {
    let mut client = pool.get().await?;
    let tx = client.begin("recording a failed stream").await?;
    tx.execute_typed(
        "UPDATE streams SET failures = failures + 1, failed_class = $3, failed_message = $4, failed_at = now(),
           failing_since = CASE WHEN failures > 0 THEN coalesce(failing_since, now()) ELSE now() END,
               due_at = now() + make_interval(secs => $5), polled_at = coalesce(claimed_at, now()),
               state = CASE WHEN state = 'off' OR ($6 = 'removed' AND failed_class IS DISTINCT FROM $3) THEN state ELSE coalesce($6, state) END,
               claimed_by = NULL, claimed_until = NULL
             WHERE id = $1 AND claimed_by = $2",
        &[
            (&id, Type::INT8),
            (&run, Type::UUID),
            (&failure.class.name(), Type::TEXT),
            (&failure.message, Type::TEXT),
            (&wait, Type::FLOAT8),
            (&state, Type::TEXT),
        ],
    )
    .await
    .context("recording a failed stream")?;
    tx.commit().await.context("recording a failed stream")
}

/// Records that there is nothing to sync and releases the stream. It is polled again once a day, after a week once a week. Not counted as a failure.
pub async fn turn_off(pool: &Pool, run: Uuid, id: i64, why: &Failure) -> anyhow::Result<()> {
    let mut client = pool.get().await?;
    let tx = client.begin("recording that there is nothing to sync").await?;
    tx.execute_typed(
            "UPDATE streams s SET failures = 0, lapses = 0, failed_class = $3, failed_message = $4, failed_at = o.since,
               due_at = now() + (0.9 + 0.1 * random()) * CASE WHEN o.since < now() - interval '7 days' THEN interval '7 days' ELSE interval '1 day' END,
               polled_at = coalesce(claimed_at, now()), state = CASE state WHEN 'off' THEN state ELSE 'stopped' END,
               claimed_by = NULL, claimed_until = NULL
             FROM (SELECT CASE WHEN failed_class IN ('service_off', 'not_granted') THEN failed_at ELSE now() END AS since
               FROM streams WHERE id = $1) o
             WHERE s.id = $1 AND s.claimed_by = $2",
            &[(&id, Type::INT8), (&run, Type::UUID), (&why.class.name(), Type::TEXT), (&why.message, Type::TEXT)],
        )
        .await
        .context("recording that there is nothing to sync")?;
    tx.commit().await.context("recording that there is nothing to sync")
}

/// Postpones a user's streams of a service until at least `wait` seconds from now, except streams being polled.
pub async fn postpone(pool: &Pool, service: &str, user: Uuid, wait: f64) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE streams SET due_at = greatest(due_at, now() + make_interval(secs => $3))
             WHERE id IN (
               SELECT id FROM streams WHERE user_id = $2 AND service = $1 AND (claimed_until IS NULL OR claimed_until < now())
               FOR UPDATE SKIP LOCKED)",
            &[(&service, Type::TEXT), (&user, Type::UUID), (&wait, Type::FLOAT8)],
        )
        .await
        .context("postponing a user's streams")?;
    Ok(())
}
