//! Prices of polls per project (tables `pace_prices`, `pace_user_prices`), and the streams they are computed from.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Pool;
use super::pace_priors::Learnt;
use super::streams::Changes;

const STORE: &str = include_str!("sql/store_prices.sql");

/// The prices of a service, in hours.
#[derive(Debug, Clone, Default)]
pub struct Prices {
    /// By project.
    pub projects: HashMap<String, f64>,
    /// By user, for users whose streams alone would exceed the per-user quota.
    pub users: HashMap<Uuid, f64>,
    /// What is assumed of streams, by kind, learnt from all of them.
    pub priors: HashMap<String, Learnt>,
    /// Seconds since their last computation began; `None` if never.
    pub age: Option<f64>,
    /// Paused projects, which have no price, with the reasons. Read in the same statement to keep idle runs cheap.
    pub paused: Vec<(String, String)>,
}

impl Prices {
    /// The price of a user's polls. `minimum`: the price from the settings, used if nothing has been computed yet.
    pub fn of(&self, project: &str, user: Uuid, minimum: f64) -> f64 {
        let project = self.projects.get(project).copied().unwrap_or(minimum);
        self.users.get(&user).copied().unwrap_or(minimum).max(project).max(minimum)
    }
}

/// Loads the last computed prices.
pub async fn load(pool: &Pool, service: &str) -> anyhow::Result<Prices> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            // The last three columns are `Learnt::of_row`'s.
            "SELECT project, NULL::uuid, price, NULL::text, NULL::float8, NULL::float8[], NULL::bigint FROM pace_prices WHERE service = $1
             UNION ALL SELECT NULL, user_id, price, NULL, NULL, NULL, NULL FROM pace_user_prices WHERE service = $1
             UNION ALL SELECT NULL, NULL, extract(epoch FROM now() - begun_at)::float8, NULL, NULL, NULL, NULL FROM pace_runs WHERE service = $1
             UNION ALL SELECT project, NULL, 0, reason, NULL, NULL, NULL FROM quota_pauses WHERE service = $1 AND until > now()
             UNION ALL SELECT kind, NULL, changes, NULL, hours, followers, streams FROM pace_priors WHERE service = $1",
            &[(&service, Type::TEXT)],
        )
        .await
        .context("reading the prices of polls")?;
    let mut prices = Prices::default();
    for row in rows {
        let price = row.try_get(2)?;
        if let Some(learnt) = Learnt::of_row(&row)? {
            prices.priors.insert(row.try_get(0)?, learnt);
            continue;
        }
        match (row.try_get::<_, Option<String>>(0)?, row.try_get::<_, Option<Uuid>>(1)?) {
            (Some(project), _) => match row.try_get(3)? {
                Some(why) => prices.paused.push((project, why)),
                None => drop(prices.projects.insert(project, price)),
            },
            (None, Some(user)) => drop(prices.users.insert(user, price)),
            (None, None) => prices.age = Some(price),
        }
    }
    Ok(prices)
}

/// The inputs of a stream's pace.
#[derive(Debug, Clone)]
pub struct Paced {
    /// `streams.id`
    pub id: i64,
    pub user_id: Uuid,
    pub project: String,
    pub kind: String,
    pub resource: String,
    pub changes: Changes,
    pub weight: f64,
    pub weight_at: DateTime<Utc>,
    /// A live channel announces its changes.
    pub push_alive: bool,
    /// Changes in a row that polls found without an announcement by the channel.
    pub push_missed: i32,
    pub polled_at: Option<DateTime<Utc>>,
}

/// Users with more than `streams` streams.
pub async fn crowded(pool: &Pool, service: &str, streams: i64) -> anyhow::Result<Vec<Uuid>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT user_id FROM streams WHERE service = $1 AND state IN ('active', 'degraded') GROUP BY user_id HAVING count(*) > $2",
            &[(&service, Type::TEXT), (&streams, Type::INT8)],
        )
        .await
        .context("looking for users with many streams")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Streams the polled streams of a service, of all or some users, so that a million of them need no memory here.
pub async fn paced(
    pool: &Pool,
    service: &str,
    users: Option<&[Uuid]>,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<Paced>> + use<>> {
    let client = pool.get().await?;
    let rows = client
        .query_typed_raw(
            "SELECT s.id, s.user_id, a.project, s.kind, s.resource, s.change_mass, s.change_mass_at, s.change_since, s.change_shape,
               s.weight, s.weight_at, coalesce(s.push_until > now(), false), s.polled_at, s.push_missed
             FROM streams s JOIN accounts a ON a.user_id = s.user_id
             WHERE s.service = $1 AND s.state IN ('active', 'degraded') AND ($2::uuid[] IS NULL OR s.user_id = ANY ($2))",
            [(&service as &(dyn ToSql + Sync), Type::TEXT), (&users, Type::UUID_ARRAY)],
        )
        .await
        .context("reading the pace of streams")?;
    Ok(rows.map(move |row| {
        // Keep the connection until the last row.
        let _client = &client;
        let row = row.context("reading the pace of streams")?;
        Ok(Paced {
            id: row.try_get(0)?,
            user_id: row.try_get(1)?,
            project: row.try_get(2)?,
            kind: row.try_get(3)?,
            resource: row.try_get(4)?,
            changes: Changes { mass: row.try_get(5)?, at: row.try_get(6)?, since: row.try_get(7)?, shape: row.try_get(8)? },
            weight: row.try_get(9)?,
            weight_at: row.try_get(10)?,
            push_alive: row.try_get(11)?,
            polled_at: row.try_get(12)?,
            push_missed: row.try_get(13)?,
        })
    }))
}

/// The computed price of a project with its inputs.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Computed {
    pub service: String,
    pub project: String,
    /// Hours.
    pub price: f64,
    /// Quota units that may be spent per hour.
    pub budget: f64,
    /// Quota units predicted by prices and actually spent under them, both decaying by half per day.
    pub foretold: f64,
    pub spent: f64,
    /// Quota units of the current hour that are included in `spent`.
    pub spent_in_hour: i64,
    pub streams: i64,
    /// Polls per hour at this price.
    pub polls: f64,
    pub computed_at: DateTime<Utc>,
}

/// The last computed prices of all services.
pub async fn computed(pool: &Pool) -> anyhow::Result<Vec<Computed>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT service, project, price, budget, foretold, spent, spent_in_hour, streams, polls, computed_at FROM pace_prices
             ORDER BY service, project",
            &[],
        )
        .await
        .context("reading the computed prices")?;
    rows.iter()
        .map(|row| {
            Ok(Computed {
                service: row.try_get(0)?,
                project: row.try_get(1)?,
                price: row.try_get(2)?,
                budget: row.try_get(3)?,
                foretold: row.try_get(4)?,
                spent: row.try_get(5)?,
                spent_in_hour: row.try_get(6)?,
                streams: row.try_get(7)?,
                polls: row.try_get(8)?,
                computed_at: row.try_get(9)?,
            })
        })
        .collect()
}

/// A project's spending at the time its price is recomputed.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Quota units of the current hour.
    pub in_hour: i64,
    /// The previous price, if any.
    pub before: Option<Before>,
}

/// The prediction of a price, and the spending under it.
#[derive(Debug, Clone)]
pub struct Before {
    /// As stored with the price, see [`Computed`].
    pub budget: f64,
    pub foretold: f64,
    pub spent: f64,
    pub polls: f64,
    /// Hours for which the price was in effect.
    pub hours: f64,
    /// Quota units spent in this time.
    pub units: f64,
}

/// Spending of projects since their prices were computed, limited to the retention of the quota ledger.
pub async fn ledgers(pool: &Pool, service: &str, projects: &[&str]) -> anyhow::Result<HashMap<String, Ledger>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT q.subject, coalesce(sum(q.units) FILTER (WHERE q.window_start = date_trunc('hour', now())), 0)::bigint,
               p.budget, p.foretold, p.spent, p.polls, extract(epoch FROM now() - p.computed_at)::float8 / 3600,
               (sum(q.units) FILTER (WHERE q.window_start >= date_trunc('hour', p.computed_at)) - p.spent_in_hour)::float8
             FROM quota_usage q LEFT JOIN pace_prices p ON p.service = q.service AND p.project = q.subject
             WHERE q.service = $1 AND q.span = 'hour' AND q.subject = ANY ($2)
             GROUP BY q.subject, p.budget, p.foretold, p.spent, p.polls, p.computed_at, p.spent_in_hour",
            &[(&service, Type::TEXT), (&projects, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading the spent quota")?;
    rows.iter()
        .map(|row| {
            let before = match row.try_get::<_, Option<f64>>(2)? {
                Some(budget) => Some(Before {
                    budget,
                    foretold: row.try_get(3)?,
                    spent: row.try_get(4)?,
                    polls: row.try_get(5)?,
                    hours: row.try_get(6)?,
                    units: row.try_get::<_, Option<f64>>(7)?.unwrap_or(0.0),
                }),
                None => None,
            };
            Ok((row.try_get(0)?, Ledger { in_hour: row.try_get(1)?, before }))
        })
        .collect()
}

/// Replaces the prices of a service.
pub async fn store(pool: &Pool, service: &str, projects: &[Computed], users: &HashMap<Uuid, f64>) -> anyhow::Result<()> {
    let names: Vec<&str> = projects.iter().map(|project| project.project.as_str()).collect();
    let column = |read: fn(&Computed) -> f64| projects.iter().map(read).collect::<Vec<f64>>();
    let counts = |read: fn(&Computed) -> i64| projects.iter().map(read).collect::<Vec<i64>>();
    let (ids, prices): (Vec<Uuid>, Vec<f64>) = users.iter().map(|(user, price)| (*user, *price)).unzip();
    pool.get()
        .await?
        .execute_typed(
            STORE,
            &[
                (&service, Type::TEXT),
                (&names, Type::TEXT_ARRAY),
                (&column(|project| project.price), Type::FLOAT8_ARRAY),
                (&column(|project| project.budget), Type::FLOAT8_ARRAY),
                (&column(|project| project.foretold), Type::FLOAT8_ARRAY),
                (&column(|project| project.spent), Type::FLOAT8_ARRAY),
                (&counts(|project| project.spent_in_hour), Type::INT8_ARRAY),
                (&counts(|project| project.streams), Type::INT8_ARRAY),
                (&column(|project| project.polls), Type::FLOAT8_ARRAY),
                (&ids, Type::UUID_ARRAY),
                (&prices, Type::FLOAT8_ARRAY),
            ],
        )
        .await
        .context("storing prices")?;
    Ok(())
}
