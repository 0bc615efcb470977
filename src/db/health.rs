//! Health of the database: version, latency, rights of our role, seal keys, quota, and long transactions. Read-only.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::Pool;
use super::migrate::indexes;

/// Number of round trips for the latency.
const ROUND_TRIPS: usize = 20;
/// Number of queries per connection to detect shared server processes.
const SAMPLES: usize = 4;

/// The server as seen by one connection.
#[derive(Debug, Clone)]
pub struct Server {
    /// `server_version_num`, such as 170006.
    pub number: i32,
    pub version: String,
    pub bytes: i64,
    /// TLS version of the connection, if it uses TLS.
    pub tls: Option<String>,
    /// The role may create tables in our schema.
    pub may_create: bool,
    pub role: String,
    pub now: DateTime<Utc>,
}

/// Reads the properties of the server.
pub async fn server(pool: &Pool) -> anyhow::Result<Server> {
    let row = pool
        .get()
        .await?
        .query_typed_one(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_database_size(current_database()),
               (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl),
               coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), current_user::text, clock_timestamp()",
            &[],
        )
        .await
        .context("reading the properties of the server")?;
    Ok(Server {
        number: row.try_get(0)?,
        version: row.try_get(1)?,
        bytes: row.try_get(2)?,
        tls: row.try_get(3)?,
        may_create: row.try_get(4)?,
        role: row.try_get(5)?,
        now: row.try_get(6)?,
    })
}

/// The names of the indexes of our tables that are missing, or unfinished since their build was interrupted.
pub async fn missing_indexes(pool: &Pool) -> anyhow::Result<Vec<String>> {
    let client = pool.get().await?;
    let rows = client.query_typed(indexes::UNFINISHED, &[(&indexes::names(), Type::TEXT_ARRAY)]).await;
    rows.context("looking for missing indexes")?.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// The median of some round trips.
pub async fn latency(pool: &Pool) -> anyhow::Result<Duration> {
    let client = pool.get().await?;
    let mut trips = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let started = Instant::now();
        client.query_typed_one("SELECT 1", &[]).await.context("measuring the latency of the server")?;
        trips.push(started.elapsed());
    }
    trips.sort_unstable();
    Ok(trips[ROUND_TRIPS / 2])
}

/// Whether a pooler assigns server processes per transaction: then two open connections get the same process, or one connection gets several.
pub async fn shares_processes(pool: &Pool) -> anyhow::Result<bool> {
    let (first, second) = (pool.get().await?, pool.get().await?);
    let mut pids = [Vec::new(), Vec::new()];
    for _ in 0..SAMPLES {
        for (client, pids) in [&first, &second].into_iter().zip(&mut pids) {
            let row = client.query_typed_one("SELECT pg_backend_pid()", &[]).await.context("reading the server's process id")?;
            pids.push(row.try_get::<_, i32>(0)?);
        }
    }
    Ok(pids[0].iter().any(|pid| pids[1].contains(pid)) || pids[0].windows(2).any(|pair| pair[0] != pair[1]))
}

/// The id of the key that sealed a value. A blob consists of a format byte, the length of the id in one byte, the id, and the rest. `NULL`: truncated
/// or of another format.
const KEY_ID: &str = "CASE WHEN octet_length(blob) > 2 AND get_byte(blob, 0) = 1 THEN encode(substring(blob FROM 3 FOR get_byte(blob, 1)), 'escape') END";

/// Number of credentials per key id. Empty if one of the `known` keys has sealed any: other keys then concern only their accounts.
pub async fn sealed_credentials(pool: &Pool, known: &[&str]) -> anyhow::Result<Vec<(String, i64)>> {
    let statement = format!(
        "WITH sealed AS NOT MATERIALIZED (
           SELECT {KEY_ID} AS id FROM (SELECT credentials AS blob FROM accounts UNION ALL SELECT api_key FROM attendee_projects) blobs)
         SELECT id, count(*) FROM sealed WHERE id IS NOT NULL AND NOT (SELECT EXISTS (SELECT FROM sealed WHERE id = ANY ($1)))
         GROUP BY id ORDER BY count(*) DESC, id"
    );
    let client = pool.get().await?;
    // The first credential usually suffices.
    let first = format!("SELECT {KEY_ID} FROM (SELECT credentials AS blob FROM accounts LIMIT 1) first");
    let first = client.query_typed_opt(&first, &[]).await.context("looking up which key has sealed a credential")?;
    if let Some(row) = first
        && row.try_get::<_, Option<&str>>(0)?.is_some_and(|key| known.contains(&key))
    {
        return Ok(Vec::new());
    }
    let rows = client
        .query_typed(&statement, &[(&known, Type::TEXT_ARRAY)])
        .await
        .context("looking up which keys have sealed credentials")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Number of sealed values per key id; `None` for values that are truncated or of another format.
pub async fn seal_keys(pool: &Pool) -> anyhow::Result<Vec<(Option<String>, i64)>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            &format!(
                "SELECT {KEY_ID} AS id, count(*)
                 FROM (SELECT credentials AS blob FROM accounts
                       UNION ALL SELECT access_token FROM accounts WHERE access_token IS NOT NULL
                       UNION ALL SELECT api_key FROM attendee_projects) sealed
                 GROUP BY 1 ORDER BY 1"
            ),
            &[],
        )
        .await
        .context("looking up which keys have sealed values")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Used quota of a project.
#[derive(Debug, Clone)]
pub struct Spent {
    pub service: String,
    pub project: String,
    /// Units in the last minute and in Google's quota day.
    pub minute: i64,
    pub day: i64,
    /// End and reason of the project's pause, if it is paused.
    pub paused: Option<(DateTime<Utc>, String)>,
}

/// Reads the used quota of each project.
pub async fn quota(pool: &Pool) -> anyhow::Result<Vec<Spent>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            // Rows of users have a subject with a slash: project and user id.
            "WITH spent AS (
               SELECT service, subject AS project, coalesce(minute.units, 0)::bigint AS minute, coalesce(day.units, 0)::bigint AS day
               FROM (
                 SELECT service, subject, (SELECT sum(u) FROM unnest(seconds, units) AS spent (s, u) WHERE s > extract(epoch FROM now()) - 60) AS units
                 FROM quota_minutes
               ) AS minute FULL JOIN (
                 SELECT service, subject, units FROM quota_usage WHERE span = 'day'
                   AND window_start = date_trunc('day', now() AT TIME ZONE 'America/Los_Angeles') AT TIME ZONE 'America/Los_Angeles'
               ) AS day USING (service, subject)
               WHERE subject NOT LIKE '%/%'
             ), paused AS (
               SELECT service, project, until, reason FROM quota_pauses WHERE until > now()
             )
             SELECT service, project, coalesce(minute, 0), coalesce(day, 0), until, reason FROM spent FULL JOIN paused USING (service, project)
             ORDER BY service, project",
            &[],
        )
        .await
        .context("reading the used quotas")?;
    rows.iter()
        .map(|row| {
            let until: Option<DateTime<Utc>> = row.try_get(4)?;
            let reason: Option<String> = row.try_get(5)?;
            Ok(Spent {
                service: row.try_get(0)?,
                project: row.try_get(1)?,
                minute: row.try_get(2)?,
                day: row.try_get(3)?,
                paused: until.zip(reason),
            })
        })
        .collect()
}

/// A long-running transaction.
#[derive(Debug, Clone)]
pub struct OpenTransaction {
    pub pid: i32,
    /// Its client's application name.
    pub application: String,
    /// Its client's host; `None`: the server's socket.
    pub host: Option<String>,
    /// State such as `idle in transaction` or `active`.
    pub state: String,
    /// Seconds.
    pub age: f64,
    /// Number of sessions waiting for its locks.
    pub waiting: i64,
}

/// Client transactions in this database that are older than `seconds`, oldest first, limited to those visible to the role.
pub async fn open_transactions(pool: &Pool, seconds: f64) -> anyhow::Result<Vec<OpenTransaction>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT a.pid, coalesce(a.application_name, ''), coalesce(a.client_hostname, host(a.client_addr)), coalesce(a.state, 'unknown'),
               extract(epoch FROM now() - a.xact_start)::float8,
               (SELECT count(*) FROM pg_stat_activity w WHERE w.wait_event_type = 'Lock' AND a.pid = ANY (pg_blocking_pids(w.pid)))
             FROM pg_stat_activity a
             WHERE a.datname = current_database() AND a.backend_type = 'client backend' AND a.pid <> pg_backend_pid()
               AND a.xact_start < now() - make_interval(secs => $1)
             ORDER BY a.xact_start LIMIT 20",
            &[(&seconds, Type::FLOAT8)],
        )
        .await
        .context("looking for long-running transactions")?;
    rows.iter()
        .map(|row| {
            Ok(OpenTransaction {
                pid: row.try_get(0)?,
                application: row.try_get(1)?,
                host: row.try_get(2)?,
                state: row.try_get(3)?,
                age: row.try_get(4)?,
                waiting: row.try_get(5)?,
            })
        })
        .collect()
}
