//! Which run computes the prices of a service, and since when (table `pace_runs`).

use anyhow::Context;
use tokio_postgres::types::Type;

use super::Pool;

/// Claims the computation of a service's prices if the last one began more than `every` seconds ago. One host computes; the others use the current
/// prices.
pub async fn take(pool: &Pool, service: &str, every: f64) -> anyhow::Result<bool> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            "INSERT INTO pace_runs AS r (service, begun_at) VALUES ($1, now())
             ON CONFLICT (service) DO UPDATE SET begun_at = now() WHERE r.begun_at < now() - make_interval(secs => $2)
             RETURNING 1",
            &[(&service, Type::TEXT), (&every, Type::FLOAT8)],
        )
        .await
        .context("claiming the computation of prices")?;
    Ok(row.is_some())
}

/// Makes the next run compute a service's prices, because there are new streams.
pub async fn outdate(pool: &Pool, service: &str) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed("DELETE FROM pace_runs WHERE service = $1", &[(&service, Type::TEXT)])
        .await
        .context("outdating the prices of polls")?;
    Ok(())
}
