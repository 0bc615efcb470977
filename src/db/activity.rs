//! Recent user activity (table `user_activity`) and the weight it gives to the user's streams. Work of syncctl itself is not recorded.

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;

/// Something a user did.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Activity {
    pub kind: String,
    pub last_at: DateTime<Utc>,
    pub times: i64,
}

/// Records an activity and gives the user's streams of these services its weight unless the remainder of an earlier weight is greater.
/// `half_life`: seconds in which a weight halves.
pub async fn record(
    pool: &Pool,
    user: Uuid,
    kind: &str,
    services: &[&str],
    weights: &[f64],
    half_life: f64,
) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed(
            "WITH recorded AS (
               INSERT INTO user_activity AS a (user_id, kind) VALUES ($1, $2)
               ON CONFLICT (user_id, kind) DO UPDATE SET last_at = now(), times = a.times + 1
             )
             UPDATE streams s
             SET weight_at = now(),
                 weight = greatest(w.weight, 1 + (s.weight - 1) * exp(greatest(-50, -ln(2) * extract(epoch FROM now() - s.weight_at)::float8 / $5)))
             FROM unnest($3::text[], $4::float8[]) AS w (service, weight)
             WHERE s.user_id = $1 AND s.service = w.service AND s.state <> 'removed'",
            &[
                (&user, Type::UUID),
                (&kind, Type::TEXT),
                (&services, Type::TEXT_ARRAY),
                (&weights, Type::FLOAT8_ARRAY),
                (&half_life, Type::FLOAT8),
            ],
        )
        .await
        .context("recording an activity")?;
    Ok(())
}

/// Makes each stream due the given number of seconds after its last poll, never later than it is already. Skips streams that another run holds.
pub async fn advance_due(pool: &Pool, ids: &[i64], waits: &[f64]) -> anyhow::Result<u64> {
    pool.get()
        .await?
        .execute_typed(
            "UPDATE streams s SET due_at = greatest(now(), s.polled_at + make_interval(secs => w.wait))
             FROM unnest($1::bigint[], $2::float8[]) AS w (id, wait)
             WHERE s.id = w.id AND s.failures = 0 AND coalesce(s.claimed_until < now(), true)
               AND s.due_at > greatest(now(), s.polled_at + make_interval(secs => w.wait))",
            &[(&ids, Type::INT8_ARRAY), (&waits, Type::FLOAT8_ARRAY)],
        )
        .await
        .context("making streams due earlier")
}

/// A user's activities, newest first.
pub async fn of_user(pool: &Pool, user: Uuid) -> anyhow::Result<Vec<Activity>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT kind, last_at, times FROM user_activity WHERE user_id = $1 ORDER BY last_at DESC",
            &[(&user, Type::UUID)],
        )
        .await
        .context("reading a user's activity")?;
    rows.iter().map(|row| Ok(Activity { kind: row.try_get(0)?, last_at: row.try_get(1)?, times: row.try_get(2)? })).collect()
}
