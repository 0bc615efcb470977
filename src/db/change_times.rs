//! When streams changed, from what was stored of them; the statement is the service's.

use anyhow::Context;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::Pool;

/// A stream a row, each with its changes since then, in order.
pub async fn read(pool: &Pool, statement: &str, since: DateTime<Utc>) -> anyhow::Result<Vec<Vec<DateTime<Utc>>>> {
    let rows =
        pool.get().await?.query_typed(statement, &[(&since, Type::TIMESTAMPTZ)]).await.context("reading the times of changes")?;
    rows.iter().map(|row| Ok(row.try_get::<_, Option<_>>(0)?.unwrap_or_default())).collect()
}
