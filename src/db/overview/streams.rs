//! Streams by service, how long changes waited, and whose streams fail (tables `streams`, `accounts`, `*_cron_summaries`).

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::search_path::Reads;

/// Owners that are named of those that fail for the same reason.
const FIRST: i32 = 5;

/// The streams of a service.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceState {
    pub service: String,
    /// Those that are polled.
    pub streams: i64,
    /// Their time has come, and nobody is at them.
    pub due: i64,
    /// How long the one that is due for longest has been.
    pub oldest_due_seconds: f64,
    /// A run is at them.
    pub under_way: i64,
    /// They have not come to the end of a complete pass.
    pub unfinished: i64,
    /// How long the oldest of those has been here that never came to the end of one; 0 when all did.
    pub oldest_unfinished_seconds: f64,
    pub failing: i64,
    /// They lack a scope or an API.
    pub stopped: i64,
    /// Their cursors expired more often than `engine.resyncs_per_day`.
    pub degraded: i64,
    /// Their users do not have the service, did not grant it, or it is switched off for them here.
    pub off: i64,
    /// Their accounts are refused and not called any more; not those that were ended on purpose.
    pub revoked: i64,
    /// Of the last 24 hours.
    pub delays: Waited,
}

/// How long changes waited for the polls that found them, summed over runs; `engine::delays` makes quantiles of it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Waited {
    pub count: i64,
    pub sum_seconds: f64,
    pub max_seconds: f64,
    pub buckets: Vec<i64>,
}

pub(super) async fn services(client: &impl Reads) -> anyhow::Result<Vec<ServiceState>> {
    let rows = client
        .query_typed(
            "SELECT service, count(*) FILTER (WHERE NOT off AND s.state <> 'revoked'), count(*) FILTER (WHERE due),
               coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due)), 0)::float8, count(*) FILTER (WHERE claimed_until > now()),
               count(*) FILTER (WHERE cursor IS NULL AND NOT off AND s.state <> 'revoked'), count(*) FILTER (WHERE failures > 0 AND NOT off AND s.state <> 'revoked'),
               count(*) FILTER (WHERE state = 'stopped' AND NOT off), count(*) FILTER (WHERE state = 'degraded'), count(*) FILTER (WHERE off),
               count(*) FILTER (WHERE revoked), coalesce(extract(epoch FROM now() - min(created_at)
                 FILTER (WHERE cursor IS NULL AND full_pass_at IS NULL AND NOT off AND s.state <> 'revoked')), 0)::float8
             FROM streams s, LATERAL (SELECT state NOT IN ('off', 'revoked') AND due_at <= now() AND coalesce(claimed_until < now(), true) AS due,
               state = 'off' OR state <> 'revoked' AND coalesce(failed_class IN ('service_off', 'not_granted'), false) AS off,
               state = 'revoked' AND NOT EXISTS (SELECT FROM accounts a WHERE a.user_id = s.user_id AND a.state = 'ended') AS revoked) d
             WHERE state <> 'removed' GROUP BY service ORDER BY service",
            &[],
        )
        .await
        .context("counting streams")?;
    let mut services = Vec::new();
    for row in &rows {
        let service: String = row.try_get(0)?;
        services.push(ServiceState {
            streams: row.try_get(1)?,
            due: row.try_get(2)?,
            oldest_due_seconds: row.try_get(3)?,
            under_way: row.try_get(4)?,
            unfinished: row.try_get(5)?,
            failing: row.try_get(6)?,
            stopped: row.try_get(7)?,
            degraded: row.try_get(8)?,
            off: row.try_get(9)?,
            revoked: row.try_get(10)?,
            oldest_unfinished_seconds: row.try_get(11)?,
            delays: waited(client, &service).await?,
            service,
        });
    }
    Ok(services)
}

/// Delays that can be added up. A row of somebody else's, from before us, may have anything in their place.
const SUMMABLE: &str = "strict $.delays ? (@.count > 0 && @.count < 1e15 && @.sum_seconds < 1e15 && @.max_seconds < 1e15
  && @.buckets.type() == \"array\" && !exists (@.buckets[*] ? (@.type() != \"number\" || @ >= 1e15)))";

async fn waited(client: &impl Reads, service: &str) -> anyhow::Result<Waited> {
    // A name of ours or of another version's service: only those with tables here have summaries.
    if !["calendar", "drive", "gmail", "attendee", "classify"].contains(&service) {
        return Ok(Waited::default());
    }
    let statement = format!(
        "WITH told AS (
           SELECT summary_data -> 'delays' AS delays FROM {service}_cron_summaries
           WHERE timestamp > now() - interval '1 day' AND summary_data @? '{SUMMABLE}'
         )
         SELECT coalesce(sum((delays ->> 'count')::numeric), 0)::bigint, coalesce(sum((delays ->> 'sum_seconds')::float8), 0),
           coalesce(max((delays ->> 'max_seconds')::float8), 0), ARRAY(
             SELECT sum(bucket.count::numeric)::bigint FROM told, jsonb_array_elements_text(told.delays -> 'buckets') WITH ORDINALITY
               AS bucket (count, place) GROUP BY bucket.place ORDER BY bucket.place)
         FROM told"
    );
    let row = client.query_typed_one(&statement, &[]).await.context("adding up delays")?;
    Ok(Waited { count: row.try_get(0)?, sum_seconds: row.try_get(1)?, max_seconds: row.try_get(2)?, buckets: row.try_get(3)? })
}

/// What fails for one reason, in one service.
#[derive(Debug, Clone, Serialize)]
pub struct Failing {
    /// `error::Class`
    pub class: String,
    /// `None`: the accounts as a whole are not called.
    pub service: Option<String>,
    /// Users, or projects at Attendee.
    pub owners: i64,
    pub streams: i64,
    /// Of the last failure, or since when an account is not called.
    pub last_at: Option<DateTime<Utc>>,
    /// One of the messages.
    pub message: Option<String>,
    /// Some of the owners.
    pub first: Vec<Owner>,
    /// `accounts.kind` of the owners.
    pub kinds: Vec<String>,
    /// The client ids of the service accounts that act for them, where they are known.
    pub client_ids: Vec<String>,
}

/// Accounts that were ended here, on purpose: nobody's failure.
pub(super) async fn ended(client: &impl Reads) -> anyhow::Result<i64> {
    let row = client.query_typed_one("SELECT count(*) FROM accounts WHERE state = 'ended'", &[]).await;
    Ok(row.context("counting accounts that were ended")?.try_get(0)?)
}

/// Whose streams fail.
#[derive(Debug, Clone, Serialize)]
pub struct Owner {
    /// A user, or a project at Attendee.
    pub id: Uuid,
    /// The user's address, or the project's name.
    pub name: String,
}

pub(super) async fn failing(client: &impl Reads) -> anyhow::Result<Vec<Failing>> {
    let rows = client
        .query_typed(
            "WITH failing AS (
               SELECT user_id AS owner, NULL AS service, 'auth_revoked' AS class, 0::bigint AS streams, state_since AS at, state_reason AS message
               FROM accounts WHERE state = 'revoked'
               UNION ALL
               SELECT coalesce(user_id, attendee_project), service, coalesce(failed_class, 'internal'), count(*), max(failed_at), max(failed_message)
               FROM streams WHERE failures > 0 AND state NOT IN ('removed', 'revoked', 'off') GROUP BY 1, 2, 3
             ), classes AS (
               SELECT class, service, count(*) AS owners, sum(streams)::bigint AS streams, max(at) AS at, max(message) AS message,
                 (array_agg(owner ORDER BY at DESC, owner))[1:$1] AS first,
                 coalesce(array_agg(DISTINCT a.kind) FILTER (WHERE a.kind IS NOT NULL), '{}') AS kinds,
                 coalesce(array_agg(DISTINCT a.client_id) FILTER (WHERE a.client_id IS NOT NULL), '{}') AS client_ids
               FROM failing LEFT JOIN accounts a ON a.user_id = owner GROUP BY class, service
             )
             SELECT c.class, c.service, c.owners, c.streams, c.at, c.message, o.ids, o.names, c.kinds, c.client_ids
             FROM classes c CROSS JOIN LATERAL (
               SELECT array_agg(f.id ORDER BY f.place) AS ids, array_agg(coalesce(u.email, p.name, f.id::text) ORDER BY f.place) AS names
               FROM unnest(c.first) WITH ORDINALITY AS f (id, place)
               LEFT JOIN users u ON u.id = f.id LEFT JOIN attendee_projects p ON p.id = f.id) o
             ORDER BY c.service IS NOT NULL, c.owners DESC, c.class, c.service",
            &[(&FIRST, Type::INT4)],
        )
        .await
        .context("listing what fails")?;
    rows.iter()
        .map(|row| {
            let (ids, names): (Vec<Uuid>, Vec<String>) = (row.try_get(6)?, row.try_get(7)?);
            Ok(Failing {
                class: row.try_get(0)?,
                service: row.try_get(1)?,
                owners: row.try_get(2)?,
                streams: row.try_get(3)?,
                last_at: row.try_get(4)?,
                message: row.try_get(5)?,
                first: ids.into_iter().zip(names).map(|(id, name)| Owner { id, name }).collect(),
                kinds: row.try_get(8)?,
                client_ids: row.try_get(9)?,
            })
        })
        .collect()
}
