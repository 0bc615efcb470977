//! `syncctl gmail`: the subcommands of all services, and stored messages.

mod attachment;
mod list;
mod show;

use clap::Subcommand;
use uuid::Uuid;

use super::completeness::reason;
use super::verbs::ServiceVerb;
use super::{Output, complain, reading, service, with_context};
use crate::config::Settings;
use crate::db::completeness;
use crate::engine::Context;
use crate::error::Exit;
use crate::services::gmail::{Gmail, MAILBOX, REGISTERED};
use crate::state::Missing;

/// Subcommands of `gmail`.
#[derive(Debug, Subcommand)]
pub enum Verb {
    #[command(flatten)]
    Service(ServiceVerb),
    /// List a user's messages, newest first, from the database
    List(list::ListArgs),
    /// Search a user's messages for words, newest first, in the database
    Search(list::SearchArgs),
    /// Print one message with its labels, attachments and text, from the database
    Show(show::Args),
    /// Write a stored attachment of a message to a file
    Attachment(attachment::Args),
}

/// Runs the command.
pub fn run(verb: &Verb, settings: Settings, output: Output) -> anyhow::Result<Exit> {
    match verb {
        Verb::Service(verb) => service::run::<Gmail>(verb, settings, output),
        Verb::List(args) => {
            with_context(settings, |context| async move { reading(&context, list::list(&context, args, output)).await })
        }
        Verb::Search(args) => {
            with_context(settings, |context| async move { reading(&context, list::search(&context, args, output)).await })
        }
        Verb::Show(args) => {
            with_context(settings, |context| async move { reading(&context, show::run(&context, args, output)).await })
        }
        Verb::Attachment(args) => {
            with_context(settings, |context| async move { reading(&context, attachment::run(&context, args, output)).await })
        }
    }
}

/// Why messages of this user, or only the names of their labels, may be missing or outdated, if they may; reports it on stderr.
async fn incomplete(context: &Context, user: Uuid) -> anyhow::Result<Option<String>> {
    let feeds = completeness::of_user(&context.pool, REGISTERED.service, user).await?;
    let mailbox = feeds.iter().find(|feed| feed.kind == MAILBOX);
    let reason = mailbox.map_or_else(|| Some("the mailbox has not been polled yet".into()), reason);
    if let Some(reason) = &reason {
        let what = match mailbox.and_then(|mailbox| mailbox.missing) {
            Some(Missing::Labels) => "names of labels may be missing or outdated",
            _ => "messages may be missing or outdated",
        };
        complain(format!("{what}: user {user}: {reason}"));
    }
    Ok(reason)
}
