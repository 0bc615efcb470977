//! Attachments as they are stored besides their description: which of them the settings include, their contents, and the memory that these take until they
//! are stored (tables `gmail_attachments` and `gmail_contents`). No network access.

pub mod compared;
pub mod memory;
pub mod store;
pub mod stored;

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::config::{self, Attachments};
use crate::state::NotStored;

/// What is kept of a message besides its text and the descriptions of its attachments.
#[derive(Debug, Clone, Copy)]
pub struct Kept<'a> {
    pub attachments: &'a Attachments,
    /// Maximum size of a content, in bytes.
    pub max_size: u64,
    pub html: bool,
}

impl<'a> Kept<'a> {
    /// As set.
    pub fn by(settings: &'a config::Gmail) -> Self {
        Self { attachments: &settings.attachments, max_size: settings.attachment_max_size, html: settings.html }
    }

    /// The content of an attachment, or why it is not stored. `is_readable`: whether it could be decoded completely.
    pub fn content(&self, name: Option<&str>, mime_type: &str, bytes: Cow<'_, [u8]>, is_readable: bool) -> Content {
        if !self.attachments.include(name, mime_type) {
            Content::NotStored(NotStored::Excluded)
        } else if !is_readable {
            Content::NotStored(NotStored::Unreadable)
        } else if bytes.len() as u64 > self.max_size {
            Content::NotStored(NotStored::TooLarge)
        } else {
            Content::Bytes(bytes.into_owned())
        }
    }
}

/// What is stored of an attachment besides its description. In JSON it is part of an item, so that a message leaves quarantine with its attachments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Content-ID, without angle brackets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_id: Option<String>,
    /// Whether it is shown within the text.
    pub inline: bool,
    pub content: Content,
}

/// The content of an attachment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Base64 in JSON.
    Bytes(#[serde(with = "base64")] Vec<u8>),
    NotStored(NotStored),
}

impl Content {
    /// Number of bytes that it takes in memory.
    pub fn held(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::NotStored(_) => 0,
        }
    }
}

mod base64 {
    use data_encoding::BASE64;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(from)?.as_bytes()).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_survives_its_json() {
        for content in [
            Content::Bytes(Vec::new()),
            Content::Bytes((0..=255).collect()),
            Content::NotStored(NotStored::TooLarge),
            Content::NotStored(NotStored::Excluded),
        ] {
            let file = File { content_id: Some("logo".into()), inline: true, content };
            let json = serde_json::to_string(&file).expect("JSON");
            assert_eq!(serde_json::from_str::<File>(&json).expect(&json), file);
        }
    }
}
