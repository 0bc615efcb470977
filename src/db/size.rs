//! How large the tables are, by the server's own books: nothing is counted row by row.

use anyhow::Context;
use serde::Serialize;

use super::Pool;

/// A table with what belongs to it.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    pub table: String,
    /// As of the last ANALYZE; absent before the first.
    pub rows: Option<i64>,
    /// Rows with what is stored beside them.
    pub bytes: i64,
    pub index_bytes: i64,
    /// Rows that are dead and not yet given back.
    pub dead_rows: i64,
    /// Rows that came and did not go, a day, in the mean since the server counts; absent within the first hour.
    pub rows_a_day: Option<f64>,
    pub indexes: Vec<Index>,
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
    let rows = pool
        .get()
        .await?
        .query_typed(
            "WITH counted AS (
               SELECT nullif(greatest(0, extract(epoch FROM now() - coalesce(d.stats_reset, (SELECT min(applied_at) FROM schema_migrations)))
                 / 86400), 0)::float8 AS days
               FROM pg_stat_database d WHERE d.datname = current_database()
             )
             SELECT c.relname::text, nullif(c.reltuples, -1)::bigint, pg_table_size(c.oid), pg_indexes_size(c.oid), coalesce(s.n_dead_tup, 0),
               CASE WHEN counted.days > 1.0 / 24 THEN greatest(0, s.n_tup_ins - s.n_tup_del) / counted.days END,
               coalesce((SELECT json_agg(json_build_object('index', x.indexrelname, 'bytes', pg_relation_size(x.indexrelid), 'scans', x.idx_scan)
                 ORDER BY pg_relation_size(x.indexrelid) DESC, x.indexrelname) FROM pg_stat_user_indexes x WHERE x.relid = c.oid), '[]')
             FROM pg_class c CROSS JOIN counted LEFT JOIN pg_stat_user_tables s ON s.relid = c.oid
             WHERE c.relkind IN ('r', 'm') AND c.relnamespace = current_schema()::regnamespace
             ORDER BY pg_total_relation_size(c.oid) DESC, c.relname",
            &[],
        )
        .await
        .context("reading the sizes of tables")?;
    rows.iter()
        .map(|row| {
            let indexes: serde_json::Value = row.try_get(6)?;
            let indexes = indexes.as_array().map(Vec::as_slice).unwrap_or_default();
            let index = |value: &serde_json::Value| {
                let number = |key: &str| value.get(key).and_then(serde_json::Value::as_i64).unwrap_or(0);
                let name = value.get("index").and_then(serde_json::Value::as_str).unwrap_or_default();
                Index { index: name.to_owned(), bytes: number("bytes"), scans: number("scans") }
            };
            Ok(Table {
                table: row.try_get(0)?,
                rows: row.try_get(1)?,
                bytes: row.try_get(2)?,
                index_bytes: row.try_get(3)?,
                dead_rows: row.try_get(4)?,
                rows_a_day: row.try_get(5)?,
                indexes: indexes.iter().map(index).collect(),
            })
        })
        .collect()
}
