//! The users of a Workspace domain, page by page (Admin SDK, `directory.users.list`).

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Client, Host, parse_json};
use crate::error::Failure;

/// Sees the users of a domain. Only an administrator's token may carry it.
pub const SCOPE: &str = "https://www.googleapis.com/auth/admin.directory.user.readonly";
/// The most that Google gives on a page.
const PAGE: &str = "500";

/// Which users are asked for.
#[derive(Debug)]
pub struct Wanted {
    /// Of this domain; absent: of all domains of the customer.
    pub domain: Option<String>,
    /// In Google's search language; absent: all.
    pub query: Option<String>,
}

/// A user as the directory knows them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    pub primary_email: String,
    #[serde(default)]
    pub suspended: bool,
    #[serde(default)]
    pub archived: bool,
}

/// One page.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    #[serde(default)]
    pub users: Vec<Person>,
    /// Absent on the last page only: a page may be empty and have one.
    pub next_page_token: Option<String>,
}

/// The clause that asks for an organizational unit and those below it.
pub fn of_unit(path: &str) -> String {
    format!("orgUnitPath='{}'", path.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Asks for the page that the token names, or the first.
///
/// # Errors
/// As `Client::get`.
pub async fn page(client: &Client, token: &SecretString, wanted: &Wanted, page: Option<&str>) -> Result<Page, Failure> {
    let mut url = client.url(Host::Admin, &["admin", "directory", "v1", "users"])?;
    let mut query = url.query_pairs_mut();
    query.append_pair("maxResults", PAGE).append_pair("orderBy", "email");
    query.append_pair("fields", "nextPageToken,users(primaryEmail,suspended,archived)");
    match &wanted.domain {
        Some(domain) => query.append_pair("domain", domain),
        None => query.append_pair("customer", "my_customer"),
    };
    if let Some(text) = &wanted.query {
        query.append_pair("query", text);
    }
    if let Some(page) = page {
        query.append_pair("pageToken", page);
    }
    drop(query);
    let body = client.get("directory.users.list", &token.expose_secret().to_owned(), SCOPE, url).await?;
    parse_json("directory.users.list", &body)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_quote_in_the_name_of_a_unit_does_not_end_it() {
        assert_eq!(super::of_unit("/Sales/Ann's"), r"orgUnitPath='/Sales/Ann\'s'");
    }
}
