//! What the database itself is like: its version, its way to us, what our role may, and who else may read. Changes nothing.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use tokio_postgres::types::Type;

use super::Pool;

/// Round trips that the latency is taken from.
const ROUND_TRIPS: usize = 20;
/// Questions that find out whether connections share a server's process.
const LOOKS: usize = 4;

/// The server, as one connection sees it.
#[derive(Debug, Clone)]
pub struct Server {
    /// `server_version_num`, such as 170006
    pub number: i32,
    pub version: String,
    pub bytes: i64,
    /// TLS version of the server's connection, where it has TLS.
    pub tls: Option<String>,
    /// The role may make tables where ours are.
    pub may_create: bool,
    pub role: String,
    pub now: DateTime<Utc>,
}

/// Asks the server about itself.
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
        .context("asking the server about itself")?;
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

/// The middle one of some round trips.
pub async fn latency(pool: &Pool) -> anyhow::Result<Duration> {
    let client = pool.get().await?;
    let mut trips = Vec::with_capacity(ROUND_TRIPS);
    for _ in 0..ROUND_TRIPS {
        let started = Instant::now();
        client.query_typed_one("SELECT 1", &[]).await.context("measuring the way to the server")?;
        trips.push(started.elapsed());
    }
    trips.sort_unstable();
    Ok(trips[ROUND_TRIPS / 2])
}

/// Whether a pooler gives each transaction another server process: then two connections that are both open meet the same one.
pub async fn shares_processes(pool: &Pool) -> anyhow::Result<bool> {
    let (first, second) = (pool.get().await?, pool.get().await?);
    let mut met = [Vec::new(), Vec::new()];
    for _ in 0..LOOKS {
        for (client, met) in [&first, &second].into_iter().zip(&mut met) {
            let row = client.query_typed_one("SELECT pg_backend_pid()", &[]).await.context("asking for the server's process")?;
            met.push(row.try_get::<_, i32>(0)?);
        }
    }
    Ok(met[0].iter().any(|pid| met[1].contains(pid)) || met[0].windows(2).any(|pair| pair[0] != pair[1]))
}

/// The id of the key that sealed a value: a blob is one byte of format, one that says how long the id is, the id, and the rest. `NULL`: cut, or of
/// another format.
const KEY_ID: &str = "CASE WHEN octet_length(blob) > 2 AND get_byte(blob, 0) = 1 THEN encode(substring(blob FROM 3 FOR get_byte(blob, 1)), 'escape') END";

/// How many credentials each key has sealed, by its id; empty where one of the `known` keys has sealed any: the others are a matter of their accounts.
pub async fn sealed_credentials(pool: &Pool, known: &[&str]) -> anyhow::Result<Vec<(String, i64)>> {
    let statement = format!(
        "WITH sealed AS NOT MATERIALIZED (
           SELECT {KEY_ID} AS id FROM (SELECT credentials AS blob FROM accounts UNION ALL SELECT api_key FROM attendee_projects) blobs)
         SELECT id, count(*) FROM sealed WHERE id IS NOT NULL AND NOT (SELECT EXISTS (SELECT FROM sealed WHERE id = ANY ($1)))
         GROUP BY id ORDER BY count(*) DESC, id"
    );
    let client = pool.get().await?;
    // Mostly the first one tells enough.
    let first = format!("SELECT {KEY_ID} FROM (SELECT credentials AS blob FROM accounts LIMIT 1) first");
    let first = client.query_typed_opt(&first, &[]).await.context("looking which key has sealed a credential")?;
    if let Some(row) = first
        && row.try_get::<_, Option<&str>>(0)?.is_some_and(|key| known.contains(&key))
    {
        return Ok(Vec::new());
    }
    let rows = client
        .query_typed(&statement, &[(&known, Type::TEXT_ARRAY)])
        .await
        .context("looking which keys have sealed credentials")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// How many values each seal key has sealed, by its id; `None`: what is cut or of another format.
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
        .context("looking which keys have sealed values")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// What is spent of a project's quota.
#[derive(Debug, Clone)]
pub struct Spent {
    pub service: String,
    pub project: String,
    /// In the last minute, and in Google's day.
    pub minute: i64,
    pub day: i64,
    /// Google told us to stop, until then and why.
    pub paused: Option<(DateTime<Utc>, String)>,
}

/// What is spent of each project's quota now.
pub async fn quota(pool: &Pool) -> anyhow::Result<Vec<Spent>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            // A user's part is written under the project's name and the user's id.
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
        .context("reading what is spent of the quotas")?;
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

/// A transaction that has been open for long.
#[derive(Debug, Clone)]
pub struct OpenTransaction {
    pub pid: i32,
    /// What its client calls itself.
    pub application: String,
    /// Where it came from; `None`: by the server's socket.
    pub host: Option<String>,
    /// `idle in transaction`, `active`
    pub state: String,
    /// Seconds.
    pub age: f64,
    /// Statements that wait for it.
    pub waiting: i64,
}

/// Transactions of clients of this database that have been open for longer than so many seconds, the oldest first, as far as the role may see them.
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
        .context("looking for transactions that have been open for long")?;
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
