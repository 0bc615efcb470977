//! Read-only queries on push channels (table `channels`): counts and a list.

use anyhow::Context;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Pool;
use crate::state::ChannelState;

/// Current numbers of channels of a service.
#[derive(Debug, Default, Clone, Serialize)]
pub struct ChannelCounts {
    pub live: i64,
    /// Streams whose live channel does not announce changes that polls find.
    pub silent: i64,
    /// Streams for which Google refuses a channel.
    pub refused: i64,
    /// No longer needed and not stopped yet.
    pub to_stop: i64,
}

/// Counts the channels of a service. A channel is silent after `silent_after` unannounced changes in a row.
pub async fn counts(pool: &Pool, service: &str, silent_after: i32) -> anyhow::Result<ChannelCounts> {
    let row = pool
        .get()
        .await?
        .query_typed_one(
            "SELECT count(*) FILTER (WHERE c.state = 'live' AND c.expires_at > now()),
               count(DISTINCT c.stream_id) FILTER (WHERE c.state = 'live' AND c.expires_at > now() AND s.push_missed >= $2),
               count(*) FILTER (WHERE c.state = 'refused'),
               count(*) FILTER (WHERE c.state = 'stopping' AND c.expires_at > now())
             FROM channels c LEFT JOIN streams s ON s.id = c.stream_id WHERE c.service = $1 AND c.state <> 'stopped'",
            &[(&service, Type::TEXT), (&silent_after, Type::INT4)],
        )
        .await
        .context("counting channels")?;
    Ok(ChannelCounts { live: row.try_get(0)?, silent: row.try_get(1)?, refused: row.try_get(2)?, to_stop: row.try_get(3)? })
}

/// A channel as `channels list` shows it.
#[derive(Debug, Serialize)]
pub struct Listed {
    pub id: Uuid,
    pub service: String,
    pub user_id: Uuid,
    pub stream_id: Option<i64>,
    pub kind: Option<String>,
    pub state: ChannelState,
    pub address: String,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub notifications: i64,
    pub last_notified_at: Option<DateTime<Utc>>,
    pub last_error: Option<String>,
}

/// Lists channels, the next to expire first. `ended`: include stopped ones.
pub async fn list(pool: &Pool, ended: bool) -> anyhow::Result<Vec<Listed>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT c.id, c.service, c.user_id, c.stream_id, s.kind, c.state, c.address, c.created_at, c.expires_at, c.notifications,
               c.last_notified_at, c.last_error
             FROM channels c LEFT JOIN streams s ON s.id = c.stream_id WHERE c.state <> 'stopped' OR $1 ORDER BY c.expires_at, c.id",
            &[(&ended, Type::BOOL)],
        )
        .await
        .context("listing channels")?;
    rows.iter()
        .map(|row| {
            Ok(Listed {
                id: row.try_get(0)?,
                service: row.try_get(1)?,
                user_id: row.try_get(2)?,
                stream_id: row.try_get(3)?,
                kind: row.try_get(4)?,
                state: row.try_get(5)?,
                address: row.try_get(6)?,
                created_at: row.try_get(7)?,
                expires_at: row.try_get(8)?,
                notifications: row.try_get(9)?,
                last_notified_at: row.try_get(10)?,
                last_error: row.try_get(11)?,
            })
        })
        .collect()
}
