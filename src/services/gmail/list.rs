//! The answer of `messages.list`: ids only.

use serde::Deserialize;

/// Quota units of a page.
pub const LIST_COST: u64 = 5;
/// The fields of a page that syncctl reads.
pub const LIST_FIELDS: &str = "messages(id),nextPageToken";

/// A message.
#[derive(Deserialize)]
pub struct Id {
    pub id: String,
}

/// A page.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed {
    #[serde(default)]
    pub messages: Vec<Id>,
    pub next_page_token: Option<String>,
}
