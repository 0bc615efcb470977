//! `syncctl gmail`: the subcommands of all services, and stored messages.

mod attachment;
mod list;
mod show;

use clap::Subcommand;
use uuid::Uuid;

use super::verbs::ServiceVerb;
use super::{Output, complain, reading, service, with_context};
use crate::config::Settings;
use crate::engine::Context;
use crate::error::Exit;
use crate::services::gmail::Gmail;
use crate::services::gmail::stored::{self, Gap};

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

/// Why messages of this user may be missing or outdated, if they may; reports it on stderr.
async fn incomplete(context: &Context, user: Uuid) -> anyhow::Result<Option<String>> {
    let reason = stored::gap(&context.pool, user).await?.map(|gap| match gap {
        Gap::NoMailbox => "the mailbox has not been polled yet".into(),
        Gap::NotSynced(state) => format!("the mailbox is not synced ({state})"),
        Gap::NotListed => "its first full pass is not complete".into(),
        Gap::Failing => "its last poll failed: `syncctl sync explain` shows why".into(),
        Gap::Unread => "some could not be read: see `syncctl items list`".into(),
    });
    if let Some(reason) = &reason {
        complain(format!("messages may be missing or outdated: user {user}: {reason}"));
    }
    Ok(reason)
}
