//! The search terms of `files.list` that are simulated: `trashed`, `parents`, `mimeType` and `name`, joined by `and`.

use super::file::File;
use super::store::{Store, root};

/// Conditions that a file must all meet.
#[derive(Default)]
pub struct Search(Vec<Term>);

#[derive(Debug, PartialEq)]
enum Term {
    Trashed(bool),
    Parent(String),
    Mime(String, bool),
    Name(String),
}

impl Search {
    /// Parses a query; `None`: malformed, or not simulated. `root` means the user's My Drive.
    pub fn parse(text: &str, user: &str) -> Option<Self> {
        let mut rest = text.trim_start();
        let mut terms = Vec::new();
        loop {
            let (term, tail) = term(rest, user)?;
            terms.push(term);
            rest = tail.trim_start();
            if rest.is_empty() {
                return Some(Self(terms));
            }
            rest = rest.strip_prefix("and")?.strip_prefix(char::is_whitespace)?.trim_start();
        }
    }

    pub fn matches(&self, store: &Store, user: &str, file: &File) -> bool {
        self.0.iter().all(|term| match term {
            Term::Trashed(wanted) => store.trashed(file) == *wanted,
            Term::Parent(wanted) => store.parent(user, file).is_some_and(|parent| **parent == **wanted),
            Term::Mime(wanted, equal) => (file.mime == *wanted) == *equal,
            Term::Name(wanted) => file.name == *wanted,
        })
    }
}

/// The first term, and the remaining text.
fn term<'a>(text: &'a str, user: &str) -> Option<(Term, &'a str)> {
    if text.starts_with('\'') {
        let (id, rest) = quoted(text)?;
        let rest = rest.trim_start().strip_prefix("in")?.strip_prefix(char::is_whitespace)?.trim_start();
        let id = if id == "root" { root(user) } else { id };
        return Some((Term::Parent(id), rest.strip_prefix("parents")?));
    }
    let end = text.find(|c: char| !c.is_ascii_alphabetic())?;
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let (equal, rest) = match rest.strip_prefix("!=") {
        Some(rest) => (false, rest.trim_start()),
        None => (true, rest.strip_prefix('=')?.trim_start()),
    };
    match (name, equal) {
        ("trashed", true) => {
            let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            Some((Term::Trashed(rest[..end].parse().ok()?), &rest[end..]))
        }
        ("mimeType", equal) => quoted(rest).map(|(mime, rest)| (Term::Mime(mime, equal), rest)),
        ("name", true) => quoted(rest).map(|(name, rest)| (Term::Name(name), rest)),
        _ => None,
    }
}

/// A text in single quotes, with `\'` and `\\` in it, and the remaining text.
fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('\'')?;
    let mut value = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' => return Some((value, &inner[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_read_and_what_is_not_simulated_is_refused() {
        let terms = |text| Search::parse(text, "ann@example.com").map(|search| search.0);
        let all = "trashed=false and 'a' in parents and mimeType != 'x/y' and name = 'Bob\\'s and more'";
        let expected = [
            Term::Trashed(false),
            Term::Parent("a".into()),
            Term::Mime("x/y".into(), false),
            Term::Name("Bob's and more".into()),
        ];
        assert_eq!(terms(all), Some(expected.into()));
        for odd in [
            "",
            "trashed",
            "trashed = maybe",
            "name contains 'x'",
            "trashed = true or trashed = false",
            "'a' in owners",
            "name = 'x",
        ] {
            assert_eq!(terms(odd), None, "{odd}");
        }
    }
}
