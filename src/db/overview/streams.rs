//! Streams by service, delays of changes, and owners of failing streams (tables `streams`, `accounts`, `*_cron_summaries`).

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::db::reads::Reads;

/// Number of owners to name per failure class.
const MAX_OWNERS: i32 = 5;

/// The streams of a service.
#[derive(Debug, Clone, Serialize)]
pub struct ServiceState {
    pub service: String,
    /// Streams that are polled.
    pub streams: i64,
    /// Streams that are due and not held by a run.
    pub due: i64,
    /// Seconds for which the longest overdue stream has been due.
    pub oldest_due_seconds: f64,
    /// Streams held by a run.
    pub under_way: i64,
    /// Streams without a cursor: their complete pass has not finished.
    pub unfinished: i64,
    /// Age of the oldest stream that has never finished a complete pass; 0 if all have.
    pub oldest_unfinished_seconds: f64,
    pub failing: i64,
    /// Streams that lack a scope or an API.
    pub stopped: i64,
    /// Streams whose cursor expired more often than `engine.resyncs_per_day`.
    pub degraded: i64,
    /// Streams of users who do not have the service or did not grant it, or for whom it is switched off in syncctl.
    pub off: i64,
    /// Streams of accounts that are refused and no longer called, except accounts ended with `accounts revoke`.
    pub revoked: i64,
    /// Delays in the last 24 hours.
    pub delays: Waited,
}

/// Delays between changes and the polls that found them, summed over runs; `engine::delays` computes quantiles from it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Waited {
    pub count: i64,
    pub sum_seconds: f64,
    pub max_seconds: f64,
    pub buckets: Vec<i64>,
}

pub(super) async fn services(client: &impl Reads, known: &[&str]) -> anyhow::Result<Vec<ServiceState>> {
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
            // A service of another version has no summary tables here.
            delays: if known.contains(&service.as_str()) { waited(client, &service).await? } else { Waited::default() },
            service,
        });
    }
    Ok(services)
}

/// Delays that can be summed. Rows written by other programs can contain anything in this field.
const SUMMABLE: &str = "strict $.delays ? (@.count > 0 && @.count < 1e15 && @.sum_seconds < 1e15 && @.max_seconds < 1e15
  && @.buckets.type() == \"array\" && !exists (@.buckets[*] ? (@.type() != \"number\" || @ >= 1e15)))";

async fn waited(client: &impl Reads, service: &str) -> anyhow::Result<Waited> {
    let statement = format!(
        "WITH summaries AS (
           SELECT summary_data -> 'delays' AS delays FROM {service}_cron_summaries
           WHERE timestamp > now() - interval '1 day' AND summary_data @? '{SUMMABLE}'
         )
         SELECT coalesce(sum((delays ->> 'count')::numeric), 0)::bigint, coalesce(sum((delays ->> 'sum_seconds')::float8), 0),
           coalesce(max((delays ->> 'max_seconds')::float8), 0), ARRAY(
             SELECT sum(bucket.count::numeric)::bigint FROM summaries, jsonb_array_elements_text(summaries.delays -> 'buckets') WITH ORDINALITY
               AS bucket (count, ordinal) GROUP BY bucket.ordinal ORDER BY bucket.ordinal)
         FROM summaries"
    );
    let row = client.query_typed_one(&statement, &[]).await.context("summing delays")?;
    Ok(Waited { count: row.try_get(0)?, sum_seconds: row.try_get(1)?, max_seconds: row.try_get(2)?, buckets: row.try_get(3)? })
}

/// Failures of one class in one service.
#[derive(Debug, Clone, Serialize)]
pub struct Failing {
    /// `error::Class`
    pub class: String,
    /// `None`: the accounts are not called by any service.
    pub service: Option<String>,
    /// Number of users, or of projects at Attendee.
    pub owners: i64,
    pub streams: i64,
    /// Time of the last failure, or since when the account is no longer called.
    pub last_at: Option<DateTime<Utc>>,
    /// One of the error messages.
    pub message: Option<String>,
    /// Some of the owners.
    pub first: Vec<Owner>,
    /// `accounts.kind` of the owners.
    pub kinds: Vec<String>,
    /// The client ids of the service accounts that act for them, if known.
    pub client_ids: Vec<String>,
}

/// Number of accounts ended with `accounts revoke`; they are not failures.
pub(super) async fn ended(client: &impl Reads) -> anyhow::Result<i64> {
    let row = client.query_typed_one("SELECT count(*) FROM accounts WHERE state = 'ended'", &[]).await;
    Ok(row.context("counting accounts that were ended")?.try_get(0)?)
}

/// The owner of failing streams.
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
               SELECT array_agg(f.id ORDER BY f.ordinal) AS ids, array_agg(coalesce(u.email, p.name, f.id::text) ORDER BY f.ordinal) AS names
               FROM unnest(c.first) WITH ORDINALITY AS f (id, ordinal)
               LEFT JOIN users u ON u.id = f.id LEFT JOIN attendee_projects p ON p.id = f.id) o
             ORDER BY c.service IS NOT NULL, c.owners DESC, c.class, c.service",
            &[(&MAX_OWNERS, Type::INT4)],
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
