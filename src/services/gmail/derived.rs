//! Compares virtual addresses and documents with the messages that they are derived from, and rebuilds them. No network access.

use std::collections::{BTreeSet, HashMap};

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::Row;
use deadpool_postgres::tokio_postgres::types::Type;
use serde_json::Value;

use super::detect;
use super::mail::{self, Kind, Mail};
use super::message::Message;
use crate::address::Pattern;
use crate::engine::Stream;
use crate::engine::verify::{Derived, Differences, Mismatch, wrong};

/// Compares the documents of a mailbox with its messages, and the recorded virtual addresses with the recipients of the messages.
pub async fn compared(tx: &Transaction<'_>, stream: &Stream, pattern: &Pattern) -> anyhow::Result<Derived> {
    let mut derived = Derived::default();
    documents(tx, stream, &mut derived).await?;
    addresses(tx, stream, pattern, &mut derived).await?;
    Ok(derived)
}

/// Checks that there is a document for each user named by a virtual address.
async fn documents(tx: &Transaction<'_>, stream: &Stream, derived: &mut Derived) -> anyhow::Result<()> {
    let rows = tx
        .query_typed(
            "SELECT m.message_id, m.deleted_at IS NULL, coalesce(o.status <> 'deleted', false),
               d.document_id IS NOT DISTINCT FROM o.id AND (o.title, o.author, o.occurred_at, o.snippet)
                 IS NOT DISTINCT FROM (m.subject, m.from_address, m.received_at, m.snippet) AND (m.body IS NULL OR o.body IS NOT DISTINCT FROM m.body)
             FROM gmail_detections d JOIN gmail_messages m USING (stream_id, message_id) JOIN users u ON u.id = d.user_id
             LEFT JOIN documents o ON o.source = $2 AND o.source_id = m.user_id::text || '/' || m.message_id AND o.user_id = d.user_id
             WHERE d.stream_id = $1 AND d.status = 'found'",
            &[(&stream.id, Type::INT8), (&detect::SOURCE, Type::TEXT)],
        )
        .await
        .context("reading documents of messages")?;
    for row in &rows {
        let mismatch = match (row.try_get(1)?, row.try_get(2)?) {
            (true, false) => Some(Mismatch::Missing),
            (false, true) => Some(Mismatch::Excess),
            (true, true) => (!row.try_get::<_, bool>(3)?).then_some(Mismatch::Stale),
            (false, false) => None,
        };
        derived.add(row.try_get(0)?, mismatch);
    }
    Ok(())
}

/// Checks that each virtual address that a message was sent to is recorded. Only completely read messages were searched with these settings.
async fn addresses(tx: &Transaction<'_>, stream: &Stream, pattern: &Pattern, derived: &mut Derived) -> anyhow::Result<()> {
    let known = tx
        .query_typed("SELECT message_id, address FROM gmail_detections WHERE stream_id = $1", &[(&stream.id, Type::INT8)])
        .await
        .context("reading virtual addresses")?;
    let known: BTreeSet<(&str, &str)> =
        known.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<anyhow::Result<_>>()?;
    let rows = tx
        .query_typed(
            "SELECT message_id, headers FROM gmail_messages WHERE stream_id = $1 AND deleted_at IS NULL AND attachments IS NOT NULL
               AND position($2 IN lower(headers::text)) > 0",
            &[(&stream.id, Type::INT8), (&pattern.beginning(), Type::TEXT)],
        )
        .await
        .context("reading messages with content")?;
    for row in &rows {
        let id: &str = row.try_get(0)?;
        let mail = mail::of_headers(&headers(row.try_get(1)?)?);
        let (addresses, _) = detect::addresses(&mail.recipients, pattern);
        if addresses.keys().any(|address| !known.contains(&(id, address.as_str()))) {
            derived.add(id, Some(Mismatch::Missing));
        }
    }
    Ok(())
}

fn headers(stored: Value) -> anyhow::Result<Vec<(String, String)>> {
    serde_json::from_value(stored).context("reading stored headers")
}

/// Rebuilds documents from the stored messages.
pub async fn made(tx: &Transaction<'_>, stream: &Stream, pattern: &Pattern, differences: &Differences) -> anyhow::Result<()> {
    let ids = wrong(differences);
    if ids.is_empty() {
        return Ok(());
    }
    // A document is rewritten if its hash differs: without a hash it always is.
    tx.execute_typed(
        "UPDATE documents SET content_hash = '', changed_xid = DEFAULT
         WHERE source = $1 AND source_id IN (SELECT $2::text || '/' || id FROM unnest($3::text[]) AS id)",
        &[(&detect::SOURCE, Type::TEXT), (&stream.user_id.to_string(), Type::TEXT), (&ids, Type::TEXT_ARRAY)],
    )
    .await
    .context("invalidating documents of messages")?;
    let rows = tx
        .query_typed(
            "SELECT m.message_id, m.thread_id, m.received_at, m.snippet, m.headers, m.body, m.attachments, m.note,
               (SELECT d.kind FROM gmail_detections d WHERE d.stream_id = m.stream_id AND d.message_id = m.message_id LIMIT 1)
             FROM gmail_messages m WHERE m.stream_id = $1 AND m.message_id = ANY ($2) AND m.deleted_at IS NULL",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading messages to rebuild their documents")?;
    let messages: HashMap<String, Message> =
        rows.iter().map(|row| Ok((row.try_get(0)?, message(row)?))).collect::<anyhow::Result<_>>()?;
    let living: Vec<(&str, &Message)> = messages.iter().map(|(id, message)| (id.as_str(), message)).collect();
    detect::for_messages(tx, pattern, stream, &living, detect::Announce::NewDocuments).await?;
    let gone: Vec<&str> = ids.into_iter().filter(|id| !messages.contains_key(*id)).collect();
    detect::retire(tx, stream, &gone).await
}

fn message(row: &Row) -> anyhow::Result<Message> {
    let headers = headers(row.try_get(4)?)?;
    let attachments =
        row.try_get::<_, Option<Value>>(6)?.map(serde_json::from_value).transpose().context("reading attachments")?;
    let kind = row.try_get::<_, Option<&str>>(8)?.and_then(Kind::from_name).unwrap_or_default();
    let (text, note) = (row.try_get(5)?, row.try_get(7)?);
    Ok(Message {
        thread_id: row.try_get(1)?,
        history_id: None,
        labels: Vec::new(),
        received_at: row.try_get(2)?,
        snippet: row.try_get(3)?,
        size: None,
        mail: Mail { text, attachments: attachments.unwrap_or_default(), kind, note, ..mail::of_headers(&headers) },
        headers,
        is_complete: true,
        html: None,
        files: Vec::new(),
        held: None,
    })
}
