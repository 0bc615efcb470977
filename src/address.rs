//! Virtual addresses, which name users. Independent of messages, events and the database.

use std::collections::BTreeSet;

use crate::error::Fault;

/// The form of virtual addresses, such as `ai+{username}@{domain}`. Matches complete addresses only, ignoring case.
#[derive(Debug, Clone)]
pub struct Pattern {
    before: String,
    after: String,
    domains: BTreeSet<String>,
    /// Whether the template has `{domain}`, the domain of the user's own address.
    is_of_user: bool,
}

/// The user that a virtual address names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name {
    /// In lower case.
    pub username: String,
    /// The domain of this user's own address, in lower case; `None`: any, because the template has a fixed domain.
    pub domain: Option<String>,
}

/// Domains where anyone can get an address: users who share one are not colleagues.
const OPEN: [&str; 2] = ["gmail.com", "googlemail.com"];

/// The internal domains, in lower case: those in the settings, and those of the users' own addresses unless anyone can get an address there.
pub fn inside(configured: &[String], own: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let own = own.into_iter().filter(|domain| !OPEN.contains(&domain.to_lowercase().as_str()));
    configured.iter().cloned().chain(own).map(|domain| domain.to_lowercase()).collect()
}

const USERNAME: &str = "{username}";
const DOMAIN: &str = "{domain}";

impl Pattern {
    /// Parses a template. `domains`: the values of `{domain}`.
    ///
    /// # Errors
    /// Returns `Fault::settings` if the template does not have one `{username}` before one `@` (exit code 78).
    pub fn new(template: &str, domains: impl IntoIterator<Item = String>) -> Result<Self, Fault> {
        let wrong = || {
            Fault::settings(format!(
                "gmail.virtual_address must look like ai+{{username}}@{{domain}}, with one {{username}} before the @, but is {template:?}"
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
        if is_plain(before) && is_plain(after) {
            Ok(Self { before: before.to_lowercase(), after: after.to_lowercase(), domains, is_of_user: domain == DOMAIN })
        } else {
            Err(wrong())
        }
    }

    /// The prefix of all matching addresses, in lower case.
    pub fn beginning(&self) -> &str {
        &self.before
    }

    /// The user that an address names.
    pub fn name(&self, address: &str) -> Option<Name> {
        let address = address.to_lowercase();
        let (local, domain) = address.rsplit_once('@')?;
        // A local part with special characters is quoted.
        let local = local.strip_prefix('"').and_then(|local| local.strip_suffix('"')).unwrap_or(local);
        let username = local.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        (self.domains.contains(domain) && !username.is_empty())
            .then(|| Name { username: username.to_owned(), domain: self.is_of_user.then(|| domain.to_owned()) })
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
    fn an_address_is_matched_in_full_and_regardless_of_case() {
        let named = |address: &str| pattern().name(address).map(|name| name.username);
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
        // Odd names are accepted: only the database knows whether a user has them.
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
        let eve = Name { username: "eve".into(), domain: None };
        assert_eq!(fixed.name("eve.ai@mail.example.org"), Some(eve));
    }

    #[test]
    fn an_address_names_a_user_of_its_own_domain() {
        let pattern =
            Pattern::new("ai+{username}@{domain}", ["a.example".to_owned(), "b.example".to_owned()]).expect("a pattern");
        let domain = |address: &str| pattern.name(address).and_then(|name| name.domain);
        assert_eq!(domain("ai+bob@A.example").as_deref(), Some("a.example"));
        assert_eq!(domain("ai+bob@b.example").as_deref(), Some("b.example"));
    }

    #[test]
    fn senders_from_public_domains_are_strangers_unless_the_settings_list_them() {
        let own = || ["Example.com", "gmail.com"].map(str::to_owned);
        assert_eq!(
            inside(&["mail.example.org".into()], own()),
            BTreeSet::from(["example.com".into(), "mail.example.org".into()])
        );
        assert!(inside(&["Gmail.com".into()], own()).contains("gmail.com"));
    }

    proptest! {
        #[test]
        fn expanding_and_matching_a_template_are_inverse(name in "[a-z0-9._%'\"-]{1,20}") {
            let named = pattern().name(&format!("ai+{name}@example.com")).map(|named| named.username);
            prop_assert_eq!(named, Some(name));
        }
    }
}
