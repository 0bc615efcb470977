//! `accounts check`: whether each user's token, scopes and APIs meet the services' needs.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use uuid::Uuid;

use crate::commands::{Output, complain, remedies, table, users};
use crate::db::accounts::{self, Listed};
use crate::engine::Context;
use crate::engine::tokens::{Broker, Credential};
use crate::error::{Class, Exit, Failure};
use crate::progress;
use crate::services::{Registered, registry};
use crate::state::AccountState;

/// Value of `token` for an account that was ended on purpose with syncctl.
const ENDED: &str = AccountState::Ended.as_str();

/// One account's check.
#[derive(Serialize)]
struct Checked {
    user_id: Uuid,
    email: String,
    /// `ok`, `ended`, or the class of the failure.
    token: &'static str,
    /// The same for each enabled service, or `off`; `-` if there was no token.
    services: BTreeMap<&'static str, &'static str>,
    /// Absent if everything works.
    problem: Option<String>,
    class: Option<Class>,
    /// What to do about it.
    remedy: Option<String>,
}

/// Checks one user, or all, or with `failing` only those with failures.
pub(super) async fn check(context: &Context, user: Option<&str>, failing: bool, output: Output) -> anyhow::Result<Exit> {
    let only = match user {
        Some(name) => Some(vec![users::find(context, name).await?]),
        None => None,
    };
    let mut rows = accounts::list(&context.pool, only.as_deref()).await?;
    if failing {
        rows.retain(|row| {
            row.state != AccountState::Ended
                && (row.state == AccountState::Revoked || row.ask_at.is_some() || row.failing_streams > 0)
        });
    }
    let scopes = registry::scopes(&context.settings);
    let broker = Broker::new(context.pool.clone(), context.vault.clone(), Arc::clone(&context.google), scopes, true);
    let services: Vec<&Registered> = registry::enabled(&context.settings).collect();
    let bar = progress::accounts(rows.len());
    let under_way = context.settings.engine.concurrency as usize;
    let mut checks = stream::iter(&rows).map(|row| check_one(context, &broker, &services, row)).buffered(under_way);
    let mut checked = Vec::with_capacity(rows.len());
    while let Some(one) = checks.next().await {
        bar.inc(1);
        // Do not blame the accounts if the database is gone.
        if one.class == Some(Class::Internal) {
            context.pool.check_schema().await?;
        }
        checked.push(one);
        if context.stop.is_cancelled() {
            break;
        }
    }
    bar.finish_and_clear();
    output
        .print(&checked, || if failing && checked.is_empty() { "no account fails".into() } else { shown(&checked, &services) })?;
    if checked.len() < rows.len() {
        // The remaining accounts are unchecked, so this is not a success.
        complain(format!("stopped after {} of {} accounts; run it again for the rest", checked.len(), rows.len()));
        return Ok(Exit::SomeFailed);
    }
    if only.is_none() {
        // Ended on purpose: no action needed.
        checked.retain(|row| row.token != ENDED);
    }
    Ok(exit(&checked))
}

fn shown(checked: &[Checked], services: &[&Registered]) -> String {
    let mut header = vec!["email", "token"];
    header.extend(services.iter().map(|service| service.service));
    header.extend(["what is wrong", "what to do"]);
    let mut table = table(&header);
    for row in checked {
        let mut cells = vec![row.email.as_str(), row.token];
        cells.extend(services.iter().filter_map(|service| row.services.get(service.service)));
        cells.extend([&row.problem, &row.remedy].map(|text| text.as_deref().unwrap_or_default()));
        table.add_row(cells);
    }
    let wrong = checked.iter().filter(|row| row.class.is_some()).count();
    let ended = match checked.iter().filter(|row| row.token == ENDED).count() {
        0 => String::new(),
        ended => format!(", {ended} ended on purpose"),
    };
    match checked.len() {
        0 => "no accounts; add some with `syncctl accounts login`, `import` or `add-domain`".into(),
        all => format!("{}\n{} of {all} accounts ok{ended}", table.trim_fmt(), all - wrong),
    }
}

fn exit(checked: &[Checked]) -> Exit {
    let classes: Vec<Class> = checked.iter().filter_map(|row| row.class).collect();
    let refused = |class: &Class| {
        matches!(class, Class::AuthRevoked | Class::ClientRefused | Class::TokenStale | Class::ScopeMissing | Class::NotGranted)
    };
    match classes.as_slice() {
        [] => Exit::Done,
        all if all.iter().all(refused) => Exit::Refused,
        all if all.iter().all(|class| *class == Class::Transient) => Exit::Unavailable,
        _ => Exit::SomeFailed,
    }
}

async fn check_one(context: &Context, broker: &Arc<Broker>, enabled: &[&'static Registered], row: &Listed) -> Checked {
    let mut services: BTreeMap<_, _> = enabled.iter().map(|service| (service.service, "-")).collect();
    let mut wrong: Vec<Failure> = Vec::new();
    let token = match token(context, broker, row.user_id).await {
        Ok(credential) => {
            let mut off = Vec::new();
            for service in enabled {
                if row.switched_off.iter().any(|name| name == service.service) {
                    services.insert(service.service, "off");
                    continue;
                }
                let access = check_access(context, &credential, service).await;
                services.insert(service.service, access.as_ref().map_or_else(|failure| failure.class.name(), |()| "ok"));
                match access {
                    Err(failure) if failure.class.is_off() => off.push(failure),
                    access => wrong.extend(access.err()),
                }
            }
            // One service with nothing to sync is fine; if all of them are off, the account is useless.
            if !services.values().any(|status| *status == "ok") {
                wrong.extend(off);
            }
            "ok"
        }
        Err(failure) => {
            let token = if row.state == AccountState::Ended { ENDED } else { failure.class.name() };
            wrong.push(failure);
            token
        }
    };
    if wrong.is_empty()
        && let Err(error) = accounts::resume(&context.pool, row.user_id).await
    {
        wrong.push(error.into());
    }
    let class = wrong.first().map(|failure| failure.class);
    let problem = class.map(|_| wrong.into_iter().map(|failure| failure.message).collect::<Vec<_>>().join("; "));
    let remedy = class.map(|class| match row.state {
        AccountState::Ended => accounts::ENDED.into(),
        AccountState::Active | AccountState::Revoked => {
            remedies::of(class, [row.kind.as_str()], row.client_id.as_slice(), &context.settings)
        }
    });
    Checked { user_id: row.user_id, email: row.email.clone(), token, services, problem, class, remedy }
}

/// Requests a new token even if the account is marked revoked: a check is how an operator finds out that it works again. An account that
/// was ended on purpose stays ended.
async fn token(context: &Context, broker: &Arc<Broker>, user: Uuid) -> Result<Credential, Failure> {
    let Some(account) = accounts::get(&context.pool, user).await? else {
        return Err(Failure::new(Class::AuthRevoked, "the user has no credentials"));
    };
    if account.state == AccountState::Ended {
        return Err(Failure::new(Class::AuthRevoked, accounts::ENDED));
    }
    let credential = broker.credential(&account.row);
    credential.renew().await?;
    Ok(credential)
}

async fn check_access(context: &Context, credential: &Credential, service: &Registered) -> Result<(), Failure> {
    let failure = match service.probe.probe(&context.google, credential, service.scope).await {
        Ok(_) => return Ok(()),
        Err(failure) => credential.told_apart(service.scope, failure).await,
    };
    Err(match failure.class {
        Class::ScopeMissing => {
            let what = format!("scope missing: {}; {}", service.scope, failure.message);
            Failure::new(failure.class, what)
        }
        _ => failure,
    })
}
