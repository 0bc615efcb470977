//! What is assumed of streams about which little is known, by kind (table `pace_priors`). Read together with the prices.

use std::collections::HashMap;

use anyhow::Context;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::Pool;

/// A prior of streams; see `engine::pace` for its meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct Learnt {
    pub changes: f64,
    pub hours: f64,
    pub followers: Vec<f64>,
    /// Number of streams from which it was learnt.
    pub streams: i64,
}

impl Learnt {
    /// From a row whose columns 2, 4, 5 and 6 have its values; `None` if the row is of something else.
    pub(super) fn of_row(row: &Row) -> anyhow::Result<Option<Self>> {
        let Some(streams) = row.try_get(6)? else { return Ok(None) };
        Ok(Some(Self { changes: row.try_get(2)?, hours: row.try_get(4)?, followers: row.try_get(5)?, streams }))
    }
}

/// Replaces the priors of a service, by kind.
pub async fn store(pool: &Pool, service: &str, priors: &HashMap<String, Learnt>) -> anyhow::Result<()> {
    let kinds: Vec<&str> = priors.keys().map(String::as_str).collect();
    let column = |read: fn(&Learnt) -> f64| priors.values().map(read).collect::<Vec<f64>>();
    let streams: Vec<i64> = priors.values().map(|prior| prior.streams).collect();
    // PostgreSQL has no arrays of arrays of different lengths: all shares one after the other, and how many each kind has.
    let followers: Vec<f64> = priors.values().flat_map(|prior| prior.followers.iter().copied()).collect();
    let scales = priors.values().map(|prior| prior.followers.len() as i32).max().unwrap_or(0);
    pool.get()
        .await?
        .execute_typed(
            "WITH gone AS (DELETE FROM pace_priors WHERE service = $1 AND kind <> ALL ($2))
             INSERT INTO pace_priors (service, kind, changes, hours, streams, followers)
             SELECT $1, k.kind, k.changes, k.hours, k.streams, ($6::float8[])[(k.at - 1) * $7 + 1 : k.at * $7]
             FROM unnest($2::text[], $3::float8[], $4::float8[], $5::bigint[]) WITH ORDINALITY AS k (kind, changes, hours, streams, at)
             ON CONFLICT (service, kind) DO UPDATE SET changes = excluded.changes, hours = excluded.hours, streams = excluded.streams,
               followers = excluded.followers, fitted_at = now()",
            &[
                (&service, Type::TEXT),
                (&kinds, Type::TEXT_ARRAY),
                (&column(|prior| prior.changes), Type::FLOAT8_ARRAY),
                (&column(|prior| prior.hours), Type::FLOAT8_ARRAY),
                (&streams, Type::INT8_ARRAY),
                (&followers, Type::FLOAT8_ARRAY),
                (&scales, Type::INT4),
            ],
        )
        .await
        .context("storing the priors of streams")?;
    Ok(())
}
