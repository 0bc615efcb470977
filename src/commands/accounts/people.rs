//! The users for `accounts add-domain`: a list of addresses, or Google's directory, page by page.

use std::collections::{HashMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use secrecy::SecretString;

use super::failed;
use crate::commands::import::is_address;
use crate::db::accounts;
use crate::engine::Context;
use crate::engine::retry::with_backoff;
use crate::error::{Class, Failure, Fault};
use crate::google::directory::{self, UserFilter};
use crate::google::oauth::{self, Credentials};
use crate::google::verdict::GrantHistory;

/// Addresses per page of a list, the same as the directory's page size.
const PAGE: usize = 500;

#[derive(Debug, Args)]
pub(super) struct Source {
    /// File of addresses, one per line, with # before comments; - for standard input
    #[arg(long, value_name = "FILE", required_unless_present = "directory", conflicts_with = "directory")]
    subjects: Option<PathBuf>,
    /// Take the users from the directory (Admin SDK), except suspended and archived ones
    #[arg(long, requires = "admin")]
    directory: bool,
    /// Administrator on whose behalf to read the directory; also requires delegation of the scope admin.directory.user.readonly
    #[arg(long, value_name = "ADDRESS", requires = "directory")]
    admin: Option<String>,
    /// Only this domain of the customer (default: all)
    #[arg(long, value_name = "DOMAIN", requires = "directory")]
    domain: Option<String>,
    /// Only this organizational unit and those below it (default: all)
    #[arg(long, value_name = "/PATH", requires = "directory")]
    org_unit: Option<String>,
    /// Only users matching this query, in the directory's search language
    #[arg(long, value_name = "QUERY", requires = "directory")]
    query: Option<String>,
}

/// A source of users.
pub(super) enum People {
    List { pages: VecDeque<Vec<String>>, bad: Vec<(usize, String)> },
    Directory(Box<Directory>),
}

/// The directory, and what has been read of it.
pub(super) struct Directory {
    token: SecretString,
    filter: UserFilter,
    /// Whether only some of the domain's users are requested: then a missing user may still exist.
    narrowed: bool,
    /// The token of the next page; `None` after the last page.
    next: Option<Option<String>>,
    active: HashSet<String>,
    left_out: HashMap<String, &'static str>,
}

/// The number of users left out, the lines that are not addresses, and the users who are gone.
pub(super) type Rest = (u64, Vec<(usize, String)>, Vec<(String, &'static str)>);

impl People {
    pub(super) async fn open(context: &Context, source: &Source, credentials: &Credentials) -> anyhow::Result<Self> {
        let Some(admin) = &source.admin else {
            let file = source.subjects.as_deref().context("clap requires a list or a directory")?;
            return listed(file);
        };
        let scopes = [directory::SCOPE];
        let ask = || oauth::refresh(&context.google, credentials, admin, &scopes, GrantHistory::default());
        let token = with_backoff(&context.settings.engine, ask, |_| {}).await.map_err(|failure| {
            let message = format!("reading the directory as {admin}: {} (its scope: {})", failure.message, directory::SCOPE);
            failed(Failure { message, ..failure })
        })?;
        let unit = source.org_unit.as_deref().map(directory::of_unit);
        let clauses: Vec<String> = unit.into_iter().chain(source.query.clone()).collect();
        Ok(Self::Directory(Box::new(Directory {
            token: token.secret,
            narrowed: !clauses.is_empty(),
            filter: UserFilter { domain: source.domain.clone(), query: (!clauses.is_empty()).then(|| clauses.join(" ")) },
            next: Some(None),
            active: HashSet::new(),
            left_out: HashMap::new(),
        })))
    }

    /// The addresses of the next page, in order; `None` after the last.
    pub(super) async fn next(&mut self, context: &Context) -> anyhow::Result<Option<Vec<String>>> {
        match self {
            Self::List { pages, .. } => Ok(pages.pop_front()),
            Self::Directory(directory) => directory.next(context).await,
        }
    }

    pub(super) async fn end(self, context: &Context, credentials: &Credentials) -> anyhow::Result<Rest> {
        match self {
            Self::List { bad, .. } => Ok((0, bad, Vec::new())),
            Self::Directory(directory) => {
                let gone = directory.gone(&accounts::delegated(&context.pool, &credentials.project()).await?);
                Ok((directory.left_out.len() as u64, Vec::new(), gone))
            }
        }
    }
}

fn listed(file: &Path) -> anyhow::Result<People> {
    let text = if file.as_os_str() == "-" {
        std::io::read_to_string(std::io::stdin()).context("reading addresses from standard input")?
    } else {
        std::fs::read_to_string(file).map_err(|error| Fault::usage(format!("--subjects {}: {error}", file.display())))?
    };
    let (addresses, bad) = addresses(&text);
    Ok(People::List { pages: addresses.chunks(PAGE).map(<[String]>::to_vec).collect(), bad })
}

/// Returns each address once, in order, and the lines that are not addresses.
fn addresses(text: &str) -> (Vec<String>, Vec<(usize, String)>) {
    let (mut seen, mut unique, mut bad) = (HashSet::new(), Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        if !is_address(line) {
            bad.push((number + 1, "not an address: write one per line".into()));
        } else if seen.insert(line.to_lowercase()) {
            unique.push(line.to_owned());
        }
    }
    // Sorted, so that concurrent runs lock their rows in the same order.
    unique.sort_by_key(|address| address.to_lowercase());
    (unique, bad)
}

impl Directory {
    async fn next(&mut self, context: &Context) -> anyhow::Result<Option<Vec<String>>> {
        let Some(at) = self.next.take() else { return Ok(None) };
        let ask = || directory::page(&context.google, &self.token, &self.filter, at.as_deref());
        let page = with_backoff(&context.settings.engine, ask, |_| {}).await.map_err(explain)?;
        // An empty page is not necessarily the last.
        self.next = page.next_page_token.map(Some);
        let mut addresses = Vec::with_capacity(page.users.len());
        for person in page.users {
            let key = person.primary_email.to_lowercase();
            match (person.suspended, person.archived) {
                (true, _) => drop(self.left_out.insert(key, "suspended at Google")),
                (_, true) => drop(self.left_out.insert(key, "archived at Google")),
                (false, false) => {
                    self.active.insert(key);
                    addresses.push(person.primary_email);
                }
            }
        }
        Ok(Some(addresses))
    }

    /// Returns the users in `ours` who are not active in the directory, with the reason.
    fn gone(&self, ours: &[String]) -> Vec<(String, &'static str)> {
        let inside = |key: &str| match &self.filter.domain {
            Some(domain) => key.rsplit_once('@').is_some_and(|(_, own)| own.eq_ignore_ascii_case(domain)),
            None => true,
        };
        let why = |email: &String| {
            let key = email.to_lowercase();
            match self.left_out.get(&key) {
                Some(why) => Some(*why),
                None if self.narrowed || self.active.contains(&key) || !inside(&key) => None,
                None => Some("no longer in the directory"),
            }
        };
        ours.iter().filter_map(|email| Some((email.clone(), why(email)?))).collect()
    }
}

fn explain(failure: Failure) -> anyhow::Error {
    match failure.class {
        Class::Permanent if failure.status == Some(403) => {
            let what = format!("{}: --admin must be an administrator who may read users", failure.message);
            Fault::refused(what).into()
        }
        Class::ApiDisabled => {
            let what = format!("{}: enable the Admin SDK API in the service account's project", failure.message);
            Fault::refused(what).into()
        }
        _ => failed(failure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_allow_comments_and_ignore_duplicates() {
        let (addresses, bad) = addresses("# staff\nben@x.org\n\nann@x.org # lead\nAnn@x.org\nnobody\na b@x.org\n");
        assert_eq!(addresses, ["ann@x.org", "ben@x.org"]);
        assert_eq!(bad.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [6, 7]);
    }

    fn read(narrowed: bool, domain: Option<&str>) -> Directory {
        Directory {
            token: SecretString::default(),
            filter: UserFilter { domain: domain.map(str::to_owned), query: None },
            narrowed,
            next: None,
            active: HashSet::from(["ann@x.org".to_owned()]),
            left_out: HashMap::from([("ben@x.org".to_owned(), "suspended at Google")]),
        }
    }

    #[test]
    fn only_a_complete_listing_shows_who_is_missing() {
        let ours = ["Ann@x.org", "ben@x.org", "cat@x.org", "dan@y.org"].map(str::to_owned);
        let names = |directory: Directory| directory.gone(&ours).into_iter().map(|(email, _)| email).collect::<Vec<_>>();
        assert_eq!(names(read(false, None)), ["ben@x.org", "cat@x.org", "dan@y.org"]);
        assert_eq!(names(read(false, Some("x.org"))), ["ben@x.org", "cat@x.org"]);
        assert_eq!(names(read(true, None)), ["ben@x.org"]);
    }
}
