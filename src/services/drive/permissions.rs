//! Permissions of files: decodes them, and computes what has changed. Pure.

pub mod announce;
pub mod store;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::state::PermissionsKnown;

/// The requested fields of a permission, for the `fields` parameter.
pub const FIELDS: &str = "id,type,role,emailAddress,domain,displayName,allowFileDiscovery,expirationTime,deleted,pendingOwner,permissionDetails(inherited)";
/// Maximum number of permissions stored of a file. Google allows fewer.
const MAX: usize = 1_000;

/// Who may do what with a file (`Permission` of the Drive API; table `drive_permissions`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all(deserialize = "camelCase"), default)]
pub struct Permission {
    /// The same for a grantee in all files.
    #[serde(rename(serialize = "permission_id"))]
    pub id: String,
    /// user, group, domain or anyone. `None`, like all others: only the id is known.
    #[serde(rename = "type")]
    pub grantee: Option<String>,
    /// owner, organizer, fileOrganizer, writer, commenter or reader.
    pub role: Option<String>,
    /// Of a user or a group, in lower case.
    #[serde(rename(deserialize = "emailAddress"), deserialize_with = "lower_case")]
    pub email: Option<String>,
    /// Of a domain, in lower case.
    #[serde(deserialize_with = "lower_case")]
    pub domain: Option<String>,
    pub display_name: Option<String>,
    /// Of a domain or of anyone: the file is found by search, not only by its link.
    pub allow_file_discovery: Option<bool>,
    #[serde(rename(deserialize = "expirationTime"))]
    pub expires_at: Option<DateTime<Utc>>,
    /// The account no longer exists.
    pub deleted: bool,
    pub pending_owner: bool,
    /// Only inherited from a folder, and not given directly as well.
    #[serde(rename(deserialize = "permissionDetails"), deserialize_with = "inherited")]
    pub inherited: Option<bool>,
}

fn lower_case<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<String>::deserialize(from)?.map(|text| text.to_lowercase()))
}

fn inherited<'de, D: Deserializer<'de>>(from: D) -> Result<Option<bool>, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Detail {
        inherited: bool,
    }
    let details = Option::<Vec<Detail>>::deserialize(from)?.unwrap_or_default();
    Ok((!details.is_empty()).then(|| details.iter().all(|detail| detail.inherited)))
}

/// The permissions of a file, as far as Google shows them to one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    pub known: PermissionsKnown,
    /// In the order of their ids, each once.
    pub list: Vec<Permission>,
}

impl Permissions {
    /// The permissions and ids in an answer. Google lists permissions to users who may share the file, except for items of shared drives, of which it
    /// only gives ids. A list is never empty, because it includes the owner.
    pub fn of(full: &[Permission], ids: &[String]) -> Self {
        let id_only = |id: &String| Permission { id: id.clone(), ..Permission::default() };
        let (mut known, list) = match (full, ids) {
            ([], []) => (PermissionsKnown::None, Vec::new()),
            ([], ids) => (PermissionsKnown::Ids, ids.iter().map(id_only).collect()),
            (full, _) => (PermissionsKnown::All, full.to_vec()),
        };
        let by_id: BTreeMap<String, Permission> = list.into_iter().map(|one| (one.id.clone(), one)).collect();
        if by_id.len() > MAX {
            known = PermissionsKnown::Some;
        }
        Self { known, list: by_id.into_values().take(MAX).collect() }
    }

    /// Whether a difference to another state is a change, and not only a difference in what Google shows.
    fn is_comparable(&self) -> bool {
        matches!(self.known, PermissionsKnown::All | PermissionsKnown::Ids)
    }
}

/// What has changed in the permissions of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Differences {
    pub added: Vec<Permission>,
    pub removed: Vec<Permission>,
    /// Before and after.
    pub changed: Vec<(Permission, Permission)>,
}

impl Differences {
    /// Compares the stored rows with those of an answer, both by id.
    fn of(before: &[Permission], after: &[Permission]) -> Self {
        let mut old: BTreeMap<&str, &Permission> = before.iter().map(|one| (one.id.as_str(), one)).collect();
        let mut differences = Self::default();
        for now in after {
            match old.remove(now.id.as_str()) {
                None => differences.added.push(now.clone()),
                Some(was) if was != now => differences.changed.push((was.clone(), now.clone())),
                Some(_) => {}
            }
        }
        differences.removed.extend(old.into_values().cloned());
        differences
    }

    /// Whether nothing has changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// A file whose permissions have changed, in the order of a page's files.
#[derive(Debug, PartialEq, Eq)]
pub struct PermissionChange {
    pub file_id: String,
    pub differences: Differences,
}

impl PermissionChange {
    /// What has changed for a user, if anything. Permissions that were unknown before, or are now, have not changed.
    fn of(file_id: &str, before: Option<PermissionsKnown>, now: &Permissions, differences: Differences) -> Option<Self> {
        let is_change = now.is_comparable() && before == Some(now.known) && !differences.is_empty();
        is_change.then(|| Self { file_id: file_id.to_owned(), differences })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(full: &str, ids: &[&str]) -> Permissions {
        let full: Vec<Permission> = serde_json::from_str(full).expect("permissions");
        Permissions::of(&full, &ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
    }

    fn permission(id: &str, role: &str) -> Permission {
        Permission { id: id.into(), role: Some(role.into()), ..Permission::default() }
    }

    #[test]
    fn permissions_are_known_as_far_as_google_shows_them() {
        let json = r#"[{"id":"b","type":"user","role":"writer","emailAddress":"Ann@Example.com","deleted":false,
            "permissionDetails":[{"permissionType":"file","role":"reader","inherited":true},{"role":"writer","inherited":false}]},
            {"id":"a","type":"anyone","role":"reader","allowFileDiscovery":false,"permissionDetails":[{"inherited":true}]}]"#;
        let all = of(json, &["a", "b"]);
        assert_eq!(all.known, PermissionsKnown::All);
        let [link, ann] = &all.list[..] else { panic!("{all:?}") };
        assert_eq!((link.id.as_str(), link.inherited, link.allow_file_discovery), ("a", Some(true), Some(false)));
        assert_eq!((ann.email.as_deref(), ann.inherited), (Some("ann@example.com"), Some(false)));
        let ids = of("[]", &["b", "a", "b"]);
        assert_eq!(ids.known, PermissionsKnown::Ids);
        assert_eq!(ids.list.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(of("[]", &[]), Permissions { known: PermissionsKnown::None, list: vec![] });
    }

    #[test]
    fn a_file_with_too_many_permissions_is_known_in_part() {
        let list: Vec<Permission> = (0..=MAX).map(|number| permission(&number.to_string(), "reader")).collect();
        let some = Permissions::of(&list, &[]);
        assert_eq!((some.known, some.list.len()), (PermissionsKnown::Some, MAX));
    }

    #[test]
    fn what_is_added_removed_and_changed_is_listed_once_each() {
        let before = [permission("a", "reader"), permission("b", "reader"), permission("c", "reader")];
        let after = [permission("b", "writer"), permission("c", "reader"), permission("d", "reader")];
        let expected = Differences {
            added: vec![permission("d", "reader")],
            removed: vec![permission("a", "reader")],
            changed: vec![(permission("b", "reader"), permission("b", "writer"))],
        };
        assert_eq!(Differences::of(&before, &after), expected);
        assert!(Differences::of(&after, &after).is_empty());
    }

    #[test]
    fn what_google_shows_for_the_first_time_or_no_longer_has_not_changed() {
        use PermissionsKnown::{All, Ids, None as Hidden, Some as InPart};
        let change = |before, known| {
            let now = Permissions { known, list: vec![permission("a", "reader")] };
            PermissionChange::of("f", before, &now, Differences::of(&[], &now.list)).is_some()
        };
        assert!(change(Some(All), All) && change(Some(Ids), Ids));
        for (before, known) in [(None, All), (Some(Ids), All), (Some(All), Ids), (Some(Hidden), All), (Some(InPart), InPart)] {
            assert!(!change(before, known), "{before:?} {known:?}");
        }
    }
}
