//! Incoming and outgoing data: push channels, the outbox, the quarantine, and active bots.

use std::collections::BTreeMap;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;

use crate::db::reads::Reads;

/// The push channels of a service.
#[derive(Debug, Clone, Serialize)]
pub struct Channels {
    pub service: String,
    pub live: i64,
    /// Streams whose live channel does not announce changes that polls find.
    pub silent: i64,
    /// Streams for which Google refuses a channel.
    pub refused: i64,
    /// Live channels that expire within the hour.
    pub ending: i64,
    /// No longer needed and not stopped yet.
    pub to_stop: i64,
    pub last_notified_at: Option<DateTime<Utc>>,
}

pub(super) async fn channels(client: &impl Reads, silent_after: i32) -> anyhow::Result<Vec<Channels>> {
    let rows = client
        .query_typed(
            "SELECT c.service, count(*) FILTER (WHERE live), count(DISTINCT c.stream_id) FILTER (WHERE live AND s.push_missed >= $1),
               count(*) FILTER (WHERE c.state = 'refused'), count(*) FILTER (WHERE live AND c.expires_at < now() + interval '1 hour'),
               count(*) FILTER (WHERE c.state = 'stopping' AND c.expires_at > now()), max(c.last_notified_at)
             FROM channels c LEFT JOIN streams s ON s.id = c.stream_id,
               LATERAL (SELECT c.state = 'live' AND c.expires_at > now() AS live) l
             WHERE c.state <> 'stopped' GROUP BY c.service ORDER BY c.service",
            &[(&silent_after, Type::INT4)],
        )
        .await
        .context("counting channels")?;
    rows.iter()
        .map(|row| {
            Ok(Channels {
                service: row.try_get(0)?,
                live: row.try_get(1)?,
                silent: row.try_get(2)?,
                refused: row.try_get(3)?,
                ending: row.try_get(4)?,
                to_stop: row.try_get(5)?,
                last_notified_at: row.try_get(6)?,
            })
        })
        .collect()
}

/// Events for external targets.
#[derive(Debug, Clone, Serialize)]
pub struct Outbox {
    /// Events that are not assigned to targets yet.
    pub new_events: i64,
    /// Age of the oldest waiting event; `None` if none waits.
    pub oldest_seconds: Option<f64>,
    pub targets: Vec<Target>,
}

/// Deliveries waiting for a target.
#[derive(Debug, Clone, Serialize)]
pub struct Target {
    pub target: String,
    pub pending: i64,
    /// Given up.
    pub dead: i64,
    /// Age of the oldest event waiting for it.
    pub oldest_seconds: Option<f64>,
    /// Consecutive failures over all its events.
    pub failures: i32,
    /// How long syncs still skip it.
    pub rests_for_seconds: Option<f64>,
    pub last_error: Option<String>,
}

impl Outbox {
    /// Number of waiting events and deliveries, including events without a target yet.
    pub fn pending(&self) -> i64 {
        self.new_events + self.targets.iter().map(|target| target.pending).sum::<i64>()
    }

    /// Number of deliveries that were given up.
    pub fn dead(&self) -> i64 {
        self.targets.iter().map(|target| target.dead).sum()
    }
}

pub(super) async fn outbox(client: &impl Reads) -> anyhow::Result<Outbox> {
    let rows = client
        .query_typed(
            "WITH pending AS (
               SELECT target, count(*) AS count, min(seq) AS oldest FROM outbox_deliveries WHERE state = 'pending' GROUP BY target
             ), dead AS (
               SELECT target, count(*) AS count FROM outbox_deliveries WHERE state = 'dead' GROUP BY target
             )
             SELECT target, coalesce(p.count, 0), coalesce(d.count, 0),
               extract(epoch FROM now() - (SELECT e.created_at FROM outbox_events e WHERE e.seq = p.oldest))::float8,
               coalesce(t.failures, 0), extract(epoch FROM CASE WHEN t.open_until > now() THEN t.open_until - now() END)::float8,
               CASE WHEN t.failures > 0 THEN t.last_error END
             FROM pending p FULL JOIN dead d USING (target) FULL JOIN outbox_targets t USING (target) ORDER BY target",
            &[],
        )
        .await
        .context("counting pending deliveries")?;
    let targets = rows
        .iter()
        .map(|row| {
            Ok(Target {
                target: row.try_get(0)?,
                pending: row.try_get(1)?,
                dead: row.try_get(2)?,
                oldest_seconds: row.try_get(3)?,
                failures: row.try_get(4)?,
                rests_for_seconds: row.try_get(5)?,
                last_error: row.try_get(6)?,
            })
        })
        .collect::<anyhow::Result<Vec<Target>>>()?;
    let row = client
        .query_typed_one(
            "SELECT count(*), extract(epoch FROM now() - min(created_at))::float8 FROM outbox_events WHERE NOT routed",
            &[],
        )
        .await
        .context("counting new events")?;
    let fresh: Option<f64> = row.try_get(1)?;
    let oldest_seconds = targets.iter().filter_map(|target| target.oldest_seconds).chain(fresh).max_by(f64::total_cmp);
    Ok(Outbox { new_events: row.try_get(0)?, oldest_seconds, targets })
}

/// Items of a service that could not be applied.
#[derive(Debug, Clone, Serialize)]
pub struct Quarantine {
    pub service: String,
    pub items: i64,
    pub oldest_at: DateTime<Utc>,
}

pub(super) async fn quarantine(client: &impl Reads) -> anyhow::Result<Vec<Quarantine>> {
    let rows = client
        .query_typed(
            "SELECT s.service, count(*), min(q.first_seen_at) FROM quarantined_items q JOIN streams s ON s.id = q.stream_id
             GROUP BY s.service ORDER BY s.service",
            &[],
        )
        .await
        .context("counting the quarantine")?;
    rows.iter()
        .map(|row| Ok(Quarantine { service: row.try_get(0)?, items: row.try_get(1)?, oldest_at: row.try_get(2)? }))
        .collect()
}

/// Calendar events that were read only in part.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Unread {
    pub events: i64,
    /// Series among them: their times are unknown, so they get no bot.
    pub series: i64,
    pub users: i64,
    /// Addresses of some of the users.
    pub first: Vec<String>,
}

pub(super) async fn unread(client: &impl Reads) -> anyhow::Result<Unread> {
    let row = client
        .query_typed_one(
            "SELECT count(*), count(*) FILTER (WHERE 'recurrence' = ANY (e.unread)), count(DISTINCT e.user_id),
               coalesce((array_agg(DISTINCT u.email))[1:5], '{}')
             FROM calendar_events e JOIN users u ON u.id = e.user_id WHERE e.unread IS NOT NULL AND e.deleted_at IS NULL",
            &[],
        )
        .await
        .context("counting events that were read in part")?;
    Ok(Unread { events: row.try_get(0)?, series: row.try_get(1)?, users: row.try_get(2)?, first: row.try_get(3)? })
}

/// Unfinished meeting bots.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Bots {
    /// By state at Attendee; `creating`: Attendee has not answered yet.
    pub by_state: BTreeMap<String, i64>,
    /// Ended bots whose transcript has not arrived.
    pub awaiting_transcript: i64,
    /// When the next one joins.
    pub next_join_at: Option<DateTime<Utc>>,
}

pub(super) async fn bots(client: &impl Reads) -> anyhow::Result<Bots> {
    let rows = client
        .query_typed(
            "SELECT CASE state WHEN 'creating' THEN state ELSE coalesce(raw_state, 'unknown') END, count(*),
               count(*) FILTER (WHERE state = 'ended'), min(join_at) FILTER (WHERE join_at > now())
             FROM attendee_bots WHERE state IN ('creating', 'open', 'ended') GROUP BY 1",
            &[],
        )
        .await
        .context("counting bots")?;
    let mut bots = Bots::default();
    for row in &rows {
        bots.by_state.insert(row.try_get(0)?, row.try_get(1)?);
        bots.awaiting_transcript += row.try_get::<_, i64>(2)?;
        let next: Option<DateTime<Utc>> = row.try_get(3)?;
        bots.next_join_at = [bots.next_join_at, next].into_iter().flatten().min();
    }
    Ok(bots)
}
