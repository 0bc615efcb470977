//! Virtual addresses: which addresses name a user of ours. Knows no message, no event and no database.

use std::collections::BTreeSet;

use crate::error::Fault;

/// What a virtual address looks like, such as `ai+{username}@{domain}`. It is matched whole and whatever its case, never by a part.
#[derive(Debug, Clone)]
pub struct Pattern {
    before: String,
    after: String,
    domains: BTreeSet<String>,
}

const USERNAME: &str = "{username}";
const DOMAIN: &str = "{domain}";

impl Pattern {
    /// `domains`: what `{domain}` may be.
    ///
    /// # Errors
    /// A template without one `{username}` before one `@` (exit 78).
    pub fn new(template: &str, domains: impl IntoIterator<Item = String>) -> Result<Self, Fault> {
        let wrong = || {
            Fault::settings(format!(
                "gmail.virtual_address must be such as ai+{{username}}@{{domain}}, with one {{username}} before the @; it is {template:?}"
            ))
        };
        let (local, domain) = template.split_once('@').ok_or_else(wrong)?;
        let (before, after) = local.split_once(USERNAME).ok_or_else(wrong)?;
        let is_plain = |text: &str| !text.contains(['{', '}', '@']);
        let domains = match domain {
            DOMAIN => domains.into_iter().map(|domain| domain.to_lowercase()).collect(),
            domain if is_plain(domain) && !domain.is_empty() => BTreeSet::from([domain.to_lowercase()]),
            _ => return Err(wrong()),
        };
        match is_plain(before) && is_plain(after) {
            true => Ok(Self { before: before.to_lowercase(), after: after.to_lowercase(), domains }),
            false => Err(wrong()),
        }
    }

    /// How every address of the pattern begins, in lower case.
    pub fn beginning(&self) -> &str {
        &self.before
    }

    /// The username, in lower case, that an address names.
    pub fn username(&self, address: &str) -> Option<String> {
        let address = address.to_lowercase();
        let (local, domain) = address.rsplit_once('@')?;
        // A local part with characters of its own comes in quotes.
        let local = local.strip_prefix('"').and_then(|local| local.strip_suffix('"')).unwrap_or(local);
        let username = local.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        (self.domains.contains(domain) && !username.is_empty()).then(|| username.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern() -> Pattern {
        Pattern::new("ai+{username}@{domain}", ["example.com".to_owned()]).expect("a pattern")
    }

    #[test]
    fn an_address_is_matched_whole_and_whatever_its_case() {
        let named = |address: &str| pattern().username(address);
        assert_eq!(named("ai+bob@example.com").as_deref(), Some("bob"));
        assert_eq!(named("AI+Bob@Example.COM").as_deref(), Some("bob"));
        for other in [
            "bob@example.com",
            "ai+@example.com",
            "xai+bob@example.com",
            "ai+bob@example.com.evil.org",
            "ai+bob@evil-example.com",
            "ai+bob",
            "ai+bob@",
            "",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
        // Odd ones are names like others: it is for the database to say that nobody has them.
        assert_eq!(named("ai+%@example.com").as_deref(), Some("%"));
        assert_eq!(named("\"ai+x\"y\"@example.com").as_deref(), Some("x\"y"));
        assert_eq!(named("ai+bob@x@example.com").as_deref(), Some("bob@x"));
    }

    #[test]
    fn a_template_without_one_username_is_refused() {
        for template in [
            "ai@{domain}",
            "{username}",
            "ai+{username}",
            "ai+{username}{username}@x",
            "a@{username}@{domain}",
            "{username}@{dom}",
        ] {
            assert!(Pattern::new(template, []).is_err(), "{template}");
        }
        let fixed = Pattern::new("{username}.ai@mail.example.org", []).expect("a pattern");
        assert_eq!(fixed.username("eve.ai@mail.example.org").as_deref(), Some("eve"));
    }

    proptest! {
        #[test]
        fn what_is_put_into_the_template_comes_out(name in "[a-z0-9._%'\"-]{1,20}") {
            prop_assert_eq!(pattern().username(&format!("ai+{name}@example.com")), Some(name));
        }
    }
}
