//! One page of a list, whatever its method calls the items and the token for the next time. Pure.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Failure;
use crate::http;

/// A page as `…list` methods answer it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct List<'a> {
    /// Untouched, in the order of the answer.
    #[serde(borrow, default, alias = "changes", alias = "files", alias = "drives")]
    pub items: Vec<&'a RawValue>,
    /// There is another page.
    pub next_page_token: Option<String>,
    /// Where the next pass begins; on the last page only, and only of methods that can be followed.
    #[serde(alias = "newStartPageToken")]
    pub next_sync_token: Option<String>,
}

impl<'a> List<'a> {
    /// Reads the answer of the method `what`.
    ///
    /// # Errors
    /// As `http::whole`.
    pub fn read(what: &str, body: &'a [u8]) -> Result<Self, Failure> {
        http::parse_json(what, body)
    }
}
