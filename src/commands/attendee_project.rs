//! `syncctl attendee project`: projects at Attendee and their keys.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use secrecy::SecretString;

use super::{Output, complain, reading, table};
use crate::engine::Context;
use crate::error::{Class, Exit, Fault};
use crate::services::attendee::{probe, projects};

/// Subcommands of `attendee project`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Add a project, or give an existing one a new key; read the key from standard input and test it at Attendee
    Add {
        /// Name of the project in syncctl
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// File to read the key from instead
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Make this the default project, used for users without a project (the first project is the default until another is)
        #[arg(long)]
        default: bool,
    },
    /// List projects and their state
    List,
    /// Remove a project with its key and its bots; documents stay
    Remove {
        /// Name, as in `attendee project list`
        name: String,
        /// Remove even if bots are open; they are no longer followed
        #[arg(long)]
        force: bool,
    },
}

/// Runs the command.
pub(super) async fn run(verb: &Verb, context: &Context, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Add { name, key_file, default } => {
            let key = key(key_file.as_deref())?;
            test_key(context, &key).await?;
            let mut client = context.pool.get().await?;
            let tx = client.begin("beginning to add a project").await?;
            let (id, new) = projects::add(&tx, &context.vault, name, &key, *default).await?;
            tx.commit().await.context("adding a project")?;
            output.print(&serde_json::json!({ "id": id, "name": name, "new": new }), || {
                if new { format!("added project {name}") } else { format!("project {name} has a new key") }
            })?;
        }
        Verb::List => {
            let rows = reading(context, projects::list(&context.pool)).await?;
            output.print(&rows, || {
                let mut table = table(&["project", "default", "open bots", "failing"]);
                for row in &rows {
                    let default = if row.is_default { "yes" } else { "" };
                    let failing = row.failing.clone().unwrap_or_default();
                    table.add_row([row.name.clone(), default.into(), row.open_bots.to_string(), failing]);
                }
                if rows.is_empty() { "no projects; add one with `syncctl attendee project add`".into() } else { table.trim_fmt() }
            })?;
        }
        Verb::Remove { name, force } => {
            let rows = projects::list(&context.pool).await?;
            let row = rows.iter().find(|row| row.name == *name);
            let row = row.ok_or_else(|| Fault::usage(format!("no project {name}; see `syncctl attendee project list`")))?;
            if row.open_bots > 0 && !force {
                return Err(Fault::usage(format!(
                    "project {name} has {} open bots that would no longer be followed: wait until they are done, or add --force",
                    row.open_bots
                ))
                .into());
            }
            projects::remove(&context.pool, name).await?;
            output.print(&serde_json::json!({ "removed": name }), || format!("removed project {name}"))?;
        }
    }
    Ok(Exit::Done)
}

/// Tests a key at Attendee. A refused key is an error; if Attendee does not answer, the key is accepted with a warning.
async fn test_key(context: &Context, key: &SecretString) -> anyhow::Result<()> {
    match probe::key(context, key).await {
        Ok(()) => Ok(()),
        Err(failure) if failure.class == Class::AuthRevoked => {
            // Drop the remedy, which is this very command.
            let reason = failure.message.split(';').next().unwrap_or_default().to_owned();
            Err(Fault::refused(format!(
                "Attendee refuses this key, so it was not stored: {reason}; copy it again, or make a new one"
            ))
            .into())
        }
        Err(failure) if failure.class == Class::Internal => Err(failure.into()),
        Err(failure) => {
            complain(format!("the key could not be tested and is stored anyway: {}", failure.message));
            Ok(())
        }
    }
}

/// Reads the key. Errors never quote it.
fn key(file: Option<&std::path::Path>) -> anyhow::Result<SecretString> {
    let text = match file {
        Some(file) => std::fs::read_to_string(file).map_err(|error| Fault::usage(format!("{}: {error}", file.display())))?,
        None => std::io::read_to_string(std::io::stdin()).context("reading the key from standard input")?,
    };
    let key = text.trim();
    if key.is_empty() || key.contains(|c: char| c.is_whitespace() || !c.is_ascii_graphic()) {
        return Err(
            Fault::usage("the key must be one word, as Attendee shows it; write it to standard input or name a file").into()
        );
    }
    Ok(SecretString::from(key))
}
