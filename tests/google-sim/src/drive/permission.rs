//! Permissions: who may do what with a file, given to it directly or inherited from its folder.

use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::file::{File, Home, person};
use super::store::{Store, root};

/// Who gets a permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grantee {
    User(Arc<str>),
    /// Its members are not simulated.
    Group(Arc<str>),
    /// Gives access, but puts the file into no feed.
    Domain(Arc<str>),
    Anyone,
}

/// In ascending order. An owner or a member of a shared drive has no grant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Role {
    #[default]
    Reader,
    Commenter,
    Writer,
}

/// A permission of a file. The higher of its two roles counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub to: Grantee,
    pub direct: Option<Role>,
    pub inherited: Option<Role>,
    /// Of a domain or of anyone: found by search, not only by the link.
    pub discoverable: bool,
    pub expires: Option<DateTime<Utc>>,
    pub pending_owner: bool,
}

impl Grant {
    /// A permission given directly.
    pub fn direct(to: Grantee, role: Role) -> Self {
        Self { to, direct: Some(role), inherited: None, discoverable: false, expires: None, pending_owner: false }
    }

    pub fn role(&self) -> Role {
        self.direct.max(self.inherited).unwrap_or_default()
    }

    /// As the contents of a folder inherit it.
    pub fn inherited(&self) -> Self {
        Self { direct: None, inherited: Some(self.role()), pending_owner: false, ..self.clone() }
    }

    /// The address of its user.
    pub fn user(&self) -> Option<&Arc<str>> {
        match &self.to {
            Grantee::User(email) => Some(email),
            Grantee::Group(_) | Grantee::Domain(_) | Grantee::Anyone => None,
        }
    }

    fn id(&self) -> String {
        match &self.to {
            Grantee::User(name) | Grantee::Group(name) => root(name),
            Grantee::Domain(name) => format!("{}k", root(name)),
            Grantee::Anyone if self.discoverable => "anyone".into(),
            Grantee::Anyone => "anyoneWithLink".into(),
        }
    }

    fn shown(&self) -> Value {
        let mut shown = json!({ "kind": "drive#permission", "id": self.id(), "role": self.role() });
        match &self.to {
            Grantee::User(email) | Grantee::Group(email) => {
                let kind = if matches!(self.to, Grantee::User(_)) { "user" } else { "group" };
                shown["type"] = json!(kind);
                shown["emailAddress"] = json!(email);
                shown["displayName"] = json!(email.split('@').next());
                shown["deleted"] = json!(false);
                if kind == "user" {
                    shown["pendingOwner"] = json!(self.pending_owner);
                }
            }
            Grantee::Domain(domain) => {
                (shown["type"], shown["domain"], shown["displayName"]) = (json!("domain"), json!(domain), json!(domain));
            }
            Grantee::Anyone => shown["type"] = json!("anyone"),
        }
        if matches!(self.to, Grantee::Domain(_) | Grantee::Anyone) {
            shown["allowFileDiscovery"] = json!(self.discoverable);
        }
        if let Some(expires) = self.expires {
            shown["expirationTime"] = json!(expires.to_rfc3339_opts(SecondsFormat::Millis, true));
        }
        let roles = [(self.direct, false), (self.inherited, true)];
        let details = roles.into_iter().filter_map(|(role, inherited)| Some(detail(&json!(role?), inherited)));
        shown["permissionDetails"] = details.collect();
        shown
    }
}

fn detail(role: &Value, inherited: bool) -> Value {
    json!({ "permissionType": "file", "role": role, "inherited": inherited })
}

fn of_owner(owner: &str) -> Value {
    let person = person(owner, "");
    json!({ "kind": "drive#permission", "id": person["permissionId"], "type": "user", "role": "owner", "emailAddress": owner,
        "displayName": person["displayName"], "deleted": false, "pendingOwner": false,
        "permissionDetails": [detail(&json!("owner"), false)] })
}

/// Adds what Google shows of a file's permissions: all of them to users who may share it, and of items in shared drives their IDs only.
pub fn show(store: &Store, file: &File, viewer: &str, shown: &mut Value) {
    match &file.home {
        Home::Drive(drive) => {
            let members = store.drive(drive).into_iter().flat_map(|drive| &drive.members).map(|member| root(member));
            let others = file.shared.iter().map(Grant::id);
            shown["permissionIds"] = members.chain(others).collect();
            shown["hasAugmentedPermissions"] = json!(!file.shared.is_empty());
        }
        Home::User(owner) => {
            shown["owners"] = json!([person(owner, viewer)]);
            shown["ownedByMe"] = json!(**owner == *viewer);
            shown["shared"] = json!(!file.shared.is_empty());
            let writes = |grant: &Grant| grant.user().is_some_and(|user| **user == *viewer) && grant.role() == Role::Writer;
            if **owner == *viewer || file.shared.iter().any(writes) {
                let permissions: Vec<Value> = file.shared.iter().map(Grant::shown).chain([of_owner(owner)]).collect();
                shown["permissionIds"] = permissions.iter().map(|permission| permission["id"].clone()).collect();
                shown["permissions"] = Value::Array(permissions);
            }
        }
    }
}
