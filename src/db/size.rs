//! How large the tables are, by the server's own books, and how many rows come: by their dates where an index has them, else by those books too.

use std::collections::HashMap;

use anyhow::Context;
use serde::Serialize;

use super::Pool;
use super::retention::{Kept, RULES};
use super::search_path::Reads;

/// A table with what belongs to it.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    pub table: String,
    /// As the server estimates; exact after ANALYZE.
    pub rows: i64,
    /// Rows with what is stored beside them.
    pub bytes: i64,
    pub index_bytes: i64,
    /// Rows that are dead and not yet given back.
    pub dead_rows: i64,
    /// Absent where nothing says it: within the first hour, and where the server did not count from the beginning.
    pub growth: Option<Growth>,
    pub indexes: Vec<Index>,
}

/// Rows that came, in the mean of some days.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Growth {
    pub rows_a_day: f64,
    /// Of the last so many days.
    pub days: f64,
    pub by: Books,
}

/// What a growth was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Books {
    /// The dates of the rows: what came in the last week, or since the first one.
    Dates,
    /// The server's counters: what came and did not go since it counts, first syncs included.
    Counters,
}

#[derive(Debug, Clone, Serialize)]
pub struct Index {
    pub index: String,
    pub bytes: i64,
    /// How often it was used since the server counts.
    pub scans: i64,
}

/// Every table of ours and of whoever shares the schema, the largest first.
pub async fn read(pool: &Pool) -> anyhow::Result<Vec<Table>> {
    let client = pool.get().await?;
    let dated = arrivals(&client).await?;
    let rows = client
        .query_typed(
            // Rows as the planner estimates them: as dense as at the last ANALYZE, on the pages of now. Counters are lost in a crash; where they were
            // not reset on purpose, they tell of the time since the first migration only if together they have seen the rows that are there.
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

/// Tables whose rows are never older than their date, with the column that says it and has an index.
fn dated() -> impl Iterator<Item = (&'static str, &'static str)> {
    let runs = RULES.iter().filter(|rule| rule.kept == Kept::Runs).map(|rule| (rule.table, rule.since));
    runs.chain([("notifications", "received_at"), ("outbox_events", "created_at"), ("gmail_detections", "detected_at")])
}

/// What came in the last week, by table.
async fn arrivals(client: &impl Reads) -> anyhow::Result<HashMap<String, Option<Growth>>> {
    let of_each: Vec<String> = dated()
        .map(|(table, at)| {
            format!(
                "SELECT '{table}', (SELECT count(*) FROM {table} WHERE {at} > now() - interval '7 days')::float8,
                   least(7, extract(epoch FROM now() - least((SELECT min({at}) FROM {table}), (SELECT min(applied_at) FROM schema_migrations)))
                     / 86400)::float8"
            )
        })
        .collect();
    let rows = client.query_typed(&of_each.join(" UNION ALL "), &[]).await.context("counting what came in the last week")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, growth(row.try_get(1)?, row.try_get(2)?, Books::Dates)))).collect()
}

/// So many rows in so many days; within the first hour that says nothing.
fn growth(rows: f64, days: Option<f64>, by: Books) -> Option<Growth> {
    days.filter(|days| *days >= 1.0 / 24.0).map(|days| Growth { rows_a_day: rows / days, days, by })
}
