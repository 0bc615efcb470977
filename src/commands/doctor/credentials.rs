//! Checks credentials, scopes and APIs with a cheap call to each service, as one user of each project and kind of credential, or as every
//! user; and Attendee's keys.

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
use crate::services::{Registered, registry};
use crate::state::AccountState;

const CHECK: &str = "credentials";
/// Users tested concurrently.
const CONCURRENCY: usize = 8;

pub async fn check(context: &Context, all_users: bool, findings: &mut Findings) -> anyhow::Result<()> {
    let (settings, accounts) = (&context.settings, accounts::list(&context.pool, None).await?);
    if accounts.is_empty() {
        findings.warn(
            CHECK,
            "there are no accounts",
            "run `syncctl accounts login` or `import`; if there should be accounts, check that this is the right database (`db.url`, DATABASE_URL)",
        );
        return Ok(());
    }
    let mut groups: BTreeMap<(&str, &str), Vec<&Listed>> = BTreeMap::new();
    for account in accounts.iter().filter(|account| account.state == AccountState::Active) {
        groups.entry((&account.project, &account.kind)).or_default().push(account);
    }
    let ended = accounts.iter().filter(|account| account.state == AccountState::Ended).count();
    if ended > 0 {
        findings.ok(CHECK, format!("{ended} of {} accounts were ended on purpose and are not called", accounts.len()));
    }
    for ((project, kind), mut members) in groups {
        // Prefer an account that works: it represents the project, while a failing one may be an exception.
        members.sort_by_key(|account| account.failing_streams);
        let count = members.len();
        if !all_users {
            members.truncate(1);
        }
        let answers: Vec<(Uuid, Vec<Answer>)> =
            futures_util::stream::iter(members.iter().map(async |account| (account.user_id, one(context, account).await)))
                .buffer_unordered(CONCURRENCY)
                .collect()
                .await;
        let subject = format!("project {project}, {kind}, {} of {count} accounts tested", answers.len());
        let clients = clients(&members);
        report_access(&subject, &answers, |class| remedies::of(class, [kind], &clients, settings), findings);
    }
    Ok(())
}

/// Returns the distinct client ids of their service accounts.
fn clients(accounts: &[&Listed]) -> Vec<String> {
    BTreeSet::from_iter(accounts.iter().filter_map(|account| account.client_id.clone())).into_iter().collect()
}

/// Reports refused accounts: a warning for a few, a failure above `engine.refused_share`.
pub fn refused(overview: &Overview, settings: &Settings, findings: &mut Findings) {
    let refused = &overview.accounts;
    let share = settings.engine.refused_share;
    let remedy = || remedies::of(Class::AuthRevoked, refused.kinds.iter().map(String::as_str), &refused.client_ids, settings);
    if refused.accounts == 0 {
        return;
    }
    if refused.is_above(share) {
        findings.fail(
            CHECK,
            format!("{}, and more than {:.0} % (engine.refused_share)", refused.in_words(), share * 100.0),
            remedy(),
        );
    } else {
        findings.warn(CHECK, refused.in_words(), remedy());
    }
}

/// Checks each of Attendee's keys with a call that returns no data.
pub async fn attendee(context: &Context, findings: &mut Findings) -> anyhow::Result<()> {
    for (project, answer) in probe::projects(context).await? {
        match answer {
            Ok(()) => findings.ok(CHECK, format!("Attendee accepts the key of project {project}")),
            Err(failure) if failure.class == Class::Transient => {
                findings.warn(CHECK, format!("Attendee, project {project}: {}", failure.message), failure.class.remedy());
            }
            Err(failure) => findings.fail(
                CHECK,
                format!("Attendee, project {project}: {}", failure.message),
                format!("give it a valid key: `syncctl attendee project add {project}`"),
            ),
        }
    }
    Ok(())
}

/// The result for a service, or for the token itself.
type Answer = (&'static str, Result<(), Failure>);

async fn one(context: &Context, listed: &Listed) -> Vec<Answer> {
    let user = listed.user_id;
    let scopes = registry::scopes(&context.settings);
    // Created so that it stores nothing: a check has no side effects.
    let broker = Broker::new(context.pool.clone(), context.vault.clone(), Arc::clone(&context.google), scopes, false);
    let account = match accounts::get(&context.pool, user).await {
        Ok(Some(account)) => account,
        Ok(None) => return vec![("token", Err(Failure::new(Class::AuthRevoked, "the account was removed")))],
        Err(error) => return vec![("token", Err(error.into()))],
    };
    let credential = broker.credential(&account.row);
    // Request a new token: a cached one says nothing about the grant.
    let known = credential.current().await;
    if let Err(failure) = credential.replace(known.as_deref()).await {
        return vec![("token", Err(failure))];
    }
    let mut answers = Vec::new();
    let is_on = |one: &&Registered| listed.switched_off.iter().all(|name| name != one.service);
    for Registered { service, scope, probe, .. } in registry::enabled(&context.settings).filter(is_on) {
        match probe.probe(&context.google, &credential, scope).await {
            Ok(_) => answers.push((*service, Ok(()))),
            Err(failure) => match credential.told_apart(scope, failure).await {
                // Switched off: nothing to sync, nothing to repair.
                off if off.class.is_off() => {}
                failure => answers.push((*service, Err(failure))),
            },
        }
    }
    answers
}

/// Reports one line for each service and class of failure, and one for the services that work.
fn report_access(subject: &str, results: &[(Uuid, Vec<Answer>)], remedy: impl Fn(Class) -> String, findings: &mut Findings) {
    let mut failed: BTreeMap<(&str, Class), (Uuid, &Failure, usize)> = BTreeMap::new();
    let mut works: BTreeSet<&str> = BTreeSet::new();
    for (user, answers) in results {
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
        findings.ok(CHECK, format!("{subject}: {} answer", Vec::from_iter(works).join(", ")));
    }
    for ((service, class), (user, failure, count)) in failed {
        let message = format!("{subject}: {service}: {class} for {count}, such as user {user}: {}", failure.message);
        // Temporary failures do not indicate a configuration error.
        match class {
            Class::Transient | Class::RateLimited => findings.warn(CHECK, message, remedy(class)),
            _ => findings.fail(CHECK, message, remedy(class)),
        }
    }
}
