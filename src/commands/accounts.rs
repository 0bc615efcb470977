//! `syncctl accounts`: manages the users whose data is synced, and their credentials.

mod check;
mod domain;
mod landing;
mod login;
mod people;
mod rekey;
mod remove;
mod set;
mod token_file;

use std::io::Read as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::paging::Part;
use super::{Output, complain, hints, import, reading, remedies, seal_key_file, table, with_context};
use crate::config::Settings;
use crate::db::{accounts, pool};
use crate::engine::Context;
use crate::error::{Class, Exit, Failure, Fault};
use crate::seal;

/// Subcommands of `accounts`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Ask a user for consent in their browser, then add or renew their account
    Login(login::LoginArgs),
    /// Add or renew accounts from JSON lines (email, username?, credentials, subject?, settings?), or one account from a token file
    ///
    /// A token file is one that Google's tools write for one user: token.json (google-auth for Python), or
    /// application_default_credentials.json (gcloud). Google names its user.
    Import(ImportArgs),
    /// Add or renew the users of a Workspace domain, through a service account that may act for them
    AddDomain(domain::DomainArgs),
    /// List users and the state of their accounts
    List(Part),
    /// Request a new token and make one call to each service; report what is missing
    Check {
        /// User, by UUID or address (default: all users)
        user: Option<String>,
        /// Check all users (the default)
        #[arg(long, conflicts_with = "user")]
        all: bool,
        /// Check only accounts that are refused or have failing streams
        #[arg(long, conflicts_with = "user")]
        failing: bool,
    },
    /// Switch services on or off for one user, such as gmail=off for a user without a mailbox
    Set(set::SetArgs),
    /// Stop a user's push channels and end the grant at Google; keep the synced data
    Revoke {
        /// User, by UUID or address
        user: String,
    },
    /// Remove a user with everything synced for them alone, and withdraw their events; ask first, unless --yes is given
    Remove(remove::RemoveArgs),
    /// Reseal every secret with the newest key, while syncs continue
    Rekey {
        /// Create a new key first
        #[arg(long)]
        new_key: bool,
    },
}

#[derive(Debug, Args)]
pub struct ImportArgs {
    /// File to read, or - for standard input
    file: PathBuf,
    /// User whom a token file must belong to (default: accept any account)
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
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
            Verb::Import(args) => {
                let exit = import_file(&context, args, output).await?;
                hints::next(
                    output,
                    "`syncctl accounts check` makes one call to each service, `syncctl sync cron` fetches the data",
                );
                Ok(exit)
            }
            Verb::AddDomain(args) => domain::add(&context, args, output).await,
            Verb::List(part) => reading(&context, list(&context, *part, output)).await,
            Verb::Login(args) => login::login(&context, args, output).await,
            Verb::Check { user, failing, .. } => check::check(&context, user.as_deref(), *failing, output).await,
            Verb::Set(args) => set::set(&context, args, output).await,
            Verb::Revoke { user } => remove::revoke(&context, user, output).await,
            Verb::Remove(args) => remove::remove(&context, args, output).await,
            Verb::Rekey { .. } => rekey::rekey(&context, output).await,
        }
    })
}

async fn import_file(context: &Context, args: &ImportArgs, output: Output) -> anyhow::Result<Exit> {
    let text = imported_text(&args.file)?;
    if args.email.is_some() || token_file::is_one(&text) {
        return token_file::import(context, args, &text, output).await;
    }
    let imported = import::import(context, &text).await?;
    for (line, wrong) in &imported.bad {
        complain(format!("line {line}: {wrong}"));
    }
    output.print(&imported, || {
        format!("{} added, {} renewed, {} bad lines", imported.added, imported.renewed, imported.bad.len())
    })?;
    Ok(if imported.bad.is_empty() { Exit::Done } else { Exit::SomeFailed })
}

fn imported_text(file: &std::path::Path) -> anyhow::Result<String> {
    let wrong = |what: &dyn std::fmt::Display| Fault::usage(format!("{}: {what}", file.display()));
    let bytes = if file.as_os_str() == "-" {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("reading accounts from standard input")?;
        bytes
    } else {
        std::fs::read(file).map_err(|error| wrong(&error))?
    };
    let pickled = "not text; if it is a token.pickle of Python, write the credentials with `credentials.to_json()` instead";
    String::from_utf8(bytes).map_err(|_| wrong(&pickled).into())
}

async fn list(context: &Context, part: Part, output: Output) -> anyhow::Result<Exit> {
    #[derive(Serialize)]
    struct ListedRow {
        #[serde(flatten)]
        account: accounts::Listed,
        /// What to do; absent if nothing is wrong.
        remedy: Option<String>,
    }
    let row = |account| ListedRow { remedy: remedies::of_account(&account, &context.settings), account };
    let all = accounts::list(&context.pool, None).await?;
    let total = all.len();
    let rows: Vec<ListedRow> = part.of(all).into_iter().map(row).collect();
    part.ids.print(output, &rows, rows.iter().map(|row| row.account.user_id.to_string()), || {
        let mut table = table(&["user", "email", "kind", "state", "streams", "failing", "off", "reason", "what to do"]);
        for ListedRow { account: row, remedy } in &rows {
            table.add_row([
                row.user_id.to_string(),
                row.email.clone(),
                row.kind.clone(),
                row.state.to_string(),
                row.streams.to_string(),
                row.failing_streams.to_string(),
                row.switched_off.join(", "),
                row.state_reason.clone().unwrap_or_else(|| row.failing_classes.join(", ")),
                remedy.clone().unwrap_or_default(),
            ]);
        }
        match total {
            0 => format!("no accounts yet: {}", hints::FIRST_ACCOUNT),
            _ if rows.is_empty() => "no accounts match these options".into(),
            _ => table.trim_fmt(),
        }
    })?;
    part.footer(output, rows.len(), total);
    Ok(Exit::Done)
}

/// Converts a failure that ends the command to an error with the exit code of its class.
fn failed(failure: Failure) -> anyhow::Error {
    match failure.class {
        Class::AuthRevoked | Class::ClientRefused | Class::TokenStale | Class::ScopeMissing => {
            Fault::refused(failure.message).into()
        }
        Class::Transient | Class::RateLimited | Class::DailyQuota => Fault::unavailable(failure.message).into(),
        _ => anyhow::anyhow!(failure.message),
    }
}
