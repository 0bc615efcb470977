//! One page of a list, regardless of how its method names the items and the next token. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Failure;
use crate::http;

/// A page as returned by `…list` methods.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List<'a> {
    /// Unparsed, in the order of the response.
    #[serde(borrow, default, alias = "changes", alias = "files", alias = "drives")]
    pub items: Vec<&'a RawValue>,
    /// Set if there is another page.
    pub next_page_token: Option<String>,
    /// Start of the next pass; only on the last page, and only for methods that support incremental listing.
    #[serde(alias = "newStartPageToken")]
    pub next_sync_token: Option<String>,
}

impl<'a> List<'a> {
    /// Parses the response of the method `what`.
    ///
    /// # Errors
    /// Same as `http::parse_json`.
    pub fn read(what: &str, body: &'a [u8]) -> Result<Self, Failure> {
        http::parse_json(what, body)
    }
}
