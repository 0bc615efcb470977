//! Closes unchanged streams together (table `streams`).

use anyhow::Context;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::db::Pool;
use crate::db::pool::{LOCKED, was_aborted};
use crate::error::sql_state;

const CLOSE_IDLE: &str = include_str!("../sql/close_idle_streams.sql");

/// A polled stream without changes.
#[derive(Debug, Clone)]
pub struct Idle {
    /// `streams.id`
    pub id: i64,
    /// The cursor to store.
    pub cursor: Option<String>,
    /// Seconds to the next poll.
    pub wait: f64,
}

/// The outcome for idle streams. This run no longer holds those in neither list.
#[derive(Debug)]
pub struct Closed {
    pub closed: Vec<i64>,
    /// Still held by this run, but skipped because another transaction locks them.
    pub held: Vec<i64>,
}

/// Closes those idle streams that this run still holds.
pub async fn close_idle(pool: &Pool, run: Uuid, idle: &[Idle]) -> anyhow::Result<Closed> {
    let ids: Vec<i64> = idle.iter().map(|stream| stream.id).collect();
    let cursors: Vec<Option<&str>> = idle.iter().map(|stream| stream.cursor.as_deref()).collect();
    let waits: Vec<f64> = idle.iter().map(|stream| stream.wait).collect();
    let close = async |skip_locked: bool| {
        let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
            (&run, Type::UUID),
            (&ids, Type::INT8_ARRAY),
            (&cursors, Type::TEXT_ARRAY),
            (&waits, Type::FLOAT8_ARRAY),
            (&skip_locked, Type::BOOL),
        ];
        pool.get().await?.query_typed_one(CLOSE_IDLE, &parameters).await.context("closing idle streams")
    };
    // Locks on these streams are rare, so the first attempt does not skip them.
    let row = match close(false).await {
        Err(error) if sql_state(&error) == Some(LOCKED) || was_aborted(&error) => close(true).await?,
        row => row?,
    };
    let ids = |column: usize| row.try_get::<_, Option<Vec<i64>>>(column).map(Option::unwrap_or_default);
    Ok(Closed { closed: ids(0)?, held: ids(1)? })
}
