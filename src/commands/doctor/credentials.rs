//! Credentials, scopes and APIs: a cheap call of each service, as one user of each project and kind of credential, or as every user; and
//! Attendee's keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use uuid::Uuid;

use super::Findings;
use crate::commands::remedies;
use crate::config::Settings;
use crate::db::accounts::{self, Listed};
use crate::db::overview::Overview;
use crate::engine::Context;
use crate::engine::tokens::Broker;
use crate::error::{Class, Failure};
use crate::services::attendee::probe;
use crate::services::{self, Registered};

const CHECK: &str = "credentials";
/// Users tried at once.
const AT_ONCE: usize = 8;

pub async fn check(context: &Context, all_users: bool, found: &mut Findings) -> anyhow::Result<()> {
    let (settings, accounts) = (&context.settings, accounts::list(&context.pool, None).await?);
    if accounts.is_empty() {
        found.warn(
            CHECK,
            "there are no accounts",
            "`syncctl accounts login` or `import`; if there should be some: is this the right database (`db.url`, DATABASE_URL)?",
        );
        return Ok(());
    }
    let mut groups: BTreeMap<(&str, &str), Vec<&Listed>> = BTreeMap::new();
    for account in accounts.iter().filter(|account| account.state == "active") {
        groups.entry((&account.project, &account.kind)).or_default().push(account);
    }
    let ended = accounts.iter().filter(|account| account.state == "ended").count();
    if ended > 0 {
        found.ok(CHECK, format!("{ended} of {} accounts were ended on purpose and are not called", accounts.len()));
    }
    for ((project, kind), mut members) in groups {
        // One that works says most of the project; one that fails may be alone.
        members.sort_by_key(|account| account.failing_streams);
        let count = members.len();
        if !all_users {
            members.truncate(1);
        }
        let tried: Vec<(Uuid, Vec<Answer>)> =
            futures_util::stream::iter(members.iter().map(async |account| (account.user_id, one(context, account).await)))
                .buffer_unordered(AT_ONCE)
                .collect()
                .await;
        let place = format!("project {project}, {kind}, {} of {count} accounts tried", tried.len());
        let clients = clients(&members);
        report_access(&place, &tried, |class| remedies::of(class, [kind], &clients, settings), found);
    }
    Ok(())
}

/// The client ids of their service accounts, each once.
fn clients(accounts: &[&Listed]) -> Vec<String> {
    BTreeSet::from_iter(accounts.iter().filter_map(|account| account.client_id.clone())).into_iter().collect()
}

/// Accounts that are refused: a few are their users' affair, more than the share in the settings are ours.
pub fn refused(overview: &Overview, settings: &Settings, found: &mut Findings) {
    let refused = &overview.accounts;
    let share = settings.engine.refused_share;
    let remedy = || remedies::of(Class::AuthRevoked, refused.kinds.iter().map(String::as_str), &refused.client_ids, settings);
    match refused.is_above(share) {
        _ if refused.accounts == 0 => {}
        true => found.fail(
            CHECK,
            format!("{}, and more than {:.0} % (engine.refused_share)", refused.in_words(), share * 100.0),
            remedy(),
        ),
        false => found.warn(CHECK, refused.in_words(), remedy()),
    }
}

/// Attendee's keys, each by a call that finds nothing.
pub async fn attendee(context: &Context, found: &mut Findings) -> anyhow::Result<()> {
    for (project, answer) in probe::projects(context).await? {
        match answer {
            Ok(()) => found.ok(CHECK, format!("Attendee takes the key of project {project}")),
            Err(failure) if failure.class == Class::Transient => {
                found.warn(CHECK, format!("Attendee, project {project}: {}", failure.message), failure.class.remedy());
            }
            Err(failure) => found.fail(
                CHECK,
                format!("Attendee, project {project}: {}", failure.message),
                format!("give it a key that is good: `syncctl attendee project add {project}`"),
            ),
        }
    }
    Ok(())
}

/// A service, or the token itself, and how it answered.
type Answer = (&'static str, Result<(), Failure>);

async fn one(context: &Context, listed: &Listed) -> Vec<Answer> {
    let user = listed.user_id;
    let scopes = services::scopes(&context.settings);
    // Stores nothing: a check changes nothing.
    let broker = Broker::new(context.pool.clone(), context.vault.clone(), Arc::clone(&context.google), scopes, false);
    let account = match accounts::get(&context.pool, user).await {
        Ok(Some(account)) => account,
        Ok(None) => return vec![("token", Err(Failure::new(Class::AuthRevoked, "the account was removed")))],
        Err(error) => return vec![("token", Err(error.into()))],
    };
    let credential = broker.credential(&account.row);
    // Asked for anew: the token in hand says nothing of the grant.
    let known = credential.current().await;
    if let Err(failure) = credential.replace(known.as_deref()).await {
        return vec![("token", Err(failure))];
    }
    let mut answers = Vec::new();
    let wanted = |one: &&Registered| listed.switched_off.iter().all(|name| name != one.service);
    for Registered { service, scope, probe, .. } in services::enabled(&context.settings).filter(wanted) {
        match probe.probe(&context.google, &credential, scope).await {
            Ok(_) => answers.push((*service, Ok(()))),
            Err(failure) => match credential.told_apart(scope, failure).await {
                // Nothing to sync, and nothing to mend.
                off if off.class.is_off() => {}
                failure => answers.push((*service, Err(failure))),
            },
        }
    }
    answers
}

/// One line for each service and class of failure, and one for what works.
fn report_access(place: &str, tried: &[(Uuid, Vec<Answer>)], remedy: impl Fn(Class) -> String, found: &mut Findings) {
    let mut failed: BTreeMap<(&str, Class), (Uuid, &Failure, usize)> = BTreeMap::new();
    let mut works: BTreeSet<&str> = BTreeSet::new();
    for (user, answers) in tried {
        for (service, answer) in answers {
            match answer {
                Ok(()) => {
                    works.insert(service);
                }
                Err(failure) => failed.entry((service, failure.class)).or_insert((*user, failure, 0)).2 += 1,
            }
        }
    }
    if !works.is_empty() {
        found.ok(CHECK, format!("{place}: {} answer", Vec::from_iter(works).join(", ")));
    }
    for ((service, class), (user, failure, count)) in failed {
        let message = format!("{place}: {service}: {class} for {count}, such as user {user}: {}", failure.message);
        // What passes by itself is no fault of the set-up.
        match class {
            Class::Transient | Class::RateLimited => found.warn(CHECK, message, remedy(class)),
            _ => found.fail(CHECK, message, remedy(class)),
        }
    }
}
