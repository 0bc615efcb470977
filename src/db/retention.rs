//! Retention: which rows are old and unneeded, counting them, and deleting them in chunks. Independent of the settings.

use std::time::Duration;

use anyhow::Context;
use tokio_postgres::types::Type;

use super::Pool;

/// Kinds of data with separate retention periods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    Runs,
    Tombstones,
    /// Texts and attachments of items that are gone at the provider or no longer shared with the user.
    Texts,
    Quarantine,
}

/// What happens to an old row.
#[derive(Debug, Clone, Copy)]
enum End {
    Deleted,
    /// The row stays, because others refer to its id. `columns` are set, and the statement `also` runs for the changed rows (`ended`).
    Emptied {
        columns: &'static str,
        also: Option<&'static str>,
    },
}

/// The retention rule of a table.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub table: &'static str,
    pub kept: Kept,
    /// The column with a row's age. It has an index if the table grows with every run.
    pub(super) since: &'static str,
    /// An additional condition.
    only: &'static str,
    end: End,
}

const fn run(table: &'static str, since: &'static str, only: &'static str) -> Rule {
    Rule { table, kept: Kept::Runs, since, only, end: End::Deleted }
}

const fn tombstone(table: &'static str, since: &'static str, only: &'static str) -> Rule {
    Rule { table, kept: Kept::Tombstones, since, only, end: End::Deleted }
}

/// Every table that grows over time, except tables with their own `forget` function (`outbox_events`, `notifications`) or cleaned up by runs
/// (`channels`, `quota_usage`, `quota_minutes`, `model_budgets`).
pub const RULES: [Rule; 33] = [
    run("calendar_cron_results", "start_time", "status IS DISTINCT FROM 'running'"),
    run("drive_cron_results", "start_time", "status IS DISTINCT FROM 'running'"),
    run("gmail_cron_results", "start_time", "status IS DISTINCT FROM 'running'"),
    run("attendee_cron_results", "start_time", "status IS DISTINCT FROM 'running'"),
    run("classify_cron_results", "start_time", "status IS DISTINCT FROM 'running'"),
    run("calendar_cron_metrics", "timestamp", "true"),
    run("drive_cron_metrics", "timestamp", "true"),
    run("gmail_cron_metrics", "timestamp", "true"),
    run("attendee_cron_metrics", "timestamp", "true"),
    run("classify_cron_metrics", "timestamp", "true"),
    run("calendar_cron_summaries", "timestamp", "true"),
    run("drive_cron_summaries", "timestamp", "true"),
    run("gmail_cron_summaries", "timestamp", "true"),
    run("attendee_cron_summaries", "timestamp", "true"),
    run("classify_cron_summaries", "timestamp", "true"),
    run("calendar_watch_renewal_summaries", "timestamp", "true"),
    run("calendar_webhook_renewal_summaries", "timestamp", "true"),
    run("sync_cron_summaries", "timestamp", "true"),
    run("runs", "started_at", "status <> 'running'"),
    run("model_usage", "day", "true"),
    Rule {
        table: "gmail_messages",
        kept: Kept::Texts,
        since: "deleted_at",
        only: "num_nonnulls(old.from_address, old.subject, old.snippet, old.body, old.html, old.attachments) > 0 OR old.headers <> '[]'",
        end: End::Emptied {
            columns:
                "from_address = NULL, from_name = NULL, to_addresses = '{}', cc_addresses = '{}', subject = NULL, snippet = NULL,
              rfc822_message_id = NULL, headers = '[]', body = NULL, html = NULL, attachments = NULL, note = NULL, changed_xid = DEFAULT",
            also: None,
        },
    },
    Rule {
        table: "documents",
        kept: Kept::Texts,
        since: "updated_at",
        only: "old.status = 'deleted' AND (num_nonnulls(old.title, old.author, old.snippet, old.body, old.note) > 0 OR old.details <> '{}')",
        end: End::Emptied {
            columns: "title = NULL, author = NULL, snippet = NULL, body = NULL, details = '{}', note = NULL, content_hash = '',
              changed_xid = DEFAULT",
            // A file that comes back is read again.
            also: Some(
                "UPDATE drive_file_watches w SET content_key = NULL FROM ended e WHERE w.user_id = e.user_id AND w.file_id = e.source_id",
            ),
        },
    },
    Rule { table: "gmail_attachments", kept: Kept::Texts, since: "deleted_at", only: "true", end: End::Deleted },
    Rule { table: "gmail_contents", kept: Kept::Texts, since: "unused_at", only: "true", end: End::Deleted },
    // A cancelled occurrence marks an exception of its series: it is kept as long as the series.
    tombstone(
        "calendar_events",
        "deleted_at",
        "recurring_event_id IS NULL OR NOT EXISTS (SELECT 1 FROM calendar_events series WHERE series.stream_id = old.stream_id
           AND series.event_id = old.recurring_event_id AND series.deleted_at IS NULL)",
    ),
    tombstone("calendars", "deleted_at", "true"),
    tombstone("gmail_messages", "deleted_at", "true"),
    tombstone("gmail_labels", "deleted_at", "removed_to IS NULL"),
    // Users who watch a file are notified when it comes back.
    tombstone(
        "drive_file_access",
        "deleted_at",
        "NOT EXISTS (SELECT 1 FROM drive_file_watches w WHERE w.file_id = old.file_id AND w.user_id = old.user_id)",
    ),
    tombstone("drive_files", "deleted_at", "NOT EXISTS (SELECT 1 FROM drive_file_watches w WHERE w.file_id = old.file_id)"),
    tombstone("drives", "deleted_at", "true"),
    tombstone("deleted_meetings", "deleted_at", "true"),
    Rule { table: "quarantined_items", kept: Kept::Quarantine, since: "last_tried_at", only: "true", end: End::Deleted },
];

impl Rule {
    /// Whether the rows stay without their texts.
    pub fn is_of_texts(&self) -> bool {
        matches!(self.end, End::Emptied { .. })
    }

    fn condition(&self) -> String {
        format!("old.{} < now() - make_interval(secs => $1) AND ({})", self.since, self.only)
    }
}

/// Number of rows older than this.
pub async fn count(pool: &Pool, rule: &Rule, keep: Duration) -> anyhow::Result<u64> {
    let statement = format!("SELECT count(*) FROM {} old WHERE {}", rule.table, rule.condition());
    let row = pool.get().await?.query_typed_one(&statement, &[(&keep.as_secs_f64(), Type::FLOAT8)]).await;
    let count: i64 = row.with_context(|| format!("counting old rows of {}", rule.table))?.try_get(0)?;
    Ok(count.unsigned_abs())
}

/// Deletes or empties up to `chunk` rows that are older than this, oldest first. Returns how many. Locked rows are left for the next call.
pub async fn end(pool: &Pool, rule: &Rule, keep: Duration, chunk: i64) -> anyhow::Result<u64> {
    let Rule { table, since, .. } = rule;
    let chosen = format!(
        "ctid = ANY (ARRAY(
           SELECT old.ctid FROM {table} old WHERE {condition} ORDER BY old.{since} LIMIT $2 FOR UPDATE OF old SKIP LOCKED))",
        condition = rule.condition(),
    );
    let statement = match rule.end {
        End::Deleted => format!("DELETE FROM {table} WHERE {chosen}"),
        End::Emptied { columns, also: None } => format!("UPDATE {table} SET {columns} WHERE {chosen}"),
        End::Emptied { columns, also: Some(also) } => {
            format!("WITH ended AS (UPDATE {table} SET {columns} WHERE {chosen} RETURNING *), also AS ({also}) SELECT FROM ended")
        }
    };
    pool.get()
        .await?
        .execute_typed(&statement, &[(&keep.as_secs_f64(), Type::FLOAT8), (&chunk, Type::INT8)])
        .await
        .with_context(|| format!("deleting old rows of {}", rule.table))
}
