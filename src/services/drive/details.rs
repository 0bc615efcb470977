//! What is compared of a file besides its name, place and content: description, sharing, permissions. Pure.
//!
//! Not the addresses of its owners, which Google may show to one user and not to another: `owned_by_me` and the permissions say who owns it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use deadpool_postgres::tokio_postgres::{Error, Row};

use super::file::File;
use super::permissions::{Permission, Permissions};
use crate::state::PermissionsKnown;

/// Maximum number of characters stored of a description, as in `sql/upsert_files.sql`.
const MAX_DESCRIPTION: usize = 4_000;

/// The same from both sides, if what is stored is what Google shows.
#[derive(Debug, Hash)]
pub struct Details {
    description: Option<String>,
    shared: Option<bool>,
    target: Option<String>,
    owned_by_me: Option<bool>,
    starred: Option<bool>,
    /// How much of the permissions is known.
    known: &'static str,
    /// Empty if only their ids are known: those of a shared drive's members change, and no feed names its files then.
    permissions: Vec<Permission>,
}

impl Details {
    /// As Google shows them.
    pub fn of(file: &File) -> Self {
        Self {
            description: file.description.as_ref().map(|text| text.chars().take(MAX_DESCRIPTION).collect()),
            shared: file.shared,
            target: file.shortcut_details.as_ref().and_then(|shortcut| shortcut.target_id.clone()),
            owned_by_me: file.owned_by_me,
            starred: file.starred,
            ..Self::with(file.shown_permissions())
        }
    }

    fn with(Permissions { known, list }: Permissions) -> Self {
        let permissions = if known == PermissionsKnown::Ids { Vec::new() } else { list };
        Self {
            description: None,
            shared: None,
            target: None,
            owned_by_me: None,
            starred: None,
            known: known.as_str(),
            permissions,
        }
    }

    /// As stored: description, shared, shortcut target, owned by the user, starred and known permissions, in these columns from `at` on. `None`: they have
    /// not been read yet.
    pub fn stored(row: &Row, at: usize, list: Vec<Permission>) -> Result<Option<Self>, Error> {
        let Some(known) = row.try_get::<_, Option<PermissionsKnown>>(at + 5)? else { return Ok(None) };
        Ok(Some(Self {
            description: row.try_get(at)?,
            shared: row.try_get(at + 1)?,
            target: row.try_get(at + 2)?,
            owned_by_me: row.try_get(at + 3)?,
            starred: row.try_get(at + 4)?,
            ..Self::with(Permissions { known, list })
        }))
    }

    /// A short form, the same within a process for the same details.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_detail_counts_and_what_is_not_stored_does_not() {
        let file = |json: &str| Details::of(&serde_json::from_str(json).expect("a file")).digest();
        let base = file("{}");
        for json in [
            r#"{"description":"x"}"#,
            r#"{"shared":false}"#,
            r#"{"shortcutDetails":{"targetId":"a"}}"#,
            r#"{"ownedByMe":true}"#,
            r#"{"starred":true}"#,
            r#"{"permissionIds":["a"]}"#,
            r#"{"permissions":[{"id":"a","role":"writer"}]}"#,
        ] {
            assert_ne!(file(json), base, "{json}");
        }
        assert_eq!(file(r#"{"owners":[{"emailAddress":"a@example.com"}],"webViewLink":"x"}"#), base);
        let described = |length: usize| file(&serde_json::json!({ "description": "x".repeat(length) }).to_string());
        assert_eq!(described(MAX_DESCRIPTION), described(MAX_DESCRIPTION + 1));
    }
}
