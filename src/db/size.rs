//! Sizes of tables, from the server's statistics, and their growth: from the dates of rows if indexed, else from the statistics.

use std::collections::HashMap;

use anyhow::Context;
use serde::Serialize;

use super::Pool;
use super::reads::Reads;
use super::retention::{Kept, RULES};

/// A table with its sizes.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    pub table: String,
    /// The server's estimate; exact after ANALYZE.
    pub rows: i64,
    /// Size of the table including TOAST.
    pub bytes: i64,
    pub index_bytes: i64,
    /// Dead rows that are not reclaimed yet.
    pub dead_rows: i64,
    /// Absent if unknown: within the first hour, or if the server's counters do not cover the time since the first migration.
    pub growth: Option<Growth>,
    pub indexes: Vec<Index>,
}

/// Added rows per day, averaged over some days.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Growth {
    pub rows_a_day: f64,
    /// Length of the period, which ends now.
    pub days: f64,
    pub by: Books,
}

/// The source of a growth rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Books {
    /// The dates of the rows: those of the last week, or since the first row.
    Dates,
    /// The server's counters: inserted minus deleted rows since counting began, including first syncs.
    Counters,
}

#[derive(Debug, Clone, Serialize)]
pub struct Index {
    pub index: String,
    pub bytes: i64,
    /// Number of scans since counting began.
    pub scans: i64,
}

/// Lists every table in the schema, including those of other programs, largest first.
pub async fn read(pool: &Pool) -> anyhow::Result<Vec<Table>> {
    let client = pool.get().await?;
    let dated = arrivals(&client).await?;
    let rows = client
        .query_typed(
            // Rows as the planner estimates them: the density at the last ANALYZE times the current pages. Counters are lost in a crash. Unless they were
            // reset explicitly, they cover the time since the first migration only if their total matches the existing rows.
            "WITH tables AS (
               SELECT c.oid, c.relname, coalesce(s.n_dead_tup, 0) AS dead, coalesce(s.n_tup_ins - s.n_tup_del, 0) AS counted,
                 CASE WHEN c.reltuples >= 0 AND c.relpages > 0
                   THEN c.reltuples * (pg_relation_size(c.oid) / current_setting('block_size')::float8) / c.relpages
                   ELSE coalesce(s.n_live_tup, 0) END AS rows
               FROM pg_class c LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
               WHERE c.relkind IN ('r', 'm') AND c.relnamespace = current_schema()::regnamespace
             )
             SELECT t.relname::text, round(t.rows)::bigint, pg_table_size(t.oid), pg_indexes_size(t.oid), t.dead,
               greatest(t.counted, 0)::float8,
               extract(epoch FROM now() - coalesce(d.stats_reset, CASE WHEN abs(sum(t.counted - t.rows) OVER ()) <= 100 + sum(t.rows) OVER () / 10
                 THEN (SELECT min(applied_at) FROM schema_migrations) END))::float8 / 86400,
               coalesce((SELECT json_agg(json_build_object('index', x.indexrelname, 'bytes', pg_relation_size(x.indexrelid), 'scans', x.idx_scan)
                 ORDER BY pg_relation_size(x.indexrelid) DESC, x.indexrelname) FROM pg_stat_user_indexes x WHERE x.relid = t.oid), '[]')
             FROM tables t JOIN pg_stat_database d ON d.datname = current_database()
             ORDER BY pg_total_relation_size(t.oid) DESC, t.relname",
            &[],
        )
        .await
        .context("reading the sizes of tables")?;
    rows.iter()
        .map(|row| {
            let table: String = row.try_get(0)?;
            let counted = growth(row.try_get(5)?, row.try_get(6)?, Books::Counters);
            let growth = dated.get(table.as_str()).copied().unwrap_or(counted);
            let indexes: serde_json::Value = row.try_get(7)?;
            let indexes = indexes.as_array().map(Vec::as_slice).unwrap_or_default();
            let index = |value: &serde_json::Value| {
                let number = |key: &str| value.get(key).and_then(serde_json::Value::as_i64).unwrap_or(0);
                let name = value.get("index").and_then(serde_json::Value::as_str).unwrap_or_default();
                Index { index: name.to_owned(), bytes: number("bytes"), scans: number("scans") }
            };
            Ok(Table {
                rows: row.try_get(1)?,
                bytes: row.try_get(2)?,
                index_bytes: row.try_get(3)?,
                dead_rows: row.try_get(4)?,
                indexes: indexes.iter().map(index).collect(),
                growth,
                table,
            })
        })
        .collect()
}

/// Tables whose rows have a date of insertion in an indexed column, with that column.
fn dated() -> impl Iterator<Item = (&'static str, &'static str)> {
    let runs = RULES.iter().filter(|rule| rule.kept == Kept::Runs).map(|rule| (rule.table, rule.since));
    runs.chain([("notifications", "received_at"), ("outbox_events", "created_at"), ("gmail_detections", "detected_at")])
}

/// Rows added in the last week, by table.
async fn arrivals(client: &impl Reads) -> anyhow::Result<HashMap<String, Option<Growth>>> {
    let queries: Vec<String> = dated()
        .map(|(table, at)| {
            format!(
                "SELECT '{table}', (SELECT count(*) FROM {table} WHERE {at} > now() - interval '7 days')::float8,
                   least(7, extract(epoch FROM now() - least((SELECT min({at}) FROM {table}), (SELECT min(applied_at) FROM schema_migrations)))
                     / 86400)::float8"
            )
        })
        .collect();
    let rows = client.query_typed(&queries.join(" UNION ALL "), &[]).await.context("counting rows added in the last week")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, growth(row.try_get(1)?, row.try_get(2)?, Books::Dates)))).collect()
}

/// `rows` in `days` as a growth rate; `None` within the first hour, which is too short to be meaningful.
fn growth(rows: f64, days: Option<f64>, by: Books) -> Option<Growth> {
    days.filter(|days| *days >= 1.0 / 24.0).map(|days| Growth { rows_a_day: rows / days, days, by })
}
