//! Reads stored attachments for people. No network access.

use anyhow::Context as _;
use deadpool_postgres::tokio_postgres::types::Type;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::db::Pool;
use crate::nul;
use crate::services::gmail::{MAILBOX, REGISTERED};
use crate::state::NotStored;

/// An attachment of a stored message.
#[derive(Debug, Serialize, Deserialize)]
pub struct Described {
    /// From 1, in the order of the message.
    pub number: u32,
    pub name: Option<String>,
    pub mime_type: String,
    /// Decoded size in bytes.
    pub size: u64,
    pub content_id: Option<String>,
    /// Whether it is shown within the text. `None`: not known, because it was read without `gmail.attachments`.
    pub inline: Option<bool>,
    /// Hash of its content, in hexadecimal digits, if the content is stored.
    pub sha256: Option<String>,
    pub not_stored: Option<NotStored>,
}

/// The content of an attachment, or why it is not stored.
#[derive(Debug)]
pub enum StoredContent {
    Bytes(Vec<u8>),
    NotStored(NotStored),
    /// It should be stored.
    Lost,
}

/// The content of an attachment by its number. `None`: the message has no such attachment, or none of its attachments were to be stored.
///
/// # Errors
/// Returns an error of the database.
pub async fn content(pool: &Pool, user: Uuid, message_id: &str, number: u32) -> anyhow::Result<Option<StoredContent>> {
    let row = pool
        .get()
        .await?
        .query_typed_opt(
            "SELECT a.not_stored, c.content
             FROM streams s JOIN gmail_attachments a ON a.stream_id = s.id LEFT JOIN gmail_contents c ON c.user_id = a.user_id AND c.sha256 = a.sha256
             WHERE s.user_id = $1 AND s.service = $2 AND s.kind = $3 AND a.message_id = $4 AND a.position = $5",
            &[
                (&user, Type::UUID),
                (&REGISTERED.service, Type::TEXT),
                (&MAILBOX, Type::TEXT),
                (&nul::replaced(message_id), Type::TEXT),
                (&i64::from(number), Type::INT8),
            ],
        )
        .await
        .context("reading an attachment")?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(match (row.try_get(0)?, row.try_get(1)?) {
        (_, Some(bytes)) => StoredContent::Bytes(bytes),
        (Some(why), None) => StoredContent::NotStored(why),
        (None, None) => StoredContent::Lost,
    }))
}
