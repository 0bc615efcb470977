//! Messages in `gmail_messages`: upserts, labels, tombstones, and the sweep of a full pass. No network access.

use std::borrow::Cow;
use std::collections::HashSet;

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::{Json, Type};
use serde_json::{Value, json};

use super::changes::Announcer;
use super::fetch::Pinned;
use super::message::{Change, Message};
use super::{attachments, detect};
use crate::db::items;
use crate::engine::{Counts, Item, Stream};
use crate::nul;

const UPSERT: &str = include_str!("sql/upsert_messages.sql");

/// Stores a page of messages, labels and deletions. A page contains a message only once.
pub async fn apply(tx: &Transaction<'_>, stream: &Stream, pass: Option<i64>, items: &[Item<Change>]) -> anyhow::Result<Counts> {
    let (mut messages, mut labels, mut deleted) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        match &item.change {
            Change::Message(message) => messages.push((item.id.as_str(), &**message)),
            Change::Labels { history_id, labels: now } => labels.push((item.id.as_str(), *history_id, json!(now))),
            Change::Deleted => deleted.push(item.id.as_str()),
            // Stored by `labels::store`.
            Change::LabelList(_) => {}
        }
    }
    let mut counts = Counts::default();
    if !messages.is_empty() {
        counts += upsert(tx, stream, pass, &messages).await?;
    }
    if !labels.is_empty() {
        counts += relabel(tx, stream, &labels).await?;
    }
    if !deleted.is_empty() {
        let count = delete_messages(tx, stream, &deleted).await?;
        counts += Counts { deleted: count, unchanged: deleted.len() as u64 - count, ..Counts::default() };
    }
    Ok(counts)
}

async fn upsert(
    tx: &Transaction<'_>,
    stream: &Stream,
    pass: Option<i64>,
    messages: &[(&str, &Message)],
) -> anyhow::Result<Counts> {
    fn column<'a, T>(messages: &[(&'a str, &'a Message)], read: impl Fn(&'a Message) -> T) -> Vec<T> {
        messages.iter().map(|(_, message)| read(message)).collect()
    }
    fn headers(message: &Message) -> Json<Vec<[Cow<'_, str>; 2]>> {
        Json(message.headers.iter().map(|(name, value)| [nul::replaced(name), nul::replaced(value)]).collect())
    }
    let ids: Vec<&str> = messages.iter().map(|(id, _)| *id).collect();
    let rows = tx
        .query_typed(
            UPSERT,
            &[
                (&stream.id, Type::INT8),
                (&stream.user_id, Type::UUID),
                (&pass, Type::INT8),
                (&ids, Type::TEXT_ARRAY),
                (&column(messages, |m| m.thread_id.as_str()), Type::TEXT_ARRAY),
                (&column(messages, |m| m.history_id), Type::INT8_ARRAY),
                (&column(messages, |m| Json(&m.labels)), Type::JSONB_ARRAY),
                (&column(messages, |m| m.received_at), Type::TIMESTAMPTZ_ARRAY),
                (&column(messages, |m| m.mail.sent_at), Type::TIMESTAMPTZ_ARRAY),
                (&column(messages, |m| m.mail.from_address.as_deref()), Type::TEXT_ARRAY),
                (&column(messages, |m| m.mail.from_name.as_deref()), Type::TEXT_ARRAY),
                (&column(messages, |m| Json(&m.mail.to)), Type::JSONB_ARRAY),
                (&column(messages, |m| Json(&m.mail.cc)), Type::JSONB_ARRAY),
                (&column(messages, |m| m.mail.subject.as_deref()), Type::TEXT_ARRAY),
                (&column(messages, |m| m.snippet.as_deref()), Type::TEXT_ARRAY),
                (&column(messages, |m| m.size), Type::INT8_ARRAY),
                (&column(messages, |m| m.mail.message_id.as_deref()), Type::TEXT_ARRAY),
                (&column(messages, headers), Type::JSONB_ARRAY),
                (&column(messages, |m| m.mail.text.as_deref()), Type::TEXT_ARRAY),
                (&column(messages, |m| m.is_complete.then_some(Json(&m.mail.attachments))), Type::JSONB_ARRAY),
                (&column(messages, |m| m.mail.note.as_deref()), Type::TEXT_ARRAY),
                (&column(messages, |m| m.html.as_deref()), Type::TEXT_ARRAY),
            ],
        )
        .await
        .context("upserting messages")?;
    let of = |outcome: &str| -> anyhow::Result<u64> {
        rows.iter().try_fold(0, |count, row| Ok(count + u64::from(row.try_get::<_, &str>(0)? == outcome)))
    };
    let (created, updated) = (of("created")?, of("updated")?);
    Ok(Counts { created, updated, unchanged: messages.len() as u64 - created - updated, ..Counts::default() })
}

/// Sets the labels of stored messages. Messages that are not stored are outside the window.
async fn relabel(tx: &Transaction<'_>, stream: &Stream, labels: &[(&str, i64, Value)]) -> anyhow::Result<Counts> {
    let ids: Vec<&str> = labels.iter().map(|(id, ..)| *id).collect();
    let history_ids: Vec<i64> = labels.iter().map(|(_, history_id, _)| *history_id).collect();
    let sets: Vec<&Value> = labels.iter().map(|(.., labels)| labels).collect();
    let updated = tx
        .execute_typed(
            "UPDATE gmail_messages m SET labels = ARRAY(SELECT jsonb_array_elements_text(t.labels)), history_id = t.history_id, synced_at = now(),
               changed_xid = DEFAULT
             FROM unnest($2::text[], $3::bigint[], $4::jsonb[]) AS t (message_id, history_id, labels)
             WHERE m.stream_id = $1 AND m.message_id = t.message_id AND (m.history_id IS NULL OR m.history_id < t.history_id)",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY), (&history_ids, Type::INT8_ARRAY), (&sets, Type::JSONB_ARRAY)],
        )
        .await
        .context("setting labels")?;
    Ok(Counts { updated, unchanged: labels.len() as u64 - updated, ..Counts::default() })
}

/// Turns messages into tombstones, and retires their documents and attachments.
async fn delete_messages(tx: &Transaction<'_>, stream: &Stream, ids: &[&str]) -> anyhow::Result<u64> {
    let rows = tx
        .query_typed(
            "UPDATE gmail_messages SET deleted_at = now(), synced_at = now(), changed_xid = DEFAULT
             WHERE stream_id = $1 AND message_id = ANY ($2) AND deleted_at IS NULL RETURNING message_id",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("making tombstones of messages")?;
    let deleted: Vec<&str> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    detect::retire(tx, stream, &deleted).await?;
    attachments::store::retire(tx, stream, &deleted).await?;
    Ok(deleted.len() as u64)
}

/// A hash of the stored message that changes with every update.
pub async fn known(tx: &Transaction<'_>, stream: &Stream, id: &str) -> anyhow::Result<Option<String>> {
    let row = tx
        .query_typed_opt(
            "SELECT md5(m::text) FROM gmail_messages m WHERE stream_id = $1 AND message_id = $2",
            &[(&stream.id, Type::INT8), (&id, Type::TEXT)],
        )
        .await
        .context("reading a stored message")?;
    row.map_or(Ok(None), |row| Ok(row.try_get(0)?))
}

/// Turns the messages of the window that a complete pass did not list into tombstones. Those that this pass quarantined count as listed.
/// `requested`: opt-in types of outbox events that targets ask for.
pub async fn sweep(
    tx: &Transaction<'_>,
    requested: &HashSet<&'static str>,
    stream: &Stream,
    pass: i64,
    pinned: Option<&str>,
) -> anyhow::Result<Counts> {
    let pinned = Pinned::parse(pinned.context("a full pass of a mailbox without its start")?)?;
    let after: Option<DateTime<Utc>> = pinned.after.and_then(|after| DateTime::from_timestamp(after, 0));
    let rows = tx
        .query_typed(
            "SELECT message_id FROM gmail_messages m WHERE stream_id = $1 AND deleted_at IS NULL AND seen_pass IS DISTINCT FROM $2
               AND ($3::timestamptz IS NULL OR received_at >= $3)
               AND NOT EXISTS (SELECT 1 FROM quarantined_items q WHERE q.stream_id = $1 AND q.item_id = m.message_id AND q.seen_pass = $2)",
            &[(&stream.id, Type::INT8), (&pass, Type::INT8), (&after, Type::TIMESTAMPTZ)],
        )
        .await
        .context("looking for deleted messages")?;
    let gone: Vec<&str> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    items::doubt(tx, stream.id, pass).await?;
    let announcer = Announcer::of_missing(tx, requested, stream, pass, &gone).await?;
    let deleted = delete_messages(tx, stream, &gone).await?;
    if let Some(announcer) = announcer {
        announcer.announce(tx, stream).await?;
    }
    Ok(Counts { deleted, ..Counts::default() })
}
