//! `syncctl accounts`: whose data is synced, and the credentials for it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Subcommand;
use secrecy::ExposeSecret as _;
use serde::Serialize;
use uuid::Uuid;

use super::{Output, channels, import, seal_key_file, table, with_context};
use crate::config::Settings;
use crate::db::channels_read::{self, Listed};
use crate::db::{accounts, pool};
use crate::engine::Context;
use crate::engine::tokens::Broker;
use crate::error::{Class, Exit, Failure, Fault};
use crate::seal::{self, Column};
use crate::services::attendee::projects;
use crate::services::{self, Probe};

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Adds or renews accounts from JSON lines: email, username?, credentials, subject?, settings?
    Import {
        /// A file, or - for standard input
        file: PathBuf,
    },
    /// Lists users and how their accounts stand
    List,
    /// Refreshes a token and asks for the list of calendars; names what is missing
    Check {
        /// A user, by UUID or address; without one, all
        user: Option<String>,
    },
    /// Stops a user's push channels and removes the user with everything that was synced
    Remove {
        /// A user, by UUID or address
        user: String,
    },
    /// Seals every secret again with the newest key, while syncs go on
    Rekey {
        /// Make a new key first
        #[arg(long)]
        new_key: bool,
    },
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    if let Verb::Rekey { new_key: true } = verb {
        let file = seal_key_file(&settings, pool::place(&settings.db)?.cluster.is_some())?;
        if file.as_os_str().is_empty() {
            return Err(Fault::settings("--new-key writes to a key file: set seal.key_file (SYNCCTL_SEAL_KEY_FILE)").into());
        }
        seal::add_key(&file)?;
        eprintln!("syncctl: added a key to {}; copy the file to every host", file.display());
    }
    with_context(settings, |context| async move {
        match verb {
            Verb::Import { file } => import_file(&context, file, output).await,
            Verb::List => list(&context, output).await,
            Verb::Check { user } => check(&context, user.as_deref(), output).await,
            Verb::Remove { user } => remove(&context, user, output).await,
            Verb::Rekey { .. } => rekey(&context, output).await,
        }
    })
}

async fn import_file(context: &Context, file: &std::path::Path, output: Output) -> anyhow::Result<Exit> {
    let text = match file.as_os_str() == "-" {
        true => std::io::read_to_string(std::io::stdin()).context("reading accounts from standard input")?,
        false => std::fs::read_to_string(file).map_err(|error| Fault::usage(format!("{}: {error}", file.display())))?,
    };
    let imported = import::import(context, &text).await?;
    for (line, wrong) in &imported.bad {
        eprintln!("syncctl: line {line}: {wrong}");
    }
    output.print(&imported, || {
        format!("{} added, {} renewed, {} bad lines", imported.added, imported.renewed, imported.bad.len())
    })?;
    Ok(if imported.bad.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

async fn list(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let rows = accounts::list(&context.pool, None).await?;
    output.print(&rows, || {
        let mut table = table(&["user", "email", "kind", "state", "streams", "failing", "reason", "what to do"]);
        for row in &rows {
            table.add_row([
                row.user_id.to_string(),
                row.email.clone(),
                row.kind.clone(),
                row.state.clone(),
                row.streams.to_string(),
                row.failing_streams.to_string(),
                row.state_reason.clone().unwrap_or_else(|| row.failing_classes.join(", ")),
                remedies(row),
            ]);
        }
        if rows.is_empty() { "no accounts; add some with `syncctl accounts import`".into() } else { table.trim_fmt() }
    })?;
    Ok(Exit::Done)
}

fn remedies(row: &accounts::Listed) -> String {
    let revoked = (row.state == "revoked").then_some(Class::AuthRevoked);
    let classes = revoked.into_iter().chain(row.failing_classes.iter().filter_map(|class| Class::named(class)));
    classes.map(Class::remedy).collect::<Vec<_>>().join("; ")
}

/// One account's check.
#[derive(Serialize)]
struct Checked {
    user_id: Uuid,
    email: String,
    /// Absent: everything works.
    problem: Option<String>,
    class: Option<Class>,
}

async fn check(context: &Context, user: Option<&str>, output: Output) -> anyhow::Result<Exit> {
    let only = match user {
        Some(name) => Some(vec![named(context, name).await?]),
        None => None,
    };
    let rows = accounts::list(&context.pool, only.as_deref()).await?;
    let scopes = services::scopes(&context.settings);
    let broker = Broker::new(context.pool.clone(), context.vault.clone(), Arc::clone(&context.google), scopes, true);
    let mut checked = Vec::new();
    for row in &rows {
        let failure = check_one(context, &broker, row.user_id).await.err();
        checked.push(Checked {
            user_id: row.user_id,
            email: row.email.clone(),
            class: failure.as_ref().map(|failure| failure.class),
            problem: failure.map(|failure| failure.message),
        });
    }
    output.print(&checked, || {
        let mut table = table(&["email", "check"]);
        for row in &checked {
            table.add_row([row.email.as_str(), row.problem.as_deref().unwrap_or("ok")]);
        }
        table.trim_fmt()
    })?;
    let classes: Vec<Class> = checked.iter().filter_map(|row| row.class).collect();
    Ok(match classes.as_slice() {
        [] => Exit::Done,
        all if all.iter().all(|class| matches!(class, Class::AuthRevoked | Class::TokenStale | Class::ScopeMissing)) => {
            Exit::Refused
        }
        all if all.iter().all(|class| *class == Class::Transient) => Exit::Unavailable,
        _ => Exit::SomeFailed,
    })
}

async fn check_one(context: &Context, broker: &Arc<Broker>, user: Uuid) -> Result<(), Failure> {
    let Some(account) = accounts::get(&context.pool, user).await? else {
        return Err(Failure::new(Class::AuthRevoked, "the user has no credentials"));
    };
    let credential = broker.credential(&account.row);
    // Asked for anew even if the account is marked revoked: a check is how an operator finds out that it works again.
    credential.renew().await?;
    for service in services::enabled(&context.settings) {
        let Probe { method, host, path } = service.probe;
        let url = context.google.url(host, path)?;
        context.google.get(method, &credential, service.scope, url).await.map_err(|failure| match failure.class {
            Class::ScopeMissing => Failure::new(failure.class, format!("scope missing: {}; {}", service.scope, failure.message)),
            _ => failure,
        })?;
    }
    accounts::resume(&context.pool, user).await?;
    Ok(())
}

/// A user who was removed.
#[derive(Serialize)]
struct Removed {
    removed: Uuid,
    channels_stopped: usize,
    /// Google announces to them until they expire.
    channels_left: Vec<Listed>,
}

async fn remove(context: &Context, user: &str, output: Output) -> anyhow::Result<Exit> {
    let user = named(context, user).await?;
    // Once the credentials are gone nobody can stop them.
    let before = open_channels(context, user).await?;
    channels::end(context, &before, Some(vec![user]), None).await?;
    let left = open_channels(context, user).await?;
    accounts::remove(&context.pool, user).await?;
    for channel in &left {
        let until = channel.expires_at.map_or_else(|| "later".into(), |at| at.format("%F %T").to_string());
        let why = channel.last_error.as_deref().unwrap_or("another run is at it");
        eprintln!("syncctl: {} channel {} could not be stopped and ends by itself, {until}: {why}", channel.service, channel.id);
    }
    let removed = Removed { removed: user, channels_stopped: before.len().saturating_sub(left.len()), channels_left: left };
    output.print(&removed, || {
        format!("removed {user} with everything that was synced; {} push channels stopped", removed.channels_stopped)
    })?;
    Ok(Exit::Done)
}

/// The user's channels that Google may have.
async fn open_channels(context: &Context, user: Uuid) -> anyhow::Result<Vec<Listed>> {
    let mut rows = channels_read::list(&context.pool, false).await?;
    rows.retain(|channel| channel.user_id == user && channel.state != "refused");
    Ok(rows)
}

/// Accounts read at once while they are sealed again.
const REKEY_CHUNK: i64 = 500;

async fn rekey(context: &Context, output: Output) -> anyhow::Result<Exit> {
    let vault = &context.vault;
    let (mut after, mut sealed, mut failed) = (Uuid::nil(), 0u64, Vec::new());
    loop {
        let rows = accounts::sealed_after(&context.pool, after, REKEY_CHUNK).await?;
        let Some(last) = rows.last() else { break };
        after = last.0;
        for (user, credentials, token) in &rows {
            let again = |column, blob: &[u8]| -> anyhow::Result<Vec<u8>> {
                vault.seal(*user, column, vault.open(*user, column, blob)?.expose_secret().as_bytes())
            };
            let done = again(Column::Credentials, credentials).map(|credentials| {
                // A token that cannot be opened is only a cache.
                let token = token.as_deref().and_then(|token| again(Column::AccessToken, token).ok());
                (credentials, token)
            });
            match done {
                Ok(new) => {
                    let old = (credentials.as_slice(), token.as_deref());
                    // False: changed meanwhile by a process that had the newest key or not; the next rekey finds it.
                    sealed += u64::from(accounts::reseal(&context.pool, *user, old, (&new.0, new.1.as_deref())).await?);
                }
                Err(error) => failed.push(format!("{error:#}")),
            }
        }
    }
    let (keys, wrong) = projects::reseal(&context.pool, vault).await?;
    failed.extend(wrong);
    for error in &failed {
        eprintln!("syncctl: {error}");
    }
    let key = vault.writing_key()?;
    output.print(
        &serde_json::json!({ "resealed": sealed, "resealed_projects": keys, "failed": failed.len(), "key": key }),
        || {
            let projects = if keys > 0 { format!(" and {keys} Attendee projects") } else { String::new() };
            format!("{sealed} accounts{projects} sealed with key {key}, {} failed", failed.len())
        },
    )?;
    Ok(if failed.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

async fn named(context: &Context, name: &str) -> anyhow::Result<Uuid> {
    let found = accounts::find(&context.pool, &[name]).await?;
    found.into_iter().next().flatten().ok_or_else(|| Fault::usage(format!("no user {name}; see `syncctl accounts list`")).into())
}
