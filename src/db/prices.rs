//! What a poll costs each project (tables `pace_prices`, `pace_user_prices`, `pace_runs`), and the streams that the price is made of.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::Pool;
use super::claims::Changes;

/// The prices of a service, in hours.
#[derive(Debug, Clone, Default)]
pub struct Prices {
    /// By project.
    pub projects: HashMap<String, f64>,
    /// By user, where one alone would pass what a user may have.
    pub users: HashMap<Uuid, f64>,
    /// Seconds since somebody began to compute them; `None`: nobody ever did.
    pub age: Option<f64>,
}

impl Prices {
    /// The price of a user's polls; `least`: of the settings, and where nothing was computed yet.
    pub fn of(&self, project: &str, user: Uuid, least: f64) -> f64 {
        let project = self.projects.get(project).copied().unwrap_or(least);
        self.users.get(&user).copied().unwrap_or(least).max(project).max(least)
    }
}

/// The prices as they were computed last.
pub async fn load(pool: &Pool, service: &str) -> anyhow::Result<Prices> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT project, NULL::uuid, price FROM pace_prices WHERE service = $1
             UNION ALL SELECT NULL, user_id, price FROM pace_user_prices WHERE service = $1
             UNION ALL SELECT NULL, NULL, extract(epoch FROM now() - begun_at)::float8 FROM pace_runs WHERE service = $1",
            &[(&service, Type::TEXT)],
        )
        .await
        .context("reading the prices of polls")?;
    let mut prices = Prices::default();
    for row in rows {
        let price = row.try_get(2)?;
        match (row.try_get::<_, Option<String>>(0)?, row.try_get::<_, Option<Uuid>>(1)?) {
            (Some(project), _) => drop(prices.projects.insert(project, price)),
            (None, Some(user)) => drop(prices.users.insert(user, price)),
            (None, None) => prices.age = Some(price),
        }
    }
    Ok(prices)
}

/// Takes the computation of a service's prices, if it was begun longer ago than `every` seconds. One host does it, the others go on with
/// what there is.
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
        .context("taking the computation of prices")?;
    Ok(row.is_some())
}

/// Lets the next run compute a service's prices, because there are new streams.
pub async fn outdate(pool: &Pool, service: &str) -> anyhow::Result<()> {
    pool.get()
        .await?
        .execute_typed("DELETE FROM pace_runs WHERE service = $1", &[(&service, Type::TEXT)])
        .await
        .context("outdating the prices of polls")?;
    Ok(())
}

/// What makes a stream's pace.
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
    /// A channel announces its changes.
    pub push_alive: bool,
}

/// Users with more than so many streams.
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

/// Every stream of a service that is polled, or those of some users, as they come from the database: a million of them need no memory here.
pub async fn paced(
    pool: &Pool,
    service: &str,
    users: Option<&[Uuid]>,
) -> anyhow::Result<impl Stream<Item = anyhow::Result<Paced>> + use<>> {
    let client = pool.get().await?;
    let rows = client
        .query_typed_raw(
            "SELECT s.id, s.user_id, a.project, s.kind, s.resource, s.change_mass, s.change_mass_at, s.change_since, s.change_shape,
               s.weight, s.weight_at, coalesce(s.push_until > now(), false)
             FROM streams s JOIN accounts a ON a.user_id = s.user_id
             WHERE s.service = $1 AND s.state IN ('active', 'degraded') AND ($2::uuid[] IS NULL OR s.user_id = ANY ($2))",
            [(&service as &(dyn ToSql + Sync), Type::TEXT), (&users, Type::UUID_ARRAY)],
        )
        .await
        .context("reading the pace of streams")?;
    Ok(rows.map(move |row| {
        // The connection is in use until the last row.
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
        })
    }))
}

/// What was computed of one project.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Computed {
    pub service: String,
    pub project: String,
    /// Hours.
    pub price: f64,
    /// Quota units an hour that may be spent.
    pub budget: f64,
    /// Quota units an hour that the price aims at: the budget, corrected by what was spent.
    pub target: f64,
    /// Quota units an hour that were spent over the last day; `None`: not a day old yet.
    pub spent: Option<f64>,
    pub streams: i64,
    /// Polls an hour that the price gives.
    pub polls: f64,
    pub computed_at: DateTime<Utc>,
}

const COMPUTED: &str = "SELECT service, project, price, budget, target, spent, streams, polls, computed_at FROM pace_prices";

/// What was computed last, of one service or of all.
pub async fn computed(pool: &Pool, service: Option<&str>) -> anyhow::Result<Vec<Computed>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!("{COMPUTED} WHERE $1::text IS NULL OR service = $1 ORDER BY service, project"),
            &[(&service, Type::TEXT)],
        )
        .await
        .context("reading what was computed of the pace")?;
    rows.iter()
        .map(|row| {
            Ok(Computed {
                service: row.try_get(0)?,
                project: row.try_get(1)?,
                price: row.try_get(2)?,
                budget: row.try_get(3)?,
                target: row.try_get(4)?,
                spent: row.try_get(5)?,
                streams: row.try_get(6)?,
                polls: row.try_get(7)?,
                computed_at: row.try_get(8)?,
            })
        })
        .collect()
}

/// Quota units that each project of a service spent in the last 24 whole hours; none for a project that was not at work a day ago.
pub async fn spent(pool: &Pool, service: &str) -> anyhow::Result<HashMap<String, f64>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT subject, sum(units)::float8 / 24 FROM quota_usage
             WHERE service = $1 AND span = 'hour' AND window_start < date_trunc('hour', now())
               AND window_start >= date_trunc('hour', now()) - interval '24 hours'
             GROUP BY subject HAVING min(window_start) <= date_trunc('hour', now()) - interval '23 hours'",
            &[(&service, Type::TEXT)],
        )
        .await
        .context("reading what was spent")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Stores the prices of a service in place of the last ones.
pub async fn store(pool: &Pool, service: &str, projects: &[Computed], users: &[(Uuid, f64)]) -> anyhow::Result<()> {
    let mut client = pool.get().await?;
    let tx = client.transaction().await.context("storing prices")?;
    for table in ["pace_prices", "pace_user_prices"] {
        tx.execute_typed(&format!("DELETE FROM {table} WHERE service = $1"), &[(&service, Type::TEXT)])
            .await
            .context("removing old prices")?;
    }
    for project in projects {
        tx.execute_typed(
            "INSERT INTO pace_prices (service, project, price, budget, target, spent, streams, polls) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                (&service, Type::TEXT),
                (&project.project, Type::TEXT),
                (&project.price, Type::FLOAT8),
                (&project.budget, Type::FLOAT8),
                (&project.target, Type::FLOAT8),
                (&project.spent, Type::FLOAT8),
                (&project.streams, Type::INT8),
                (&project.polls, Type::FLOAT8),
            ],
        )
        .await
        .context("storing a price")?;
    }
    let (ids, prices): (Vec<Uuid>, Vec<f64>) = users.iter().copied().unzip();
    tx.execute_typed(
        "INSERT INTO pace_user_prices (service, user_id, price)
         SELECT $1, u.id, p.price FROM unnest($2::uuid[], $3::float8[]) AS p (id, price) JOIN users u USING (id)",
        &[(&service, Type::TEXT), (&ids, Type::UUID_ARRAY), (&prices, Type::FLOAT8_ARRAY)],
    )
    .await
    .context("storing prices of users")?;
    tx.commit().await.context("storing prices")
}
