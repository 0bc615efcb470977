//! Attachments in `gmail_attachments`, and their contents in `gmail_contents`. No network access.
//!
//! Only a page writes them, or an item that is applied alone, and both hold the row of the mailbox's stream. Therefore a content that is in use stays until
//! the end of the transaction; `db prune` deletes only those that have been unused for long.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context as _;
use deadpool_postgres::Transaction;
use deadpool_postgres::tokio_postgres::types::Type;
use sha2::{Digest as _, Sha256};

use super::{Content, File};
use crate::engine::{Item, Stream};
use crate::services::gmail::mail::Attachment;
use crate::services::gmail::message::{Change, Message};

const UPSERT: &str = include_str!("../sql/upsert_attachments.sql");
/// Bytes of contents per statement, except that each statement has at least one content: a statement is copied before it is sent.
const MAX_STATEMENT: usize = 8 << 20;

/// A row of `gmail_attachments`.
struct Row<'a> {
    message_id: &'a str,
    position: i32,
    attachment: &'a Attachment,
    file: &'a File,
    sha256: Option<Vec<u8>>,
}

/// Stores the attachments of the messages of a page that were read completely. Contents that are stored stay, even if the settings no longer include them.
pub async fn apply(tx: &Transaction<'_>, stream: &Stream, items: &[Item<Change>]) -> anyhow::Result<()> {
    let read = items.iter().filter_map(|item| match &item.change {
        Change::Message(message) if !message.files.is_empty() => Some((item.id.as_str(), &**message)),
        _ => None,
    });
    let read: HashMap<&str, &Message> = read.collect();
    if read.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = read.keys().copied().collect();
    let known = tx
        .query_typed(
            // An answer older than the deletion of its message is not stored.
            "SELECT m.message_id, ARRAY(SELECT a.sha256 FROM gmail_attachments a WHERE a.stream_id = m.stream_id AND a.message_id = m.message_id)
             FROM gmail_messages m WHERE m.stream_id = $1 AND m.message_id = ANY ($2) AND m.deleted_at IS NULL",
            &[(&stream.id, Type::INT8), (&ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("reading the attachments of messages as stored")?;
    let (mut rows, mut before) = (Vec::new(), Vec::new());
    for row in &known {
        let id: &str = row.try_get(0)?;
        rows.extend(rows_of(id, read[id]));
        before.extend(row.try_get::<_, Vec<Option<&[u8]>>>(1)?);
    }
    let contents: BTreeMap<&[u8], &[u8]> = rows.iter().filter_map(content).collect();
    store_contents(tx, stream, &contents).await?;
    upsert(tx, stream, &rows).await?;
    // Another version may have read a message differently.
    let before: HashSet<&[u8]> = before.into_iter().flatten().filter(|sha256| !contents.contains_key(sha256)).collect();
    release(tx, stream, &Vec::from_iter(before)).await
}

fn rows_of<'a>(message_id: &'a str, message: &'a Message) -> impl Iterator<Item = Row<'a>> {
    let files = message.mail.attachments.iter().zip(&message.files);
    (1..).zip(files).map(move |(position, (attachment, file))| Row {
        message_id,
        position,
        attachment,
        file,
        sha256: match &file.content {
            Content::Bytes(bytes) => Some(Sha256::digest(bytes).to_vec()),
            Content::NotStored(_) => None,
        },
    })
}

/// The content of an attachment, by its hash.
fn content<'a>(row: &'a Row<'_>) -> Option<Hashed<'a>> {
    match (&row.sha256, &row.file.content) {
        (Some(sha256), Content::Bytes(bytes)) => Some((sha256.as_slice(), bytes.as_slice())),
        _ => None,
    }
}

/// Stores contents that are not stored yet, or that are unused and could be deleted.
async fn store_contents(tx: &Transaction<'_>, stream: &Stream, contents: &BTreeMap<&[u8], &[u8]>) -> anyhow::Result<()> {
    if contents.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&[u8]> = contents.keys().copied().collect();
    let known = tx
        .query_typed(
            "SELECT sha256 FROM gmail_contents WHERE user_id = $1 AND sha256 = ANY ($2) AND unused_at IS NULL",
            &[(&stream.user_id, Type::UUID), (&hashes, Type::BYTEA_ARRAY)],
        )
        .await
        .context("reading which contents are stored")?;
    let known: HashSet<&[u8]> = known.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let missing: Vec<Hashed<'_>> =
        contents.iter().map(|(sha256, bytes)| (*sha256, *bytes)).filter(|(sha256, _)| !known.contains(sha256)).collect();
    for statement in statements(&missing) {
        let (hashes, bytes): (Vec<&[u8]>, Vec<&[u8]>) = statement.iter().copied().unzip();
        tx.execute_typed(
            // In the order of the hashes, so that two transactions cannot wait for each other.
            "INSERT INTO gmail_contents AS c (user_id, sha256, size, content)
             SELECT $1, sha256, octet_length(content), content FROM unnest($2::bytea[], $3::bytea[]) AS t (sha256, content) ORDER BY sha256
             ON CONFLICT (user_id, sha256) DO UPDATE SET unused_at = NULL",
            &[(&stream.user_id, Type::UUID), (&hashes, Type::BYTEA_ARRAY), (&bytes, Type::BYTEA_ARRAY)],
        )
        .await
        .context("storing contents of attachments")?;
    }
    Ok(())
}

/// A content with its hash, which comes first.
type Hashed<'a> = (&'a [u8], &'a [u8]);

/// The contents of each statement.
fn statements<'a>(contents: &'a [Hashed<'a>]) -> Vec<&'a [Hashed<'a>]> {
    let mut statements = Vec::new();
    let (mut start, mut size) = (0, 0);
    for (at, (_, bytes)) in contents.iter().enumerate() {
        if at > start && size + bytes.len() > MAX_STATEMENT {
            statements.push(&contents[start..at]);
            (start, size) = (at, 0);
        }
        size += bytes.len();
    }
    statements.extend((start < contents.len()).then(|| &contents[start..]));
    statements
}

async fn upsert(tx: &Transaction<'_>, stream: &Stream, rows: &[Row<'_>]) -> anyhow::Result<()> {
    fn column<'a, 'r, T>(rows: &'a [Row<'r>], read: impl Fn(&'a Row<'r>) -> T) -> Vec<T> {
        rows.iter().map(read).collect()
    }
    let not_stored = |row: &Row<'_>| match row.file.content {
        Content::NotStored(why) => Some(why),
        Content::Bytes(_) => None,
    };
    tx.execute_typed(
        UPSERT,
        &[
            (&stream.id, Type::INT8),
            (&stream.user_id, Type::UUID),
            (&column(rows, |row| row.message_id), Type::TEXT_ARRAY),
            (&column(rows, |row| row.position), Type::INT4_ARRAY),
            (&column(rows, |row| row.attachment.name.as_deref()), Type::TEXT_ARRAY),
            (&column(rows, |row| row.attachment.mime_type.as_str()), Type::TEXT_ARRAY),
            (&column(rows, |row| row.attachment.size as i64), Type::INT8_ARRAY),
            (&column(rows, |row| row.file.content_id.as_deref()), Type::TEXT_ARRAY),
            (&column(rows, |row| row.file.inline), Type::BOOL_ARRAY),
            (&column(rows, |row| row.sha256.as_deref()), Type::BYTEA_ARRAY),
            (&column(rows, not_stored), Type::TEXT_ARRAY),
        ],
    )
    .await
    .context("storing attachments")?;
    Ok(())
}

/// Marks the attachments of deleted messages as deleted, and their contents as unused if no other message has them.
pub async fn retire(tx: &Transaction<'_>, stream: &Stream, message_ids: &[&str]) -> anyhow::Result<()> {
    if message_ids.is_empty() {
        return Ok(());
    }
    let retired = tx
        .query_typed(
            "UPDATE gmail_attachments SET deleted_at = now() WHERE stream_id = $1 AND message_id = ANY ($2) AND deleted_at IS NULL RETURNING sha256",
            &[(&stream.id, Type::INT8), (&message_ids, Type::TEXT_ARRAY)],
        )
        .await
        .context("marking the attachments of deleted messages")?;
    let hashes: HashSet<Option<&[u8]>> = retired.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    release(tx, stream, &Vec::from_iter(hashes.into_iter().flatten())).await
}

/// Marks contents as unused that no attachment of an existing message has.
async fn release(tx: &Transaction<'_>, stream: &Stream, hashes: &[&[u8]]) -> anyhow::Result<()> {
    if hashes.is_empty() {
        return Ok(());
    }
    tx.execute_typed(
        // Not a join: without statistics, the planner would read the whole table.
        "UPDATE gmail_contents c SET unused_at = now() WHERE c.user_id = $1 AND c.sha256 = ANY ($2) AND c.unused_at IS NULL
           AND (SELECT true FROM gmail_attachments a WHERE a.user_id = $1 AND a.sha256 = c.sha256 AND a.deleted_at IS NULL LIMIT 1) IS NULL",
        &[(&stream.user_id, Type::UUID), (&hashes, Type::BYTEA_ARRAY)],
    )
    .await
    .context("marking unused contents of attachments")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_are_sent_in_statements_of_limited_size() {
        let (large, half) = (vec![1; MAX_STATEMENT + 1], vec![2; MAX_STATEMENT / 2]);
        let contents: Vec<(&[u8], &[u8])> = [(b"a", &half), (b"b", &half), (b"c", &half), (b"d", &large), (b"e", &half)]
            .map(|(hash, bytes)| (&hash[..], &bytes[..]))
            .into();
        let sent: Vec<Vec<&[u8]>> = statements(&contents).iter().map(|all| all.iter().map(|(hash, _)| *hash).collect()).collect();
        assert_eq!(sent, [vec![&b"a"[..], b"b"], vec![&b"c"[..]], vec![&b"d"[..]], vec![&b"e"[..]]]);
        assert!(statements(&[]).is_empty());
    }
}
