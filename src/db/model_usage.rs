//! What the model endpoint may use on a day, and what it used (tables `model_budgets`, `model_usage`). Days are days of UTC. Costs are billionths of
//! the currency of the prices in the settings. Requests of a minute are counted in `db::quota`.

use anyhow::Context;
use chrono::{DateTime, NaiveDate, Utc};
use tokio_postgres::types::Type;

use super::Pool;

const TODAY: &str = "(now() AT TIME ZONE 'UTC')::date";

/// Tokens, and what they cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spending {
    pub tokens: i64,
    pub cost: i64,
}

/// The answer to a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// It counts on this day.
    Granted { day: NaiveDate },
    /// The day has less left.
    UsedUp { until: DateTime<Utc> },
}

/// One request, answered or not.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// Host, with its port unless that is the scheme's.
    pub endpoint: &'a str,
    pub model: &'a str,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cost: i64,
    pub failed: bool,
}

/// Reserves what a call uses at the most. `limits` are a day's, of all hosts together; 0: none. Hosts wait for each other at the day's row, so their
/// sum stays exact.
pub async fn reserve(pool: &Pool, most: Spending, limits: Spending) -> anyhow::Result<Budget> {
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
    let parameters = [most.tokens, most.cost, limits.tokens, limits.cost];
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

/// Counts a call, and gives back what was reserved for it and not used.
pub async fn record_call(pool: &Pool, day: NaiveDate, reserved: Spending, call: &Call<'_>) -> anyhow::Result<()> {
    let left =
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
                (&left.tokens, Type::INT8),
                (&left.cost, Type::INT8),
            ],
        )
        .await
        .context("counting a call of the model endpoint")?;
    Ok(())
}
