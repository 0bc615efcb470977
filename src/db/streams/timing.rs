//! Schedule of a user's streams.

use anyhow::Context as _;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::Pool;
use crate::state::StreamState;

/// The schedule of a stream of a user or project, for `smart-poll`.
#[derive(Debug, Clone)]
pub struct Timing {
    pub id: i64,
    pub kind: String,
    pub state: StreamState,
    /// Seconds until it is due; negative if overdue.
    pub due_in: f64,
    pub polled_ago: Option<f64>,
    pub claimed: bool,
    /// A live channel announces its changes.
    pub push_alive: bool,
    pub pushed_ago: Option<f64>,
    pub failures: i32,
    pub failed_class: Option<String>,
    /// The full pass in progress: items so far, expected items, and seconds since it began.
    pub pass: Option<(i64, Option<i64>, f64)>,
}

/// The schedule of all streams of a user or project.
pub async fn of_user(pool: &Pool, service: &str, user: Uuid) -> anyhow::Result<Vec<Timing>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT id, kind, extract(epoch FROM due_at - now())::float8, extract(epoch FROM now() - polled_at)::float8,
               coalesce(claimed_until > now(), false), failures, failed_class,
               coalesce(push_until > now(), false), extract(epoch FROM now() - pushed_at)::float8,
               pass_items, pass_expected, extract(epoch FROM now() - pass_began_at)::float8, state
             FROM streams WHERE service = $1 AND (user_id = $2 OR attendee_project = $2) AND state <> 'removed' ORDER BY id",
            &[(&service, Type::TEXT), (&user, Type::UUID)],
        )
        .await
        .context("reading a user's streams")?;
    rows.iter()
        .map(|row| {
            Ok(Timing {
                id: row.try_get(0)?,
                kind: row.try_get(1)?,
                due_in: row.try_get(2)?,
                polled_ago: row.try_get(3)?,
                claimed: row.try_get(4)?,
                failures: row.try_get(5)?,
                failed_class: row.try_get(6)?,
                push_alive: row.try_get(7)?,
                pushed_ago: row.try_get(8)?,
                state: row.try_get(12)?,
                pass: match (row.try_get(9)?, row.try_get(11)?) {
                    (Some(items), Some(seconds)) => Some((items, row.try_get(10)?, seconds)),
                    _ => None,
                },
            })
        })
        .collect()
}
