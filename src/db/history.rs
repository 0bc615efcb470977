//! Summaries of runs over a long period (tables `*_summaries`). Read-only.

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

use super::Pool;
use super::runs::Tables;
use crate::state::RunStatus;

/// The used fields of a run's summary. Rows written by other programs can lack any field.
#[derive(Debug, Clone, Default)]
pub struct RunSummary {
    pub ended_at: DateTime<Utc>,
    pub job: String,
    /// `None`: the word of another program.
    pub status: Option<RunStatus>,
    pub elapsed_ms: Option<u64>,
    pub streams: u64,
    pub api_calls: u64,
    pub quota_units: u64,
    /// `{kind: {created, updated, deleted, …}}`
    pub changes: Value,
    /// `{class: {count, example}}`
    pub errors: Value,
    pub delays: Value,
}

/// Time of the oldest stored summary; `None` if no run has written one.
pub async fn first(pool: &Pool, services: &[Tables]) -> anyhow::Result<Option<DateTime<Utc>>> {
    let tables: Vec<String> = services
        .iter()
        .flat_map(|service| service.all_summaries())
        .map(|(table, _)| format!("SELECT min(timestamp) AS at FROM {table}"))
        .collect();
    let statement = format!("SELECT min(at) FROM ({}) s", tables.join(" UNION ALL "));
    let row = pool.get().await?.query_typed_one(&statement, &[]).await.context("reading the time of the first run")?;
    Ok(row.try_get(0)?)
}

/// Streams the summaries of the given services since `start`, so that a million of them need no memory here.
pub async fn since(
    pool: &Pool,
    services: &[Tables],
    start: DateTime<Utc>,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<RunSummary>> + use<>> {
    let tables: Vec<String> = services
        .iter()
        .flat_map(|service| service.all_summaries())
        .map(|(table, _)| format!("SELECT timestamp, summary_data FROM {table} WHERE timestamp >= $1"))
        .collect();
    // Access each JSON value only once: long values are stored compressed, and every `->` would decompress them again.
    let statement = format!(
        "SELECT s.timestamp, r.job, r.status, r.elapsed_ms, r.streams, r.api_calls, r.quota_units, r.changes, r.errors, r.delays
         FROM ({}) s,
           jsonb_to_record(CASE jsonb_typeof(s.summary_data) WHEN 'object' THEN s.summary_data ELSE '{{}}' END) AS r (
             job text, status text, elapsed_ms jsonb, streams jsonb, api_calls jsonb, quota_units jsonb, changes jsonb, errors jsonb, delays jsonb)
         WHERE r.job IS NOT NULL AND r.status IS NOT NULL",
        tables.join(" UNION ALL ")
    );
    let client = pool.get().await?;
    let rows = client
        .query_typed_raw(&statement, [(&start as &(dyn ToSql + Sync), Type::TIMESTAMPTZ)])
        .await
        .context("reading the summaries of runs")?;
    Ok(rows.map(move |row| {
        // Keep the connection until the last row.
        let _client = &client;
        let row = row.context("reading the summaries of runs")?;
        let json = |at: usize| -> anyhow::Result<Value> { Ok(row.try_get::<_, Option<Value>>(at)?.unwrap_or_default()) };
        let number = |at: usize| -> anyhow::Result<Option<u64>> { Ok(json(at)?.as_u64()) };
        Ok(RunSummary {
            ended_at: row.try_get(0)?,
            job: row.try_get(1)?,
            status: row.try_get::<_, &str>(2)?.parse().ok(),
            elapsed_ms: number(3)?,
            streams: number(4)?.unwrap_or(0),
            api_calls: number(5)?.unwrap_or(0),
            quota_units: number(6)?.unwrap_or(0),
            changes: json(7)?,
            errors: json(8)?,
            delays: json(9)?,
        })
    }))
}
