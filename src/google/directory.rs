//! The users of a Workspace domain, page by page (Admin SDK, `directory.users.list`).

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::{Client, Host, parse_json};
use crate::error::Failure;

/// Lists the users of a domain. Only an administrator's token can have this scope.
pub const SCOPE: &str = "https://www.googleapis.com/auth/admin.directory.user.readonly";
/// Google's maximum page size.
const PAGE: &str = "500";

/// Selects users.
#[derive(Debug)]
pub struct UserFilter {
    /// Users of this domain; `None`: of all domains of the customer.
    pub domain: Option<String>,
    /// In Google's search syntax; `None`: all.
    pub query: Option<String>,
}

/// A user in the directory.
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
    /// Absent only on the last page: a page may be empty and still have one.
    pub next_page_token: Option<String>,
}

/// The search clause for an organizational unit and those below it.
pub fn of_unit(path: &str) -> String {
    format!("orgUnitPath='{}'", path.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Fetches the page that the token names, or the first one.
///
/// # Errors
/// Same as `Client::get`.
pub async fn page(client: &Client, token: &SecretString, filter: &UserFilter, page: Option<&str>) -> Result<Page, Failure> {
    let mut url = client.url(Host::Admin, &["admin", "directory", "v1", "users"])?;
    let mut query = url.query_pairs_mut();
    query.append_pair("maxResults", PAGE).append_pair("orderBy", "email");
    query.append_pair("fields", "nextPageToken,users(primaryEmail,suspended,archived)");
    match &filter.domain {
        Some(domain) => query.append_pair("domain", domain),
        None => query.append_pair("customer", "my_customer"),
    };
    if let Some(text) = &filter.query {
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
    fn quotes_in_unit_names_are_escaped() {
        assert_eq!(super::of_unit("/Sales/Ann's"), r"orgUnitPath='/Sales/Ann\'s'");
    }
}
