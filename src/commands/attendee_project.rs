//! `syncctl attendee project`: projects at Attendee, and their keys.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use secrecy::SecretString;

use super::{Output, complain, reading, table};
use crate::engine::Context;
use crate::error::{Class, Exit, Fault};
use crate::services::attendee::{probe, projects};

/// What can be done with projects.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Adds a project, or gives the one of this name a new key, which is read from standard input and tried at Attendee
    Add {
        /// What it is called here
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
        /// Read the key from a file instead
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Bots of users who name no project are of this one; the first project is, until another one is
        #[arg(long)]
        default: bool,
    },
    /// Lists projects, and how they stand
    List,
    /// Forgets a project, its key and its bots; documents stay
    Remove {
        /// What it is called in `attendee project list`
        name: String,
        /// Also while bots are open: nobody follows them any more then
        #[arg(long)]
        force: bool,
    },
}

/// Runs the command.
pub(super) async fn run(verb: &Verb, context: &Context, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Add { name, key_file, default } => {
            let key = key(key_file.as_deref())?;
            tried(context, &key).await?;
            let mut client = context.pool.get().await?;
            let tx = client.begin("beginning to add a project").await?;
            let (id, new) = projects::add(&tx, &context.vault, name, &key, *default).await?;
            tx.commit().await.context("adding a project")?;
            output.print(&serde_json::json!({ "id": id, "name": name, "new": new }), || match new {
                true => format!("added project {name}"),
                false => format!("project {name} has a new key"),
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
                    "project {name} has {} open bots that nobody would follow any more: wait until they are done, or add --force",
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

/// Asks Attendee with a key. One that it refuses is not stored; where it does not answer, that is no verdict.
async fn tried(context: &Context, key: &SecretString) -> anyhow::Result<()> {
    match probe::key(context, key).await {
        Ok(()) => Ok(()),
        Err(failure) if failure.class == Class::AuthRevoked => {
            // Its remedy is this command.
            let said = failure.message.split(';').next().unwrap_or_default().to_owned();
            Err(Fault::refused(format!(
                "Attendee refuses this key, so it was not stored: {said}; copy it again, or make a new one"
            ))
            .into())
        }
        Err(failure) if failure.class == Class::Internal => Err(failure.into()),
        Err(failure) => {
            complain(format!("the key could not be tried, and is stored all the same: {}", failure.message));
            Ok(())
        }
    }
}

/// One line, of which no error says more than that it is wrong.
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
