//! Reads stored messages for people. No network access.

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::{Json, Type};
use serde::Serialize;
use uuid::Uuid;

use super::attachments::stored::Described;
use super::{MAILBOX, REGISTERED};
use crate::db::Pool;
use crate::nul;

/// The names of the labels of a message `m`.
macro_rules! label_names {
    () => {
        "ARRAY(SELECT coalesce(l.name, l.label_id) FROM gmail_labels l
           WHERE l.stream_id = m.stream_id AND l.label_id = ANY (m.labels) AND l.deleted_at IS NULL ORDER BY 1)"
    };
}

/// The attachments of a message `m` as JSON of `Described`, in their order. NULL: it was not read completely.
macro_rules! attachments {
    () => {
        "CASE WHEN m.attachments IS NOT NULL THEN coalesce((
           SELECT jsonb_agg(e.described || jsonb_build_object('number', e.number, 'content_id', a.content_id, 'inline', a.inline,
             'sha256', encode(a.sha256, 'hex'), 'not_stored', CASE WHEN a.sha256 IS NULL THEN coalesce(a.not_stored, 'excluded') END) ORDER BY e.number)
           FROM jsonb_array_elements(m.attachments) WITH ORDINALITY AS e (described, number)
           LEFT JOIN gmail_attachments a ON a.stream_id = m.stream_id AND a.message_id = m.message_id AND a.position = e.number), '[]') END"
    };
}

/// A message in a list.
#[derive(Debug)]
pub struct Message {
    pub message_id: String,
    pub thread_id: String,
    pub received_at: Option<DateTime<Utc>>,
    pub from_name: Option<String>,
    pub from_address: Option<String>,
    pub subject: Option<String>,
    pub snippet: Option<String>,
    pub unread: bool,
    /// By name.
    pub labels: Vec<String>,
}

/// Which messages to list.
#[derive(Debug)]
pub struct Filter<'a> {
    pub user: Uuid,
    /// Only with this label, by name, regardless of case.
    pub label: Option<&'a str>,
    pub unread: bool,
    /// Each occurs in subject, sender, snippet or text.
    pub words: &'a [String],
    /// Only those received within this many seconds.
    pub within_seconds: Option<f64>,
}

/// The messages `m` of a `Filter`.
macro_rules! filtered {
    () => {
        " FROM gmail_messages m
          WHERE m.user_id = $1 AND m.deleted_at IS NULL AND (m.unread OR NOT $3)
            AND ($2::text IS NULL OR EXISTS (SELECT FROM gmail_labels l WHERE l.stream_id = m.stream_id AND l.label_id = ANY (m.labels)
              AND l.deleted_at IS NULL AND lower(coalesce(l.name, l.label_id)) = lower($2)))
            AND (cardinality($4::text[]) = 0
              OR concat_ws(E'\\n', m.subject, m.from_name, m.from_address, m.snippet, m.body) ILIKE ALL ($4))
            AND ($5::float8 IS NULL OR m.received_at > now() - make_interval(secs => $5))"
    };
}

/// Counts the messages of a filter without words: a search would read the texts of the whole mailbox.
///
/// # Errors
/// Returns an error of the database.
pub async fn count(pool: &Pool, filter: &Filter<'_>) -> anyhow::Result<i64> {
    let label = filter.label.map(nul::replaced);
    let row = pool
        .get()
        .await?
        .query_typed_one(
            concat!("SELECT count(*)", filtered!()),
            &[
                (&filter.user, Type::UUID),
                (&label, Type::TEXT),
                (&filter.unread, Type::BOOL),
                (&Vec::<String>::new(), Type::TEXT_ARRAY),
                (&filter.within_seconds, Type::FLOAT8),
            ],
        )
        .await
        .context("counting messages")?;
    Ok(row.try_get(0)?)
}

/// Up to `limit` messages after the first `offset`, newest first. A search has no index: it reads the messages of one user, newest first, until these are
/// found.
///
/// # Errors
/// Returns an error of the database.
pub async fn messages(pool: &Pool, filter: &Filter<'_>, (limit, offset): (i64, i64)) -> anyhow::Result<Vec<Message>> {
    let patterns: Vec<String> = filter.words.iter().map(|word| pattern(word)).collect();
    let label = filter.label.map(nul::replaced);
    let rows = pool
        .get()
        .await?
        .query_typed(
            concat!(
                "SELECT m.message_id, m.thread_id, m.received_at, m.from_name, m.from_address, m.subject, m.snippet, m.unread, ",
                label_names!(),
                filtered!(),
                " ORDER BY m.received_at DESC, m.message_id DESC LIMIT $6 OFFSET $7"
            ),
            &[
                (&filter.user, Type::UUID),
                (&label, Type::TEXT),
                (&filter.unread, Type::BOOL),
                (&patterns, Type::TEXT_ARRAY),
                (&filter.within_seconds, Type::FLOAT8),
                (&limit, Type::INT8),
                (&offset, Type::INT8),
            ],
        )
        .await
        .context("reading messages")?;
    rows.iter().map(in_list).collect()
}

fn in_list(row: &Row) -> anyhow::Result<Message> {
    Ok(Message {
        message_id: row.try_get(0)?,
        thread_id: row.try_get(1)?,
        received_at: row.try_get(2)?,
        from_name: row.try_get(3)?,
        from_address: row.try_get(4)?,
        subject: row.try_get(5)?,
        snippet: row.try_get(6)?,
        unread: row.try_get(7)?,
        labels: row.try_get(8)?,
    })
}

/// The pattern of texts that contain a word.
fn pattern(word: &str) -> String {
    let mut pattern = String::from("%");
    for c in nul::replaced(word).chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "%"
}

/// The names of the labels of a user's mailbox.
///
/// # Errors
/// Returns an error of the database.
pub async fn labels(pool: &Pool, user: Uuid) -> anyhow::Result<Vec<String>> {
    let rows = pool
        .get()
        .await?
        .query_typed(
            "SELECT coalesce(l.name, l.label_id) FROM streams s JOIN gmail_labels l ON l.stream_id = s.id
             WHERE s.user_id = $1 AND s.service = $2 AND l.deleted_at IS NULL ORDER BY l.kind DESC, 1",
            &[(&user, Type::UUID), (&REGISTERED.service, Type::TEXT)],
        )
        .await
        .context("reading labels")?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A message with everything that is stored of it.
#[derive(Debug, Serialize)]
pub struct FullMessage {
    pub message_id: String,
    pub thread_id: String,
    #[serde(skip)]
    pub received_at: Option<DateTime<Utc>>,
    #[serde(skip)]
    pub sent_at: Option<DateTime<Utc>>,
    #[serde(skip)]
    pub deleted_at: Option<DateTime<Utc>>,
    pub unread: bool,
    /// By name.
    pub labels: Vec<String>,
    /// Name and value, in their order.
    pub headers: Vec<(String, String)>,
    pub snippet: Option<String>,
    /// The text; `None`: the message was not read completely.
    pub body: Option<String>,
    /// `None`: it has none, or it is not to be stored.
    pub html: Option<String>,
    /// `None`: the message was not read completely.
    pub attachments: Option<Vec<Described>>,
    pub size_estimate: Option<i64>,
    /// What was wrong with the message, or left out.
    pub note: Option<String>,
}

/// A message of a user, by Gmail's id.
///
/// # Errors
/// Returns an error of the database.
pub async fn message(pool: &Pool, user: Uuid, id: &str) -> anyhow::Result<Option<FullMessage>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            concat!(
                "SELECT m.message_id, m.thread_id, m.received_at, m.sent_at, m.deleted_at, m.unread, ",
                label_names!(),
                ", m.headers, m.snippet, m.body, m.html, ",
                attachments!(),
                ", m.size_estimate, m.note
                 FROM streams s JOIN gmail_messages m ON m.stream_id = s.id
                 WHERE s.user_id = $1 AND s.service = $2 AND s.kind = $3 AND m.message_id = $4"
            ),
            &[(&user, Type::UUID), (&REGISTERED.service, Type::TEXT), (&MAILBOX, Type::TEXT), (&nul::replaced(id), Type::TEXT)],
        )
        .await
        .context("reading a message")?;
    row.map(|row| {
        Ok(FullMessage {
            message_id: row.try_get(0)?,
            thread_id: row.try_get(1)?,
            received_at: row.try_get(2)?,
            sent_at: row.try_get(3)?,
            deleted_at: row.try_get(4)?,
            unread: row.try_get(5)?,
            labels: row.try_get(6)?,
            headers: row.try_get::<_, Json<_>>(7)?.0,
            snippet: row.try_get(8)?,
            body: row.try_get(9)?,
            html: row.try_get(10)?,
            attachments: row.try_get::<_, Option<Json<_>>>(11)?.map(|attachments| attachments.0),
            size_estimate: row.try_get(12)?,
            note: row.try_get(13)?,
        })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_of_patterns_are_searched_for_as_they_are() {
        assert_eq!(pattern(r"50%_\off"), r"%50\%\_\\off%");
    }
}
