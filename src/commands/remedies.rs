//! Remedies for failures, by the kind of account: users consent, administrators delegate. Pure.

use crate::config::Settings;
use crate::db::accounts::Listed;
use crate::db::overview::Failing;
use crate::error::Class;
use crate::services::registry;
use crate::state::AccountState;

/// Value of `accounts.kind` for credentials that a domain delegated to a service account.
const DELEGATED: &str = "service_account";

/// Where an administrator authorizes a service account.
pub(super) const ADMIN_CONSOLE: &str =
    "in the Admin console (admin.google.com): Security, Access and data control, API controls, Manage domain-wide delegation";

/// Returns the remedy for one account; `None` if nothing is wrong.
pub(super) fn of_account(account: &Listed, settings: &Settings) -> Option<String> {
    let refused = (account.state == AccountState::Revoked).then_some(Class::AuthRevoked);
    let classes = refused.into_iter().chain(account.failing_classes.iter().filter_map(|class| Class::from_name(class)));
    let remedies: Vec<String> = match account.state {
        AccountState::Ended => vec!["nothing if intended; to restore it, run `syncctl accounts login` or import it again".into()],
        AccountState::Active | AccountState::Revoked => {
            classes.map(|class| of(class, [account.kind.as_str()], account.client_id.as_slice(), settings)).collect()
        }
    };
    (!remedies.is_empty()).then(|| remedies.join("; "))
}

/// Returns the remedy for streams that fail for one reason.
pub(super) fn of_failing(failing: &Failing, settings: &Settings) -> Option<String> {
    Some(of(Class::from_name(&failing.class)?, failing.kinds.iter().map(String::as_str), &failing.client_ids, settings))
}

/// Returns the remedy for a class of failure, for accounts of these kinds. `clients` are the known client ids of their service accounts.
pub(super) fn of<'a>(class: Class, kinds: impl IntoIterator<Item = &'a str>, clients: &[String], settings: &Settings) -> String {
    let (delegated, own): (Vec<&str>, Vec<&str>) = kinds.into_iter().partition(|kind| *kind == DELEGATED);
    let allowed = match (delegated.as_slice(), class) {
        ([], _) => None,
        (_, Class::AuthRevoked) => Some(format!(
            "see the reason in `syncctl accounts list`; unless the user or the key is gone (`accounts remove`, or `add-domain` with a new key), {}",
            delegation(clients, settings)
        )),
        (_, Class::ClientRefused) => {
            Some(format!("if access was granted within the last day, wait; otherwise {}", delegation(clients, settings)))
        }
        (_, Class::ScopeMissing) => Some(delegation(clients, settings)),
        _ => None,
    };
    match allowed {
        None => class.remedy().to_owned(),
        Some(allowed) if own.is_empty() => allowed,
        Some(allowed) => format!("for users who log in: {}; for users of a service account: {allowed}", class.remedy()),
    }
}

/// Describes what an administrator enters, and where.
pub(super) fn delegation(clients: &[String], settings: &Settings) -> String {
    let client = match clients {
        [] => "the client id of the service account (`client_id` in its key file)".to_owned(),
        [one] => format!("client id {one}"),
        several => format!("client ids {}", several.join(", ")),
    };
    let scopes = registry::scopes(settings).join(",");
    format!("allow {client} with the scopes {scopes} {ADMIN_CONSOLE}; then `syncctl accounts check --all --failing`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_name_people_or_administrators() {
        let settings = Settings::default();
        let of = |class, kinds: &[&'static str], clients: &[&str]| {
            super::of(class, kinds.iter().copied(), &clients.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>(), &settings)
        };
        for class in [Class::AuthRevoked, Class::ClientRefused, Class::ScopeMissing] {
            assert_eq!(of(class, &["authorized_user"], &[]), class.remedy());
            let allowed = of(class, &[DELEGATED], &["4711"]);
            assert!(!allowed.contains("consent") && allowed.contains("client id 4711 with the scopes https://"), "{allowed}");
            let both = of(class, &["authorized_user", DELEGATED], &["4711", "4712"]);
            assert!(both.contains(class.remedy()) && both.contains("client ids 4711, 4712 with"), "{both}");
            assert!(of(class, &[DELEGATED], &[]).contains("`client_id` in its key file"));
        }
        assert_eq!(of(Class::Transient, &[DELEGATED], &["4711"]), Class::Transient.remedy());
    }
}
