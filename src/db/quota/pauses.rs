//! Projects that are paused because their daily quota is used up (table `quota_pauses`).

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio_postgres::types::Type;

use super::DAY_START;
use crate::db::Pool;
use crate::db::claims::Selection;
use crate::db::reads::Reads;

/// Time from the start of a pause to the first probe. Each further probe follows when the pause is twice as old.
const FIRST_PROBE: &str = "interval '15 minutes'";

/// A paused project.
#[derive(Debug, Clone, Serialize)]
pub struct Pause {
    pub service: String,
    pub project: String,
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    /// When a run probes with one call whether the quota is available again.
    pub probe_at: DateTime<Utc>,
    pub reason: String,
    /// Due streams waiting for its end.
    pub streams: i64,
}

impl Pause {
    /// `project p is paused until 2026-05-02 07:00 UTC: 40 streams wait`
    pub fn in_words(&self) -> String {
        let Self { project, until, streams, .. } = self;
        format!("project {project} is paused until {}: {streams} streams wait", until.format("%F %R UTC"))
    }
}

/// Pauses a project until Google's quota day ends. An existing pause keeps its start and its next probe.
pub async fn pause_until_day_ends(pool: &Pool, service: &str, project: &str, reason: &str) -> anyhow::Result<()> {
    let statement = format!(
        "INSERT INTO quota_pauses AS q (service, project, until, reason, began_at, probe_at)
         VALUES ($1, $2, {DAY_START} + interval '1 day', $3, now(), now() + {FIRST_PROBE})
         ON CONFLICT (service, project) DO UPDATE SET until = excluded.until, reason = excluded.reason,
           began_at = CASE WHEN q.until > now() THEN q.began_at ELSE now() END,
           probe_at = CASE WHEN q.until > now() THEN q.probe_at ELSE excluded.probe_at END"
    );
    pool.get()
        .await?
        .execute_typed(&statement, &[(&service, Type::TEXT), (&project, Type::TEXT), (&reason, Type::TEXT)])
        .await
        .context("pausing a project")?;
    Ok(())
}

/// Lifts the pauses of a project, or only that of one service. Returns the services. Waiting streams are due immediately.
pub async fn resume(pool: &Pool, service: Option<&str>, project: &str) -> anyhow::Result<Vec<String>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "DELETE FROM quota_pauses WHERE project = $1 AND ($2::text IS NULL OR service = $2) AND until > now() RETURNING service",
            &[(&project, Type::TEXT), (&service, Type::TEXT)],
        )
        .await
        .context("lifting a pause")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Lists the pauses of all services or of one, with the number of waiting streams of a selection.
pub async fn list(client: &impl Reads, service: Option<&str>, selection: &Selection) -> anyhow::Result<Vec<Pause>> {
    let rows = client
        .query_typed(
            // A stream of an Attendee project has no account.
            "SELECT p.service, p.project, p.began_at, p.until, p.probe_at, p.reason, waits.count
             FROM quota_pauses p CROSS JOIN LATERAL (
               SELECT count(*) FROM streams s LEFT JOIN accounts a ON a.user_id = s.user_id
               WHERE s.service = p.service AND coalesce(a.project, s.attendee_project::text) = p.project
                 AND s.state NOT IN ('removed', 'revoked', 'off') AND (s.due_at <= now() OR $2)
                 AND ($3::uuid[] IS NULL OR coalesce(s.user_id, s.attendee_project) = ANY ($3))
                 AND (NOT $4 OR s.pushed_at > coalesce(s.polled_at, '-infinity'))) waits
             WHERE p.until > now() AND ($1::text IS NULL OR p.service = $1) ORDER BY p.service, p.project",
            &[
                (&service, Type::TEXT),
                (&selection.force, Type::BOOL),
                (&selection.users, Type::UUID_ARRAY),
                (&selection.pushed, Type::BOOL),
            ],
        )
        .await
        .context("listing paused projects")?;
    rows.iter()
        .map(|row| {
            Ok(Pause {
                service: row.try_get(0)?,
                project: row.try_get(1)?,
                since: row.try_get(2)?,
                until: row.try_get(3)?,
                probe_at: row.try_get(4)?,
                reason: row.try_get(5)?,
                streams: row.try_get(6)?,
            })
        })
        .collect()
}

/// Claims the probes that are due: one due stream of each paused project. Other runs do not make the same probes. Streams with a cursor are preferred,
/// because they cost one call.
pub async fn take_probes(pool: &Pool, service: &str) -> anyhow::Result<Vec<(String, i64)>> {
    let statement = format!(
        "UPDATE quota_pauses q SET probe_at = now() + greatest({FIRST_PROBE}, now() - q.began_at)
         FROM quota_pauses p CROSS JOIN LATERAL (
           SELECT s.id FROM streams s LEFT JOIN accounts a ON a.user_id = s.user_id
           WHERE s.service = p.service AND coalesce(a.project, s.attendee_project::text) = p.project
             AND s.state NOT IN ('removed', 'revoked', 'off') AND s.due_at <= now() AND coalesce(s.claimed_until < now(), true)
           ORDER BY s.failures > 0, s.cursor IS NULL, s.due_at LIMIT 1) due
         WHERE q.service = $1 AND q.until > now() AND q.probe_at <= now() AND p.service = q.service AND p.project = q.project
         RETURNING q.project, due.id"
    );
    let rows =
        pool.get().await?.query_typed(&statement, &[(&service, Type::TEXT)]).await.context("looking for pauses to probe")?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}
