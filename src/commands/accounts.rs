//! `syncctl accounts`: whose data is synced, and the credentials for it.

mod check;
mod domain;
mod landing;
mod login;
mod people;
mod rekey;
mod remove;
mod set;

use std::io::BufRead as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Serialize;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::{Output, complain, import, reading, remedies, seal_key_file, table, with_context};
use crate::config::Settings;
use crate::db::{accounts, pool};
use crate::engine::Context;
use crate::error::{Class, Exit, Failure, Fault};
use crate::seal;

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Lets a person allow the sync in their browser, and adds or renews their account
    Login(login::LoginArgs),
    /// Adds or renews accounts from JSON lines: email, username?, credentials, subject?, settings?
    Import {
        /// A file, or - for standard input
        file: PathBuf,
    },
    /// Adds or renews the users of a Workspace domain, for whom a service account may act
    AddDomain(domain::DomainArgs),
    /// Lists users and how their accounts stand
    List,
    /// Asks for a new token and makes one call to each service; names what is missing
    Check {
        /// A user, by UUID or address; without one, all
        user: Option<String>,
        /// All users
        #[arg(long, conflicts_with = "user")]
        all: bool,
        /// Only those that are refused, or of whom something fails
        #[arg(long, conflicts_with = "user")]
        failing: bool,
    },
    /// Switches services on or off for one user, such as gmail=off for somebody without a mailbox
    Set(set::SetArgs),
    /// Stops a user's push channels and ends the grant at Google; what was synced stays
    Revoke {
        /// A user, by UUID or address
        user: String,
    },
    /// Removes a user with everything that was synced for them alone, and withdraws their events; asks first on a terminal
    Remove(remove::RemoveArgs),
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
        let file = seal_key_file(&settings, pool::locate(&settings.db)?.cluster.is_some())?;
        if file.as_os_str().is_empty() {
            return Err(Fault::settings("--new-key writes to a key file: set seal.key_file (SYNCCTL_SEAL_KEY_FILE)").into());
        }
        seal::add_key(&file)?;
        complain(format!("added a key to {}; copy the file to every host", file.display()));
    }
    with_context(settings, |context| async move {
        match verb {
            Verb::Import { file } => import_file(&context, file, output).await,
            Verb::AddDomain(args) => domain::add(&context, args, output).await,
            Verb::List => reading(&context, list(&context, output)).await,
            Verb::Login(args) => login::login(&context, args, output).await,
            Verb::Check { user, failing, .. } => check::check(&context, user.as_deref(), *failing, output).await,
            Verb::Set(args) => set::set(&context, args, output).await,
            Verb::Revoke { user } => remove::revoke(&context, user, output).await,
            Verb::Remove(args) => remove::remove(&context, args, output).await,
            Verb::Rekey { .. } => rekey::rekey(&context, output).await,
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
        complain(format!("line {line}: {wrong}"));
    }
    output.print(&imported, || {
        format!("{} added, {} renewed, {} bad lines", imported.added, imported.renewed, imported.bad.len())
    })?;
    Ok(if imported.bad.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

async fn list(context: &Context, output: Output) -> anyhow::Result<Exit> {
    #[derive(Serialize)]
    struct Told {
        #[serde(flatten)]
        account: accounts::Listed,
        /// What there is to do; absent: nothing is wrong.
        remedy: Option<String>,
    }
    let told = |account| Told { remedy: remedies::of_account(&account, &context.settings), account };
    let rows: Vec<Told> = accounts::list(&context.pool, None).await?.into_iter().map(told).collect();
    output.print(&rows, || {
        let mut table = table(&["user", "email", "kind", "state", "streams", "failing", "off", "reason", "what to do"]);
        for Told { account: row, remedy } in &rows {
            table.add_row([
                row.user_id.to_string(),
                row.email.clone(),
                row.kind.clone(),
                row.state.clone(),
                row.streams.to_string(),
                row.failing_streams.to_string(),
                row.switched_off.join(", "),
                row.state_reason.clone().unwrap_or_else(|| row.failing_classes.join(", ")),
                remedy.clone().unwrap_or_default(),
            ]);
        }
        if rows.is_empty() {
            "no accounts; add some with `syncctl accounts login`, `import` or `add-domain`".into()
        } else {
            table.trim_fmt()
        }
    })?;
    Ok(Exit::Done)
}

async fn find_user(context: &Context, name: &str) -> anyhow::Result<Uuid> {
    let found = accounts::find(&context.pool, &[name]).await?;
    found.into_iter().next().flatten().ok_or_else(|| Fault::usage(format!("no user {name}; see `syncctl accounts list`")).into())
}

/// The next line of standard input.
fn typed() -> oneshot::Receiver<std::io::Result<String>> {
    let (sender, line) = oneshot::channel();
    // A thread of its own, because a read that nobody answers must not hold up the end.
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::stdin().lock().read_line(&mut line).map(|_| line);
        // Whoever waited may have ended.
        let _ = sender.send(read);
    });
    line
}

/// A failure that ends the command, with the exit code of its class.
fn failed(failure: Failure) -> anyhow::Error {
    match failure.class {
        Class::AuthRevoked | Class::ClientRefused | Class::TokenStale | Class::ScopeMissing => {
            Fault::refused(failure.message).into()
        }
        Class::Transient | Class::RateLimited | Class::DailyQuota => Fault::unavailable(failure.message).into(),
        _ => anyhow::anyhow!(failure.message),
    }
}
