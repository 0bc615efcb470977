//! Daily budget and usage of the model endpoint (tables `model_budgets`, `model_usage`). Days are UTC days. Costs are in billionths of the currency
//! of the prices in the settings. `db::quota` counts requests per minute.

use anyhow::Context;
use chrono::{DateTime, NaiveDate, Utc};
use tokio_postgres::types::Type;

use super::Pool;

const TODAY: &str = "(now() AT TIME ZONE 'UTC')::date";

/// Tokens and their cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    pub tokens: i64,
    pub cost: i64,
}

/// The result of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Granted; it counts on this day.
    Granted { day: NaiveDate },
    /// The day's remaining budget is too small.
    UsedUp { until: DateTime<Utc> },
}

/// One request, answered or not.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Host, with the port unless it is the scheme's default.
    pub endpoint: &'a str,
    pub model: &'a str,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cost: i64,
    pub failed: bool,
}

/// Reserves the maximum that a call can use. `limits` apply per day to all hosts together; 0: no limit. Hosts serialise on the day's row, so the sum
/// is exact.
pub async fn reserve(pool: &Pool, maximum: Spending, limits: Spending) -> anyhow::Result<Budget> {
    let statement = format!(
        "WITH old AS (
           DELETE FROM model_budgets WHERE day < {TODAY} - 7
         ), granted AS (
           INSERT INTO model_budgets AS b (day, tokens, cost)
           SELECT {TODAY}, $1, $2 WHERE ($3 = 0 OR $1 <= $3) AND ($4 = 0 OR $2 <= $4)
           ON CONFLICT (day) DO UPDATE SET tokens = b.tokens + excluded.tokens, cost = b.cost + excluded.cost
           WHERE ($3 = 0 OR b.tokens + excluded.tokens <= $3) AND ($4 = 0 OR b.cost + excluded.cost <= $4)
           RETURNING day
         )
         SELECT (SELECT day FROM granted), ({TODAY} + 1)::timestamp AT TIME ZONE 'UTC'"
    );
    let parameters = [maximum.tokens, maximum.cost, limits.tokens, limits.cost];
    let row = pool
        .get()
        .await?
        .query_typed_one(
            &statement,
            &[
                (&parameters[0], Type::INT8),
                (&parameters[1], Type::INT8),
                (&parameters[2], Type::INT8),
                (&parameters[3], Type::INT8),
            ],
        )
        .await
        .context("reserving tokens of the model endpoint")?;
    Ok(match row.try_get(0)? {
        Some(day) => Budget::Granted { day },
        None => Budget::UsedUp { until: row.try_get(1)? },
    })
}

/// Counts a call and releases the unused part of its reservation.
pub async fn record_call(pool: &Pool, day: NaiveDate, reserved: Spending, call: &Call<'_>) -> anyhow::Result<()> {
    let unused =
        Spending { tokens: reserved.tokens - call.prompt_tokens - call.completion_tokens, cost: reserved.cost - call.cost };
    pool.get()
        .await?
        .execute_typed(
            "WITH back AS (
               UPDATE model_budgets SET tokens = tokens - $8, cost = cost - $9 WHERE day = $1
             )
             INSERT INTO model_usage AS u (day, endpoint, model, calls, prompt_tokens, completion_tokens, cost, failures)
             VALUES ($1, $2, $3, 1, $4, $5, $6 * 0.000000001, $7::int)
             ON CONFLICT (day, endpoint, model) DO UPDATE SET calls = u.calls + 1, prompt_tokens = u.prompt_tokens + excluded.prompt_tokens,
               completion_tokens = u.completion_tokens + excluded.completion_tokens, cost = u.cost + excluded.cost,
               failures = u.failures + excluded.failures",
            &[
                (&day, Type::DATE),
                (&call.endpoint, Type::TEXT),
                (&call.model, Type::TEXT),
                (&call.prompt_tokens, Type::INT8),
                (&call.completion_tokens, Type::INT8),
                (&call.cost, Type::INT8),
                (&call.failed, Type::BOOL),
                (&unused.tokens, Type::INT8),
                (&unused.cost, Type::INT8),
            ],
        )
        .await
        .context("counting a call of the model endpoint")?;
    Ok(())
}
