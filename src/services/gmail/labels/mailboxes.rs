//! When the labels of each mailbox were listed, and why they could not be (table `gmail_mailboxes`). No network access.

use std::time::Duration;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;

use super::Listing;
use crate::db::Pool;
use crate::engine::Stream;
use crate::nul;

const RECORD: &str = include_str!("../sql/record_listing.sql");
/// Labels are listed once a day, and after a failure every hour.
const OVERDUE: Duration = Duration::from_secs(86_400);

/// Records that the labels of a mailbox were listed, or why they were not.
pub async fn record(tx: &Transaction<'_>, stream: &Stream, listing: &Listing) -> anyhow::Result<()> {
    let failure = listing.failure.as_ref();
    tx.execute_typed(
        RECORD,
        &[
            (&stream.id, Type::INT8),
            (&stream.user_id, Type::UUID),
            (&listing.labels.is_some(), Type::BOOL),
            (&failure.map(|failure| nul::cleaned(&failure.class)), Type::TEXT),
            (&failure.map(|failure| nul::cleaned(&failure.message)), Type::TEXT),
        ],
    )
    .await
    .context("recording when labels were listed")?;
    Ok(())
}

/// Mailboxes whose labels, or their colours, could not be listed for a day.
#[derive(Debug)]
pub struct Unlisted {
    pub mailboxes: i64,
    /// The one that has failed for the longest time.
    pub example: Option<Example>,
}

/// A mailbox whose labels could not be listed.
#[derive(Debug)]
pub struct Example {
    /// Address of its user.
    pub email: String,
    pub since: DateTime<Utc>,
    /// `error::Class` of the last failure.
    pub class: String,
    pub message: String,
}

/// The mailboxes whose labels could not be listed for a day. Those that are not polled are left out.
///
/// # Errors
/// Returns an error of the database.
pub async fn unlisted(pool: &Pool) -> anyhow::Result<Unlisted> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            "SELECT count(*) OVER (), u.email, m.labels_failing_since, m.labels_failed_class, m.labels_failed_message
             FROM gmail_mailboxes m JOIN streams s ON s.id = m.stream_id JOIN users u ON u.id = m.user_id
             WHERE m.labels_failing_since < now() - make_interval(secs => $1) AND s.state IN ('active', 'degraded')
             ORDER BY m.labels_failing_since, m.stream_id LIMIT 1",
            &[(&OVERDUE.as_secs_f64(), Type::FLOAT8)],
        )
        .await
        .context("looking for mailboxes whose labels cannot be listed")?;
    let Some(row) = row else { return Ok(Unlisted { mailboxes: 0, example: None }) };
    let example = Example { email: row.try_get(1)?, since: row.try_get(2)?, class: row.try_get(3)?, message: row.try_get(4)? };
    Ok(Unlisted { mailboxes: row.try_get(0)?, example: Some(example) })
}
