//! When streams changed, according to stored data. Each service provides its statement.

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::Pool;

/// Returns the times of each stream's changes since `since`, in order; one entry per stream.
pub async fn read(pool: &Pool, statement: &str, since: DateTime<Utc>) -> anyhow::Result<Vec<Vec<DateTime<Utc>>>> {
    let rows =
        pool.get().await?.query_typed(statement, &[(&since, Type::TIMESTAMPTZ)]).await.context("reading the times of changes")?;
    rows.iter().map(|row| Ok(row.try_get::<_, Option<_>>(0)?.unwrap_or_default())).collect()
}
