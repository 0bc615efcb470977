//! What runs told of themselves, over a long window (tables `*_summaries`). Changes nothing.

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};

use super::{Pool, runs};

/// The summary of a run, as far as it is asked for. Rows that others wrote before us can lack anything.
#[derive(Debug, Clone, Default)]
pub struct RunSummary {
    pub ended_at: DateTime<Utc>,
    pub job: String,
    pub status: String,
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

/// When the first run that is still known told of itself. `None`: none has.
pub async fn first(pool: &Pool, services: &[&str]) -> anyhow::Result<Option<DateTime<Utc>>> {
    let tables: Vec<String> = services
        .iter()
        .flat_map(|service| runs::summary_tables(service))
        .map(|(table, _)| format!("SELECT min(timestamp) AS at FROM {table}"))
        .collect();
    let statement = format!("SELECT min(at) FROM ({}) s", tables.join(" UNION ALL "));
    let row = pool.get().await?.query_typed_one(&statement, &[]).await.context("reading when the first run was")?;
    Ok(row.try_get(0)?)
}

/// The summaries of the given services since a time, as they come from the database: a million of them need no memory here.
pub async fn since(
    pool: &Pool,
    services: &[&str],
    start: DateTime<Utc>,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<RunSummary>> + use<>> {
    let tables: Vec<String> = services
        .iter()
        .flat_map(|service| runs::summary_tables(service))
        .map(|(table, _)| format!("SELECT timestamp, summary_data FROM {table} WHERE timestamp >= $1"))
        .collect();
    // One look into each JSON: a long one is stored compressed, and every `->` would unpack it anew.
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
        // The connection is in use until the last row.
        let _client = &client;
        let row = row.context("reading the summaries of runs")?;
        let json = |at: usize| -> anyhow::Result<Value> { Ok(row.try_get::<_, Option<Value>>(at)?.unwrap_or_default()) };
        let number = |at: usize| -> anyhow::Result<Option<u64>> { Ok(json(at)?.as_u64()) };
        Ok(RunSummary {
            ended_at: row.try_get(0)?,
            job: row.try_get(1)?,
            status: row.try_get(2)?,
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
