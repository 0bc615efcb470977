//! Gmail settings.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::attachments::Forms;
use super::{Attachments, HOUR, MINUTE};

/// Gmail.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gmail {
    /// Whether to sync this service and request its OAuth scope.
    pub enabled: bool,
    /// How far the first pass reaches into the past, such as `7d`. `all`: the whole mailbox.
    #[serde(with = "window")]
    #[schemars(with = "String")]
    pub window: Option<Duration>,
    /// Messages or history records per page, 1 to 500.
    pub page_size: u32,
    /// Messages whose text and attachments are stored: `detected` (those sent to a virtual address) or `all`.
    pub store: MailStore,
    /// Size in bytes above which messages are stored without text and attachments.
    pub whole_max_size: u64,
    /// Attachments whose contents are stored, of messages that are fetched in full: `none`, `all`, or a list of patterns such as `["*.pdf", "image/*"]`,
    /// regardless of case. A pattern with a slash is compared with the MIME type, another one with the file name.
    #[schemars(with = "Forms")]
    pub attachments: Attachments,
    /// Size in bytes above which the contents of an attachment are not stored.
    pub attachment_max_size: u64,
    /// Whether to store the HTML of messages that are fetched in full, besides their text. At most 1 MiB of a message.
    pub html: bool,
    /// Pattern of virtual addresses.
    pub virtual_address: String,
    /// Allowed values of `{domain}`. Empty: the domains of the users' addresses. A virtual address names only users of its domain. `attendee` treats people
    /// of these domains and of the users' domains as internal.
    pub domains: Vec<String>,
    /// Minimum interval between polls of a mailbox.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub min_interval: Duration,
    /// Maximum interval between polls of a mailbox.
    #[serde(with = "super::duration")]
    #[schemars(with = "String")]
    pub max_interval: Duration,
}

/// Messages whose text and attachments are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MailStore {
    Detected,
    All,
}

impl Default for Gmail {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Some(Duration::from_secs(7 * 24 * HOUR)),
            page_size: 200,
            store: MailStore::Detected,
            whole_max_size: 16 << 20,
            attachments: Attachments::none(),
            attachment_max_size: 10 << 20,
            html: false,
            virtual_address: "ai+{username}@{domain}".into(),
            domains: Vec::new(),
            min_interval: Duration::from_secs(MINUTE),
            max_interval: Duration::from_secs(HOUR / 2),
        }
    }
}

impl Gmail {
    /// Bounds beyond the types: whether each holds, its key, and the allowed values.
    pub(super) fn bounds(&self) -> [(bool, &'static str, &'static str); 4] {
        [
            ((1..=500).contains(&self.page_size), "gmail.page_size", "1 to 500"),
            (self.window.is_none_or(|window| !window.is_zero()), "gmail.window", "more than 0s, or all"),
            (self.attachments.is_valid(), "gmail.attachments", "none, all, or up to 100 patterns of 1 to 200 bytes"),
            (self.min_interval <= self.max_interval, "gmail.min_interval", "at most gmail.max_interval"),
        ]
    }
}

/// A duration, or `all`.
mod window {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(window: &Option<Duration>, to: S) -> Result<S::Ok, S::Error> {
        match window {
            Some(window) => super::super::duration::serialize(window, to),
            None => to.serialize_str("all"),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(from)?;
        match text.as_str() {
            "all" => Ok(None),
            text => super::super::duration::parse(text)
                .map(Some)
                .map_err(|why| D::Error::custom(format!("neither all nor a duration: {why}"))),
        }
    }
}
