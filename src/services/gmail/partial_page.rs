//! A partially read page: the page token contains the remaining messages and the position after them. Messages already read are thus kept if
//! Google refuses the rest or the run is killed, and nothing is listed twice. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::engine::{Next, Position};
use crate::error::{Class, Failure};

/// The rest of a page.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// The ids of the messages that were not read.
    pub rest: Vec<String>,
    /// Sizes in bytes of those whose attachments had to wait for memory.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sizes: BTreeMap<String, u64>,
    /// The position after the page.
    pub next: Next,
}

impl Rest {
    /// Parses the page token of a position. `None`: there is none, or it is Gmail's own.
    pub fn of(at: &Position) -> Result<Option<Self>, Failure> {
        // Gmail's tokens are digits or base64.
        let token = at.page_token.as_deref().filter(|token| token.starts_with('{'));
        let malformed = |error| Failure::new(Class::PageExpired, format!("the rest of a page is malformed: {error}"));
        token.map(|token| serde_json::from_str(token).map_err(malformed)).transpose()
    }

    /// The next position: this rest, or the position after the page if nothing is left.
    pub fn next(self) -> Result<Next, Failure> {
        if self.rest.is_empty() {
            return Ok(self.next);
        }
        let token = serde_json::to_string(&self).map_err(anyhow::Error::from)?;
        Ok(Next::Page(token))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remaining_ids_survive_in_the_page_token() {
        let sizes = BTreeMap::from([("b".into(), 7)]);
        let rest = || Rest { rest: vec!["a".into(), "b".into()], sizes: sizes.clone(), next: Next::Cursor("7".into()) };
        let Next::Page(token) = rest().next().expect("a token") else { panic!("messages are left") };
        let at = |token: &str| Position { page_token: Some(token.into()), ..Position::default() };
        assert_eq!(Rest::of(&at(&token)).expect("a rest"), Some(rest()));
        assert_eq!(Rest { rest: Vec::new(), ..rest() }.next().expect("what follows"), Next::Cursor("7".into()));
        let known = Rest::of(&at(r#"{"rest":["a"],"next":{"cursor":"7"}}"#)).expect("a rest of an earlier version");
        assert!(known.is_some_and(|known| known.sizes.is_empty()));
        assert_eq!(Rest::of(&at("0123")).expect("Gmail's token"), None);
        assert_eq!(Rest::of(&at("{")).expect_err("malformed").class, Class::PageExpired);
    }
}
