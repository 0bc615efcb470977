//! A page of which a part was read: the page token names the messages that are left, and what follows them. So what was read is kept, whether Google
//! refused the rest or the run was killed, and nothing is listed twice. Pure.

use serde::{Deserialize, Serialize};

use crate::engine::{Next, Position};
use crate::error::{Class, Failure};

/// What is left of a page.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// Messages that were not read, by their ids.
    pub rest: Vec<String>,
    /// What follows the page.
    pub next: Next,
}

impl Rest {
    /// What a position names; `None`: its page token, if it has one, is Gmail's own.
    pub fn of(at: &Position) -> Result<Option<Self>, Failure> {
        // Gmail's are digits or base64.
        let token = at.page_token.as_deref().filter(|token| token.starts_with('{'));
        let malformed = |error| Failure::new(Class::PageExpired, format!("the rest of a page is malformed: {error}"));
        token.map(|token| serde_json::from_str(token).map_err(malformed)).transpose()
    }

    /// What follows a page of which so much is left.
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
    fn what_is_left_comes_back_from_the_token_and_ends_with_what_follows() {
        let rest = || Rest { rest: vec!["a".into(), "b".into()], next: Next::Cursor("7".into()) };
        let Next::Page(token) = rest().next().expect("a token") else { panic!("messages are left") };
        let at = |token: &str| Position { page_token: Some(token.into()), ..Position::default() };
        assert_eq!(Rest::of(&at(&token)).expect("a rest"), Some(rest()));
        assert_eq!(Rest { rest: Vec::new(), ..rest() }.next().expect("what follows"), Next::Cursor("7".into()));
        assert_eq!(Rest::of(&at("0123")).expect("Gmail's token"), None);
        assert_eq!(Rest::of(&at("{")).expect_err("malformed").class, Class::PageExpired);
    }
}
